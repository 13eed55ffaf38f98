"""A plan as a person reads it: one row a resource on stderr, destroys and replacements in red, drift told apart from what is intended."""

from __future__ import annotations

from collections.abc import Iterable

from ops.core import ui
from ops.terraform.rules.plan_diff import ResourceChange, summary


def shown(
    changes: Iterable[ResourceChange],
    drift: Iterable[ResourceChange],
    notes: Iterable[str] = (),
    warnings: Iterable[str] = (),
) -> None:
    """Print a plan on stderr: drift first, then the changes, destroys and replacements at their head.

    `notes`: what it does beside resources; `warnings`: what makes its effect uncertain.
    """
    rows, drifted, beside = tuple(changes), tuple(drift), tuple(notes)
    if drifted:
        ui.say("changed outside of Terraform (drift):")
        for row in drifted:
            say_row(row)
    if rows:
        ui.say("Terraform would:")
        for row in rows:
            say_row(row)
    for note in beside:
        ui.say(f"  {note}")
    for warning in warnings:
        ui.say(f"warning: {warning}")
    ui.say(summary(rows, beside) if rows or not drifted else f"{len(drifted)} drifted")


def say_row(row: ResourceChange) -> None:
    for line in row.lines():
        if row.alarming:
            red(line)
        else:
            ui.say(line)


def red(line: str) -> None:
    """In red on a terminal; anywhere else the word is in capitals already."""
    if not ui.on_terminal():
        ui.say(line)
        return
    from rich.console import Console
    from rich.text import Text

    Console(stderr=True, soft_wrap=True).print(Text(line.translate(ui.CONTROL), style="bold red"))
