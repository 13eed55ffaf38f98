"""`--watch`: repeated sweeps until Ctrl-C, as a live table or as plain lines."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, Protocol

from ops.core import ui
from ops.core.errors import Cancelled, ConfigError, Interrupted
from ops.core.text import format_count
from ops.ecs import display
from ops.health import history, render
from ops.health import sweep as health_sweep
from ops.health.model import Check, Sweep, SweepRequest
from ops.health.rules.diff import as_document
from ops.health.rules.stored_sweep import StoredSweep

if TYPE_CHECKING:
    from ops.platform import Platform

_MIN_PAUSE_S = 1.0
_MAX_CHANGES = 12
_MIN_CHANGES = 3  # of them, where the terminal is low
_STYLES = {"ok": "green", "failed": "bold red", "unknown": "bold yellow", "skipped": "dim"}


class _WatchReport(Protocol):
    """The output of a task: one JSON document for each sweep with `--json`."""

    json: bool
    stream: Any


def watch(
    platform: Platform,
    request: SweepRequest,
    pause_s: float,
    report: _WatchReport,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Run sweeps until Ctrl-C.

    Each sweep is compared with the previous one, or always with that of `--baseline`. Only the last
    one is stored. Raises ConfigError for a pause below one second (AWS limits calls), Cancelled
    for SIGTERM and SIGHUP.
    """
    if pause_s < _MIN_PAUSE_S:
        raise ConfigError(f"--watch {pause_s:g}", "allowed: a second or more", "--watch 5")
    before, stored = history.baseline(platform, request), None
    screen = _choose_output(report, platform)
    try:
        while True:
            began = time.monotonic()
            found = health_sweep.sweep(platform, request, before)
            stored = history.append(platform.settings, found, stored)
            if request.save:
                history.save(request.save, found)
            before = before if request.baseline else StoredSweep.of(found)
            screen(found)
            sleep(max(0.0, pause_s - (time.monotonic() - began)))
    except KeyboardInterrupt as interruption:
        if isinstance(interruption, Interrupted) and interruption.signal_name == "SIGINT":
            return
        raise Cancelled(
            "the watch has ended",
            str(interruption) or "interrupted",
            "inv health.all for one sweep",
        ) from None
    finally:
        screen.close()


def _choose_output(report: _WatchReport, platform: Platform) -> Any:
    if report.json:
        return _JsonOutput(report.stream)
    return (
        HealthTable(sys.stderr)
        if sys.stderr.isatty() and display.can_redraw(sys.stderr)
        else _PlainOutput(platform)
    )


class _JsonOutput:
    """Write one JSON document per line, one for each sweep."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def __call__(self, sweep: Sweep) -> None:
        ui.write_document(self.stream, as_document(sweep))

    def close(self) -> None:
        """Do nothing: no resource is open."""


class _PlainOutput:
    """Print the first sweep in full, then a line for each sweep and each change."""

    def __init__(self, platform: Platform) -> None:
        self.settings, self.first = platform.settings, True

    def __call__(self, sweep: Sweep) -> None:
        if self.first:
            ui.print_text(render.as_text(sweep, self.settings))
        else:
            for change in sweep.changes:
                print(f"{sweep.at[11:19]}  {render.change_line(change)}", flush=True)
            print(f"{sweep.at[11:19]}  {render.verdict(sweep)}", flush=True)
        self.first = False

    def close(self) -> None:
        """Do nothing: no resource is open."""


@dataclass(frozen=True)
class _HealthRow:
    """One row of the table: a check, or a group's healthy checks."""

    group: str
    status: str
    name: str
    detail: str
    changed: bool = False


