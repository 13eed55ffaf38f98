"""Format a plan, and print it on stderr with destroys and replacements in red."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from ops.core import ui
from ops.terraform.rules.plan_diff import ResourceChange, summary


def plan_lines(
    changes: Sequence[ResourceChange],
    drift: Sequence[ResourceChange],
    notes: Sequence[str] = (),
    warnings: Sequence[str] = (),
) -> Iterator[tuple[str, bool]]:
    """Yield the lines of a plan, and whether each is alarming.

    Drift comes first, then the changes, destroys and replacements first. `notes` are what it does
    besides resource changes, `warnings` what makes its effect uncertain.
    """
    yield from _drift_lines(drift)
    if changes:
        yield "Terraform would:", False
        yield from _change_lines(changes)
    for note in notes:
        yield f"  {note}", False
    for warning in warnings:
        yield f"warning: {warning}", False
    yield summary(changes, notes) if changes or not drift else f"{len(drift)} drifted", False


def _drift_lines(drift: Sequence[ResourceChange]) -> Iterator[tuple[str, bool]]:
    if drift:
        yield "changed outside of Terraform (drift):", False
        yield from _change_lines(drift)


def _change_lines(changes: Iterable[ResourceChange]) -> Iterator[tuple[str, bool]]:
    for change in changes:
        for line in change.lines():
            yield line, change.alarming


def print_plan(
    changes: Sequence[ResourceChange],
    drift: Sequence[ResourceChange],
    notes: Sequence[str] = (),
    warnings: Sequence[str] = (),
) -> None:
    """Print the lines of a plan on stderr."""
    _print_lines(plan_lines(changes, drift, notes, warnings))


def print_drift(drift: Sequence[ResourceChange]) -> None:
    """Print changes made outside of Terraform on stderr; nothing if there are none."""
    _print_lines(_drift_lines(drift))


def _print_lines(lines: Iterable[tuple[str, bool]]) -> None:
    for line, alarming in lines:
        if alarming:
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
