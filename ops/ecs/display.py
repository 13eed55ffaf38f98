"""Show a watched rollout as timestamped lines; `ops.ecs.live_display` does so on a terminal.

Everything goes to stderr.

Text from outside (events, logs, reasons) is escaped and never interpreted as markup. Both displays
implement `ops.ecs.model.Display`. They start drawing at the first answer, and restore the terminal
in `close`, which may be called at any time and more than once.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import TextIO

from ops.aws.facts import (
    Deployment,
    Event,
    ServiceState,
    Target,
    TaskState,
    target_group_name,
)
from ops.core import ui
from ops.core.findings import Finding
from ops.core.invocation import invocation
from ops.core.text import short_ids
from ops.ecs.model import NO_OPTIONS, NO_TRAFFIC, TrafficState, WatchOptions
from ops.ecs.rules.live_events import event_text


def clean(text: str) -> str:
    """Join `text` into one line without control characters.

    They cannot move the cursor, and a tab or newline cannot break a table.
    """
    return ui.plain(" ".join(text.split("\n")).replace("\t", " "))


def finding_lines(finding: Finding) -> Iterator[str]:
    """Format a finding: summary, confidence, evidence, and commands to run."""
    yield f"{short_ids(finding.summary)} [{finding.cause}, {finding.confidence}]"
    for (source, text), times in folded(
        (each.source, each.text, each.count) for each in finding.evidence
    ):
        yield f"    {source}: {text}{f'  × {times}' if times > 1 else ''}"
    for command in finding.fix:
        yield f"  → {invocation.as_typed(command)}"


def folded(evidence: Iterable[tuple[str, str, int]]) -> list[tuple[tuple[str, str], int]]:
    """Equal lines of a source once, at their first place, and how often each was found."""
    found: dict[tuple[str, str], int] = {}
    for source, text, count in evidence:
        found[source, text] = found.get((source, text), 0) + count
    return list(found.items())


def first_reason(finding: Finding) -> str:
    """A finding in one line: the last line of its log, which says most, else its summary."""
    logs = [each for each in finding.evidence if each.source.startswith("log")]
    last = next((each.text.strip() for each in reversed(logs) if each.text.strip()), "")
    return f"{finding.summary}: {last}" if last and last not in finding.summary else finding.summary


def _deployment_line(name: str, deployment: Deployment) -> str:
    failed = f", {deployment.failed} failed" if deployment.failed else ""
    state = f" {deployment.rollout_state}" if deployment.rollout_state else ""
    counts = (
        f"{deployment.running}/{deployment.desired} running, {deployment.pending} pending{failed}"
    )
    return f"{name} {deployment.task_definition.rsplit('/', 1)[-1]}: {counts}{state}"


def _tasks_by_state(tasks: tuple[TaskState, ...]) -> str:
    counts = Counter(task.status for task in tasks)
    return ", ".join(f"{number} {status}" for status, number in sorted(counts.items())) or "none"


def _targets_by_state(targets: tuple[Target, ...]) -> str:
    """Count targets by state, with the reason of unhealthy ones.

    Example: `2 healthy, 1 unhealthy (Target.ResponseCodeMismatch: Health checks failed with
    these codes: [404])`.
    """
    counts = Counter(_target_state(target) for target in targets)
    return ", ".join(f"{number} {state}" for state, number in sorted(counts.items())) or "none"


def _target_state(target: Target) -> str:
    why = ": ".join(part for part in (target.reason, target.description) if part)
    return f"{target.state} ({why})" if target.state == "unhealthy" and why else target.state


def _weights(traffic: TrafficState) -> str:
    return ", ".join(
        f"{target_group_name(arn)} {weight} %" for arn, weight in traffic.weights.items()
    )


def _alarms(traffic: TrafficState) -> str:
    return ", ".join(f"{alarm.name} {alarm.state}" for alarm in traffic.alarms)


class PlainDisplay:
    """Print a line, with seconds since the start, for every change."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self.stream, self.clock = stream, clock
        self.id, self.began, self.timeout_s = "", clock(), 0.0
        self.last: dict[str, str] = {}

    def following(
        self, deployment_id: str, timeout_s: float, options: WatchOptions = NO_OPTIONS
    ) -> None:
        self.id, self.timeout_s, self.began = deployment_id, timeout_s, self.clock()
        self.last = {}

    def update(
        self,
        service: ServiceState,
        tasks: tuple[TaskState, ...],
        targets: tuple[Target, ...],
        traffic: TrafficState = NO_TRAFFIC,
    ) -> None:
        for deployment in service.deployments:
            name = "new" if deployment.id == self.id else "other"
            self.changed(deployment.id, _deployment_line(name, deployment))
        if tasks:
            self.changed(
                "tasks",
                f"new tasks: "
                f"{_tasks_by_state(tuple(task for task in tasks if task.started_by == self.id))}",
            )
        if targets:
            self.changed("targets", f"targets: {_targets_by_state(targets)}")
        if traffic.weights:
            self.changed("weights", f"weights: {_weights(traffic)}")
        if traffic.alarms:
            self.changed("alarms", f"alarms: {_alarms(traffic)}")

    def changed(self, key: str, line: str) -> None:
        if self.last.get(key) != line:
            self.last[key] = line
            self.write(line)

    def event(self, event: Event) -> None:
        self.write(f"event: {event_text(event.message)}")

    def finding(self, finding: Finding) -> None:
        for line in finding_lines(finding):
            self.write(line)

    def phase(self, phase: str) -> None:
        self.write(f"== {phase}")

    def line(self, line: str) -> None:
        self.write(line)

    def log_lines(self, lines: tuple[str, ...]) -> None:
        for line in lines:
            self.line(line)

    @property
    def is_live(self) -> bool:
        return False

    @property
    def shows_logs(self) -> bool | None:
        return None

    def wait(self, seconds: float, sleep: Callable[[float], None]) -> None:
        sleep(seconds)

    def close(self) -> None:
        """Do nothing: there is nothing to release."""

    def write(self, line: str) -> None:
        print(f"{self.clock() - self.began:6.1f} s  {clean(line)}", file=self.stream, flush=True)
