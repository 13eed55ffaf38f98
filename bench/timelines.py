"""Timelines of ECS deployments on a virtual clock: how soon a watch knows, beside boto3's
`services_stable` waiter.

    .venv/bin/python -m bench.timelines [--json]

Both sides are the real thing: `ops.ecs.watch` through its adapters, and botocore's own waiter; both
ask real boto3 clients whose calls are answered from the timeline (`before-call`), so that calls are
counted where they are made. Only the clock is virtual: calls take no time, and botocore's
`time.sleep` is replaced while its waiter runs. How the timelines were made is said in
`bench/timelines/README.md`."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import yaml

from bench.recording import Clock, Notes, Recording
from ops.ecs import watch
from ops.ecs.model import WatchOptions, WatchResult

FOLDER = Path(__file__).parent / "timelines"


@dataclass(frozen=True)
class Row:
    """One replay. Seconds on the virtual clock; `waiter_*`: the same timeline seen by boto3's
    waiter.
    """

    timeline: str
    patient: bool
    first_stop_s: float | None
    diagnosis_s: float | None
    rollback_said_s: float | None
    verdict: str
    verdict_s: float
    why: str
    calls: int
    calls_a_second: float
    waiter: str
    waiter_s: float
    waiter_calls: int


def load(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    return found


def watched(
    recording: Recording,
    *,
    patient: bool = False,
    timeout_s: float = 900.0,
    follow: bool = False,
    bounded: bool = False,
    settle_s: float | None = None,
    notes: Notes | None = None,
) -> tuple[WatchResult, Notes]:
    """The real watch over a recording."""
    clock, notes = recording.clock, notes or Notes(recording.clock)
    observer = watch.EcsObserver(recording.cloud(), "cluster", "backend", "backend")
    settings: dict[str, Any] = {
        "timeout_s": timeout_s,
        "leave_to_circuit_breaker": patient,
        "follow": follow,
        "timeout_includes_bake": bounded,
        "settle_s": settle_s,
        "options": WatchOptions("backend"),
    }
    outcome = watch.watch(
        observer, "ecs-svc/new", display=notes, clock=clock, sleep=clock.sleep, **settings
    )
    return outcome, notes


def waited(timeline: dict[str, Any]) -> tuple[str, float, int]:
    """What botocore's own `services_stable` waiter says of the timeline, when, and after how many
    calls.
    """
    from botocore import waiter
    from botocore.exceptions import WaiterError

    recording = Recording(timeline, Clock())
    stable = recording.cloud().client("ecs").get_waiter("services_stable")
    real, waiter.time = waiter.time, SimpleNamespace(sleep=recording.clock.sleep)
    try:
        stable.wait(cluster="cluster", services=["backend"])
        said = "success"
    except WaiterError as error:
        said = str(error).partition("failed: ")[2].lower()
    finally:
        waiter.time = real
    return said, recording.clock.now, len(recording.calls)


def replay(name: str, *, patient: bool = False) -> Row:
    timeline = load(name)
    recording = Recording(timeline, Clock())
    outcome, notes = watched(recording, patient=patient)
    stops = [
        task["stopped"]
        for task in timeline["tasks"]
        if task["deployment"] == "new" and task.get("stopped", 1e9) <= outcome.took_s
    ]
    said, at, calls = waited(timeline)
    return Row(
        name,
        patient,
        min(stops, default=None),
        notes.first("finding"),
        notes.first("phase", "rolling back"),
        outcome.verdict.value,
        outcome.took_s,
        outcome.why,
        len(recording.calls),
        round(len(recording.calls) / max(outcome.took_s, 1), 2),
        said,
        at,
        calls,
    )


def replay_all() -> list[Row]:
    names = sorted(path.stem for path in FOLDER.glob("*.yaml"))
    return [*(replay(name) for name in names), replay("breaker_rollback", patient=True)]


def table(rows: list[Row]) -> str:
    ours = (
        "timeline",
        "first stop",
        "diagnosis",
        "rollback said",
        "verdict",
        "at",
        "calls",
        "calls/s",
    )
    head = (*ours, "services_stable says", "at", "calls")
    lines = [head, *(tuple(cells(row)) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def cells(row: Row) -> list[str]:
    def at(seconds: float | None) -> str:
        return "-" if seconds is None else f"{seconds:g} s"

    name = row.timeline + (" (left to ECS)" if row.patient else "")
    ours = [
        name,
        at(row.first_stop_s),
        at(row.diagnosis_s),
        at(row.rollback_said_s),
        row.verdict,
        at(row.verdict_s),
    ]
    return [
        *ours,
        str(row.calls),
        f"{row.calls_a_second}",
        row.waiter,
        at(row.waiter_s),
        str(row.waiter_calls),
    ]


def main() -> None:
    rows = replay_all()
    print(
        json.dumps({"timelines": [asdict(row) for row in rows]})
        if "--json" in sys.argv[1:]
        else table(rows)
    )


if __name__ == "__main__":
    main()
