"""Print a plan on stderr, with destroys and replacements in red."""

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
    """Print drift, then the changes, destroys and replacements first.

    `notes` are what it does besides resource changes, `warnings` what makes its effect uncertain.
    """
    rows, drifted, others = tuple(changes), tuple(drift), tuple(notes)
    if drifted:
        ui.progress("changed outside of Terraform (drift):")
        for row in drifted:
            _print_change(row)
    if rows:
        ui.progress("Terraform would:")
        for row in rows:
            _print_change(row)
    for note in others:
        ui.progress(f"  {note}")
    for warning in warnings:
        ui.progress(f"warning: {warning}")
    ui.progress(summary(rows, others) if rows or not drifted else f"{len(drifted)} drifted")


def _print_change(change: ResourceChange) -> None:
    for line in change.lines():
        if change.alarming:
            _print_red(line)
        else:
            ui.progress(line)


def _print_red(line: str) -> None:
    """Print in red on a terminal; elsewhere the verb is in capitals already."""
    if not ui.on_terminal():
        ui.progress(line)
        return
    from rich.console import Console
    from rich.text import Text

    Console(stderr=True, soft_wrap=True).print(Text(line.translate(ui.CONTROL), style="bold red"))