class HealthTable:
    """A live table: verdict, last changes, unhealthy checks, healthy checks.

    Healthy groups collapse to a line each where the terminal is too low.
    """

    def __init__(self, stream: Any, console: Any = None) -> None:
        from rich.console import Console
        from rich.live import Live

        self.changes: deque[str] = deque(maxlen=_MAX_CHANGES)
        self.console = console or Console(file=stream, highlight=False, markup=False, emoji=False)
        self.live = Live(console=self.console, auto_refresh=False, screen=False)
        self.live.start()

    def __call__(self, sweep: Sweep) -> None:
        self.changes.extend(
            f"{sweep.at[11:19]}  {render.change_line(change)}" for change in sweep.changes
        )
        self.live.update(self.picture(sweep), refresh=True)

    def picture(self, sweep: Sweep) -> Any:
        from rich.console import Group
        from rich.table import Table as Grid
        from rich.text import Text

        height = self.console.height - 2  # the verdict, and the line on which the cursor stands
        changes, rows = fit_to_height(sweep, [*self.changes], height)
        grid = Grid.grid(padding=(0, 2))
        for overflow in ("fold", "fold", "ellipsis", "ellipsis"):
            grid.add_column(no_wrap=True, overflow=overflow)
        for row in rows:
            mark = Text(render.MARKS.get(row.status, ""), style=_STYLES.get(row.status, ""))
            grid.add_row(
                row.group,
                mark,
                Text(display.clean(row.name), style="reverse" if row.changed else ""),
                Text(display.clean(row.detail)),
            )
        style = _STYLES["ok"] if sweep.healthy else _STYLES["failed"]
        verdict = Text(render.verdict(sweep), style=style, no_wrap=True, overflow="ellipsis")
        return Group(
            verdict,
            *(
                Text(display.clean(line), style="bold", no_wrap=True, overflow="ellipsis")
                for line in changes
            ),
            grid,
        )

    def close(self) -> None:
        self.live.stop()


def fit_to_height(
    sweep: Sweep, changes: Sequence[str], height: int
) -> tuple[Sequence[str], Sequence[_HealthRow]]:
    """Choose the changes and rows that fit; count the omitted ones."""
    unhealthy = [_row(sweep, check) for check in sweep.checks if check.unhealthy]
    healthy = [_row(sweep, check) for check in sweep.checks if not check.unhealthy]
    if len(changes) + len(unhealthy) + len(healthy) <= height:
        return changes, _blank_repeated_groups([*unhealthy, *healthy])
    folded = [*_collapse_ok(sweep)]
    changes = changes[-max(_MIN_CHANGES, height - len(unhealthy) - len(folded)) :]
    left = max(1, height - len(changes) - len(folded))
    if len(unhealthy) > left:
        unhealthy = [
            *unhealthy[: left - 1],
            _HealthRow("", "", f"… {len(unhealthy) - left + 1} more unhealthy checks", ""),
        ]
    return changes, _blank_repeated_groups([*unhealthy, *folded])


def _row(sweep: Sweep, check: Check) -> _HealthRow:
    because = f" [explained by {check.explained_by.label}]" if check.explained_by else ""
    changed = any(change.key == check.key for change in sweep.changes)
    return _HealthRow(check.group, check.status, check.name, check.detail + because, changed)


def _collapse_ok(sweep: Sweep) -> Iterator[_HealthRow]:
    """Yield one row for the healthy checks of each group."""
    for group, checks in groupby(
        (check for check in sweep.checks if not check.unhealthy), key=lambda check: check.group
    ):
        every = [*checks]
        status = "ok" if any(check.status == "ok" for check in every) else "skipped"
        changed = any(_row(sweep, check).changed for check in every)
        yield _HealthRow(group, status, format_count(len(every), "check"), "", changed)


def _blank_repeated_groups(rows: Sequence[_HealthRow]) -> Sequence[_HealthRow]:
    """Leave the group's name only in its first row."""
    return [
        each
        if not place or rows[place - 1].group != each.group
        else _HealthRow("", each.status, each.name, each.detail, each.changed)
        for place, each in enumerate(rows)
    ]
