"""The live screen of `--watch`: the newest sweep redrawn in place, what matters first, and never
more than the terminal has lines.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from ops.ecs import display
from ops.health import render
from ops.health.model import Check, Sweep

CHANGES_SHOWN = 12
CHANGES_KEPT = 3  # of them, where the terminal is low
STYLES = {"ok": "green", "failed": "bold red", "unknown": "bold yellow", "skipped": "dim"}


@dataclass(frozen=True)
class HealthRow:
    """One line of the table: a check, or the checks of a group that are well."""

    group: str
    status: str
    name: str
    detail: str
    changed: bool = False


class HealthTable:
    """Verdict, last changes, what is ill, what is well; groups that are well are a line each where
    there is no room for more.
    """

    def __init__(self, stream: Any, console: Any = None) -> None:
        from rich.console import Console
        from rich.live import Live

        self.changes: deque[str] = deque(maxlen=CHANGES_SHOWN)
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

        room = self.console.height - 2  # the verdict, and the line on which the cursor stands
        changes, rows = fit_to_height(sweep, [*self.changes], room)
        grid = Grid.grid(padding=(0, 2))
        for overflow in ("fold", "fold", "ellipsis", "ellipsis"):
            grid.add_column(no_wrap=True, overflow=overflow)
        for row in rows:
            mark = Text(render.MARKS.get(row.status, ""), style=STYLES.get(row.status, ""))
            grid.add_row(
                row.group,
                mark,
                Text(display.clean(row.name), style="reverse" if row.changed else ""),
                Text(display.clean(row.detail)),
            )
        style = STYLES["ok"] if sweep.healthy else STYLES["failed"]
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
    sweep: Sweep, changes: Sequence[str], room: int
) -> tuple[Sequence[str], Sequence[HealthRow]]:
    """The changes and rows for so many lines, newest changes and ill checks first; what is left out
    is counted.
    """
    ill = [row(sweep, check) for check in sweep.checks if check.ill]
    well = [row(sweep, check) for check in sweep.checks if not check.ill]
    if len(changes) + len(ill) + len(well) <= room:
        return changes, blank_repeated_groups([*ill, *well])
    folded = [*collapse_ok(sweep)]
    changes = changes[-max(CHANGES_KEPT, room - len(ill) - len(folded)) :]
    left = max(1, room - len(changes) - len(folded))
    if len(ill) > left:
        ill = [
            *ill[: left - 1],
            HealthRow("", "", f"… {len(ill) - left + 1} more that are not well", ""),
        ]
    return changes, blank_repeated_groups([*ill, *folded])


def row(sweep: Sweep, check: Check) -> HealthRow:
    because = f" [explained by {check.explained_by}]" if check.explained_by else ""
    changed = {change.name for change in sweep.changes} & {
        check.label,
        check.name,
        path_of(check.name),
    }
    return HealthRow(check.group, check.status, check.name, check.detail + because, bool(changed))


def collapse_ok(sweep: Sweep) -> Iterator[HealthRow]:
    """A line for each group's checks that are well."""
    for group, checks in groupby(
        (check for check in sweep.checks if not check.ill), key=lambda check: check.group
    ):
        every = [*checks]
        status = "ok" if any(check.status == "ok" for check in every) else "skipped"
        changed = any(row(sweep, check).changed for check in every)
        yield HealthRow(
            group, status, f"{len(every)} check{'s' if len(every) > 1 else ''}", "", changed
        )


def blank_repeated_groups(rows: Sequence[HealthRow]) -> Sequence[HealthRow]:
    """A group is named in its first line."""
    return [
        each
        if not place or rows[place - 1].group != each.group
        else HealthRow("", each.status, each.name, each.detail, each.changed)
        for place, each in enumerate(rows)
    ]


def path_of(name: str) -> str:
    """A page's path, as changes name it."""
    return name.removeprefix("GET ").removesuffix(" via cdn")
