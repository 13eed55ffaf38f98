"""`--watch`: repeated sweeps until q or Ctrl-C, as a live table or as plain lines."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, Protocol

from ops.core import ui
from ops.core.errors import Cancelled, ConfigError, Interrupted
from ops.core.keys import Wait, quit_key
from ops.core.terminal import layout
from ops.core.terminal.live_screen import Line, LiveScreen, NoScreen, can_redraw, cut_line
from ops.core.text import format_age, format_count
from ops.ecs import display
from ops.health import history, render
from ops.health import sweep as health_sweep
from ops.health.model import Check, Sweep, SweepRequest
from ops.health.rules.diff import as_document
from ops.health.rules.stored_sweep import StoredSweep
from ops.ssh.sharing import shared_connections

if TYPE_CHECKING:
    from ops.platform import Platform

_MIN_PAUSE_S = 1.0
_MAX_CHANGES = 12
_MIN_CHANGES = 3  # of them, where the terminal is low
_MIN_NAME = 16
_MIN_WIDTH = 80
_GAP = 2
_LEFT_BEHIND = 24  # lines of the last sweep, at the end
_STYLES = {"ok": "ok", "failed": "failed", "unknown": "unknown", "skipped": "dim", "": "dim"}
_LOUD = ("failed", "unknown")


class _WatchReport(Protocol):
    """The output of a task: one JSON document for each sweep with `--json`."""

    json: bool
    stream: Any


def watch(
    platform: Platform,
    request: SweepRequest,
    pause_s: float,
    report: _WatchReport,
    keys: Callable[..., AbstractContextManager[Wait]] = quit_key,
) -> int:
    """Run sweeps until q, or Ctrl-C; return the exit code of the last one, or 0.

    Each sweep is compared with the previous one, or always with that of `--baseline`. Only the last
    one is stored. Raises ConfigError for a pause below one second (AWS limits calls), Cancelled
    for SIGTERM and SIGHUP.
    """
    if pause_s < _MIN_PAUSE_S:
        raise ConfigError(f"--watch {pause_s:g}", "allowed: a second or more", "--watch 5")
    before, stored = history.baseline(platform, request), None
    screen = _choose_output(report, platform, pause_s)
    try:
        with keys(on_stop=screen.pause, on_continue=screen.resume) as wait:
            while True:
                began = time.monotonic()
                with shared_connections():  # each sweep finds out whether the bastion answers
                    found = health_sweep.sweep(platform, request, before)
                stored = history.append(platform.settings, found, stored)
                if request.save:
                    history.save(request.save, found)
                before = before if request.baseline else StoredSweep.of(found)
                screen(found)
                if wait(max(0.0, pause_s - (time.monotonic() - began))):
                    return 0 if found.healthy else 1
    except KeyboardInterrupt as interruption:
        if isinstance(interruption, Interrupted) and interruption.signal_name == "SIGINT":
            return 0
        raise Cancelled(
            "the watch has ended",
            str(interruption) or "interrupted",
            "inv health.all for one sweep",
        ) from None
    finally:
        screen.close()


def _choose_output(report: _WatchReport, platform: Platform, pause_s: float) -> Any:
    if report.json:
        return _JsonOutput(report.stream)
    return HealthTable(sys.stderr, pause_s) if can_redraw(sys.stderr) else _PlainOutput(platform)


class _JsonOutput(NoScreen):
    """Write one JSON document per line, one for each sweep."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def __call__(self, sweep: Sweep) -> None:
        ui.write_document(self.stream, as_document(sweep))


class _PlainOutput(NoScreen):
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


@dataclass(frozen=True)
class _HealthRow:
    """One row of the table: a check, or a group's healthy checks."""

    group: str
    status: str
    name: str
    detail: str
    changed: bool = False


class HealthTable:
    """The terminal's alternate screen: verdict and clock, last changes, unhealthy checks, the rest.

    Healthy groups collapse to a line each where the terminal is too low. The last picture stays
    behind at the end.
    """

    def __init__(self, stream: Any, pause_s: float) -> None:
        self.changes: deque[str] = deque(maxlen=_MAX_CHANGES)
        self.stream = stream
        self.footer = f"every {format_age(pause_s)} · q quits"
        self.last: Sweep | None = None
        self.screen = LiveScreen(stream, self.picture)
        self.screen.start()

    def __call__(self, sweep: Sweep) -> None:
        self.changes.extend(
            f"{sweep.at[11:19]}  {render.change_line(change)}" for change in sweep.changes
        )
        self.last = sweep
        self.screen.refresh()

    def picture(self, width: int, height: int) -> Iterable[Line]:
        """The lines of the screen, its clock and the key in the last one."""
        if self.last is None:
            return [(("checking …", "dim"),)]
        found = health_lines(self.last, [*self.changes], width, height - 1)
        clock = f"{self.last.at[11:19]} UTC · {self.footer}".rjust(width)
        return [*found, *[()] * (height - 1 - len(found)), ((clock, "dim"),)]

    def pause(self) -> None:
        self.screen.pause()

    def resume(self) -> None:
        self.screen.start()

    def close(self) -> None:
        """Leave the alternate screen, and print what it showed last."""
        self.screen.end()
        if self.last is not None:
            width = layout.width_of(self.stream) or _MIN_WIDTH
            for line in health_lines(self.last, [*self.changes], width, _LEFT_BEHIND):
                text = "".join(text for text, _ in line).rstrip()
                print(layout.fitted(text, self.stream), file=self.stream, flush=True)


def health_lines(sweep: Sweep, changes: Sequence[str], width: int, height: int) -> list[Line]:
    """The lines of a sweep, none longer than `width`: names in full before details."""
    changes, rows = fit_to_height(sweep, changes, height - 1)
    groups = max((len(row.group) for row in rows), default=0)
    marks = max((len(render.MARKS.get(row.status, "")) for row in rows), default=0)
    left = width - groups - marks - 2 * _GAP
    names = min(max((len(row.name) for row in rows), default=0), max(left // 2, _MIN_NAME))
    verdict = layout.cut(render.verdict(sweep), width)
    found: list[Line] = [((verdict, "ok" if sweep.healthy else "failed"),)]
    found += [((layout.cut(display.clean(line), width), "change"),) for line in changes]
    for row in rows:
        name = layout.cut(display.clean(row.name), names)
        detail = layout.cut(display.clean(row.detail), max(left - names - _GAP, 0))
        found.append(
            (
                (f"{row.group:<{groups + _GAP}}", ""),
                (f"{render.MARKS.get(row.status, ''):<{marks + _GAP}}", _STYLES[row.status]),
                (f"{name:<{names}}", "change" if row.changed else ""),
                (f"{'':<{_GAP}}{detail}", "" if row.status in _LOUD else "dim"),
            )
        )
    return [cut_line(line, width) for line in found[:height]]


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
