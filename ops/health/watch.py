"""`--watch`: one sweep after the other, a live screen on a terminal and plain lines without one,
changes marked; until Ctrl-C.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from ops.core import ui
from ops.core.errors import Cancelled, ConfigError
from ops.ecs import display
from ops.health import history, live_table, render
from ops.health import sweep as health_sweep
from ops.health.model import Sweep, SweepRequest
from ops.health.rules.diff import as_document

if TYPE_CHECKING:
    from ops.platform import Platform

SHORTEST_S = 1.0


class WatchReport(Protocol):
    """Where documents go: one a sweep with `--json`."""

    json: bool
    stream: Any


def watch(
    platform: Platform,
    request: SweepRequest,
    pause_s: float,
    report: WatchReport,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Never returns by itself. Raises ConfigError for a pause below a second (AWS limits calls),
    Cancelled when it is ended.

    Each sweep is compared with the one before it, or always with --against's. Of them all the last
    is kept."""
    if pause_s < SHORTEST_S:
        raise ConfigError(f"--watch {pause_s:g}", "allowed: a second or more", "--watch 5")
    before, kept = history.baseline(platform, request), None
    screen = chosen(report, platform)
    try:
        while True:
            began = time.monotonic()
            found = health_sweep.sweep(platform, request, before)
            kept = history.append(platform.settings, found, kept)
            if request.save:
                history.save(request.save, found)
            before = before if request.against else as_document(found)
            screen(found)
            sleep(max(0.0, pause_s - (time.monotonic() - began)))
    except KeyboardInterrupt as interruption:
        raise Cancelled(
            "the watch has ended", str(interruption) or "interrupted", "inv health.all for one look"
        ) from None
    finally:
        screen.close()


def chosen(report: WatchReport, platform: Platform) -> Any:
    if report.json:
        return JsonOutput(report.stream)
    return (
        live_table.HealthTable(sys.stderr)
        if sys.stderr.isatty() and display.can_redraw(sys.stderr)
        else PlainOutput(platform)
    )


class JsonOutput:
    """With `--json`: one document a sweep, a line each."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def __call__(self, sweep: Sweep) -> None:
        ui.write_document(self.stream, as_document(sweep))

    def close(self) -> None:
        """Nothing is held."""


class PlainOutput:
    """Everything once; then a line a sweep, and one for each change."""

    def __init__(self, platform: Platform) -> None:
        self.settings, self.first = platform.settings, True

    def __call__(self, sweep: Sweep) -> None:
        if self.first:
            print(render.as_text(sweep, self.settings), flush=True)
        else:
            for change in sweep.changes:
                print(f"{sweep.at[11:19]}  {render.change_line(change)}", flush=True)
            print(f"{sweep.at[11:19]}  {render.verdict(sweep)}", flush=True)
        self.first = False

    def close(self) -> None:
        """Nothing is held."""
