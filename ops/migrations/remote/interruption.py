"""Leave or cancel a run elsewhere when the command that watches it is interrupted."""

from __future__ import annotations

from collections.abc import Callable

from ops.core import ui
from ops.core.errors import Cancelled, Interrupted, OpsError


def leave_or_cancel(
    interruption: KeyboardInterrupt, run: str, place: str, cancel: Callable[[], OpsError]
) -> OpsError:
    """Leave a run alone, or cancel it, and return the error to report.

    A lost terminal leaves it, Ctrl-C on a terminal asks, and any other signal cancels it. `place`:
    where it runs; empty if it was not started, so that there is nothing to leave.
    """
    signal = interruption.signal_name if isinstance(interruption, Interrupted) else "SIGINT"
    leave = signal == "SIGHUP" or (signal == "SIGINT" and ui.on_terminal() and not _wants_cancel())
    if leave and place:
        return Cancelled(
            f"interrupted by {signal}: run {run} is no longer watched",
            f"it continues {place}",
            f"inv db.attach --run {run}, or inv db.cancel --run {run}",
        )
    try:
        return cancel()
    except KeyboardInterrupt:
        return Cancelled(
            f"run {run} is being cancelled",
            "interrupted again: its end is not waited for",
            f"inv db.attach --run {run}",
        )


def _wants_cancel() -> bool:
    """Ask whether to cancel the run; a second Ctrl-C means no."""
    try:
        answer = ui.read_answer("cancel it there, or leave it running? [c/L] ")
    except KeyboardInterrupt:
        return False
    return answer.lower().startswith("c")
