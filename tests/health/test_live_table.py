"""The live screen: on a terminal of 24 lines what matters stands on it, whatever else there is."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest

from ops.health import render
from ops.health.model import Change, Check, CheckKey, Sweep
from ops.health.watch import HealthTable, fit_to_height, health_lines

PAGES = tuple(
    Check(CheckKey("endpoints", "page", f"/{number}", "cdn"), "ok", "200 in 80 ms")
    for number in range(30)
)
TASKS = tuple(
    Check(CheckKey("ecs", "tasks", f"service {number}"), "ok", "2/2 run") for number in range(10)
)
LOCK = Check(CheckKey("terraform", "state lock"), "failed", "somebody\x1b[2J holds it")
ALL = Sweep("dev", "2026-01-01T12:30:45.000+00:00", 1.0, (*TASKS, *PAGES, LOCK))


def shown(sweep: Sweep, height: int, width: int = 100) -> list[str]:
    """The lines that are drawn, without their colours."""
    changes = [f"{sweep.at[11:19]}  {render.change_line(change)}" for change in sweep.changes]
    drawn = health_lines(sweep, changes, width, height)
    return ["".join(text for text, _ in line).rstrip() for line in drawn]


def test_verdict_changes_and_what_is_ill_come_first_and_fit() -> None:
    """40 checks on 24 lines: groups that are well are a line each."""
    lines = shown(replace(ALL, changes=(Change("terraform · state lock", "free", "held"),)), 24)
    assert len(lines) <= 24
    assert lines[0].startswith("NOT HEALTHY  dev: 40 ok · 1 failed")
    assert lines[1].startswith("12:30:45  terraform · state lock free → held")
    assert lines[2].split()[:2] == ["terraform", "FAILED"] and "\x1b" not in lines[2]
    assert [line.split()[:3] for line in lines[3:]] == [
        ["ecs", "ok", "10"],
        ["endpoints", "ok", "30"],
    ]


def test_with_room_everything_is_shown() -> None:
    """A line a check, none folded."""
    lines = shown(ALL, 60)
    assert len(lines) == 42 and sum("GET /" in line for line in lines) == 30


def test_what_does_not_fit_is_counted() -> None:
    """More ill checks than lines: as many as there is room for, and how many more; a change is
    always there.
    """
    many = tuple(replace(check, status="failed") for check in PAGES)
    changes, rows = fit_to_height(
        Sweep("dev", ALL.at, 1.0, (*TASKS, *many)), [f"change {number}" for number in range(12)], 20
    )
    assert len(changes) + len(rows) <= 20 and changes[-1] == "change 11" and len(changes) == 3
    assert (
        any(row.name == "… 15 more unhealthy checks" for row in rows)
        and rows[-1].name == "10 checks"
    )


def test_a_long_line_is_cut_not_broken() -> None:
    """One line a row, however long its detail."""
    long = replace(LOCK, detail="x" * 500)
    lines = shown(Sweep("dev", ALL.at, 1.0, (long,)), 24, width=60)
    assert len(lines) == 2 and all(len(line) <= 60 for line in lines)


FAILED = Check(
    CheckKey("endpoints", "page", "/about", "cdn"),
    "failed",
    "status: 500, expected 200; text: 'version {tag}' is not in the body",
)
NAMES = tuple(
    replace(FAILED, key=CheckKey(group, "cached page", f"/{'long-name/' * 12}{n}", "cdn"))
    for n, group in enumerate(("endpoints", "certificates", "terraform", "cdn"))
)


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40), (200, 50)])
def test_a_failure_is_readable_at_every_width(width: int, height: int) -> None:
    """The group, the word FAILED, the name and what is wrong are all there; no line is longer."""
    lines = shown(Sweep("dev", ALL.at, 1.0, (*TASKS, *PAGES, *NAMES, FAILED)), height, width)
    assert len(lines) <= height and all(len(line) <= width for line in lines)
    (row,) = [line for line in lines if "/about" in line]
    assert "FAILED" in row and "status: 500, expected 200" in row, row
    groups = {line.split()[0] for line in lines[1:]}
    assert {"endpoints", "certificates", "terraform", "cdn"} <= groups


def test_the_clock_the_interval_and_the_key_are_in_the_last_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """When the sweep was, how often there is one, and how to end it."""
    monkeypatch.setenv("TERM", "dumb")
    table = HealthTable(io.StringIO(), 5.0)
    assert "checking" in str([*table.picture(80, 24)])
    table(ALL)
    lines = [*table.picture(80, 24)]
    table.screen.end()
    assert len(lines) == 24
    assert lines[-1][0][0].strip() == "12:30:45 UTC · every 5 s · q quits"
