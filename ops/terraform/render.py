"""A plan as a person reads it: one row a resource on stderr, destroys and replacements in red,
drift told apart from what is intended.
"""

from __future__ import annotations

from collections.abc import Iterable

from ops.core import ui
from ops.terraform.rules.plan_diff import ResourceChange, summary


def print_plan(
    changes: Iterable[ResourceChange],
    drift: Iterable[ResourceChange],
    notes: Iterable[str] = (),
    warnings: Iterable[str] = (),
) -> None:
    """Print a plan on stderr: drift first, then the changes, destroys and replacements at their
    head.

    `notes`: what it does beside resources; `warnings`: what makes its effect uncertain.
    """
    rows, drifted, beside = tuple(changes), tuple(drift), tuple(notes)
    if drifted:
        ui.progress("changed outside of Terraform (drift):")
        for row in drifted:
            print_row(row)
    if rows:
        ui.progress("Terraform would:")
        for row in rows:
            print_row(row)
    for note in beside:
        ui.progress(f"  {note}")
    for warning in warnings:
        ui.progress(f"warning: {warning}")
    ui.progress(summary(rows, beside) if rows or not drifted else f"{len(drifted)} drifted")


def print_row(row: ResourceChange) -> None:
    for line in row.lines():
        if row.alarming:
            red(line)
        else:
            ui.progress(line)


def red(line: str) -> None:
    """In red on a terminal; anywhere else the word is in capitals already."""
    if not ui.on_terminal():
        ui.progress(line)
        return
    from rich.console import Console
    from rich.text import Text

    Console(stderr=True, soft_wrap=True).print(Text(line.translate(ui.CONTROL), style="bold red"))
