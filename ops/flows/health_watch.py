"""`--watch`: one sweep after the other, a live screen on a terminal and plain lines without one, changes marked; until Ctrl-C."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from ops import live, ui
from ops.errors import ConfigError
from ops.flows import health, health_text
from ops.health import Sweep
from ops.rules.health_changes import as_document

if TYPE_CHECKING:
    from ops.flows.gather import Platform

SHORTEST_S = 1.0
CHANGES_SHOWN = 12
STYLES = {"ok": "green", "failed": "bold red", "unknown": "bold yellow", "skipped": "dim"}


class Report(Protocol):
    """Where documents go: one a sweep with `--json`."""

    json: bool
    stream: Any


def watch(platform: Platform, request: health.Request, pause_s: float, report: Report, sleep: Callable[[float], None] = time.sleep) -> None:
    """Never returns by itself. Raises ConfigError for a pause below a second: AWS limits calls."""
    if pause_s < SHORTEST_S:
        raise ConfigError(f"--watch {pause_s:g}", "allowed: a second or more", "--watch 5")
    screen = chosen(report, platform)
    try:
        while True:
            began = time.monotonic()
            screen(health.look(platform, request))
            sleep(max(0.0, pause_s - (time.monotonic() - began)))
    finally:
        screen.close()


def chosen(report: Report, platform: Platform) -> Any:
    if report.json:
        return Documents(report.stream)
    return Table(sys.stderr) if sys.stderr.isatty() and live.can_redraw(sys.stderr) else Lines(platform)


class Documents:
    """With `--json`: one document a sweep, a line each."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def __call__(self, sweep: Sweep) -> None:
        ui.write_document(self.stream, as_document(sweep))

    def close(self) -> None:
        """Nothing is held."""


class Lines:
    """Everything once; then a line a sweep, and one for each change."""

    def __init__(self, platform: Platform) -> None:
        self.settings, self.first = platform.settings, True

    def __call__(self, sweep: Sweep) -> None:
        if self.first:
            print(health_text.as_text(sweep, self.settings), flush=True)
        else:
            for change in sweep.changes:
                print(f"{sweep.at[11:19]}  {health_text.change_line(change)}", flush=True)
            print(f"{sweep.at[11:19]}  {health_text.verdict(sweep)}", flush=True)
        self.first = False

    def close(self) -> None:
        """Nothing is held."""


class Table:
    """The newest sweep as a table that is redrawn in place, the last changes below it."""

    def __init__(self, stream: Any) -> None:
        from rich.console import Console
        from rich.live import Live

        self.changes: deque[str] = deque(maxlen=CHANGES_SHOWN)
        self.live = Live(console=Console(file=stream, highlight=False, markup=False, emoji=False), auto_refresh=False, screen=False)
        self.live.start()

    def __call__(self, sweep: Sweep) -> None:
        self.changes.extend(f"{sweep.at[11:19]}  {health_text.change_line(change)}" for change in sweep.changes)
        self.live.update(self.picture(sweep), refresh=True)

    def picture(self, sweep: Sweep) -> Any:
        from rich.console import Group
        from rich.table import Table as Grid
        from rich.text import Text

        changed = {change.name for change in sweep.changes}
        grid, group = Grid.grid(padding=(0, 2)), ""
        for check in sweep.checks:
            mark = Text(health_text.MARKS[check.status], style=STYLES[check.status])
            name = Text(live.clean(check.name), style="reverse" if changed & {check.label, check.name, bare(check.name)} else "")
            because = f" [explained by {check.explained_by}]" if check.explained_by else ""
            detail = Text(live.clean(check.detail + because), overflow="ellipsis", no_wrap=True)
            grid.add_row(check.group if check.group != group else "", mark, name, detail)
            group = check.group
        return Group(grid, *(Text(live.clean(line), style="bold") for line in self.changes), Text(health_text.verdict(sweep)))

    def close(self) -> None:
        self.live.stop()


def bare(name: str) -> str:
    """A page's path, as changes name it."""
    return name.removeprefix("GET ").removesuffix(" via cdn")
