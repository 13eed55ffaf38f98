"""Show a watched rollout: a live table on a terminal, timestamped lines elsewhere.

Everything goes to stderr.

Text from outside (events, logs, reasons) is escaped and never interpreted as markup. Both displays
implement `ops.ecs.watch.Display`. They start drawing at the first answer, and restore the terminal
in `close`, which may be called at any time and more than once.
"""

from __future__ import annotations

import re
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TextIO

from ops.aws.facts import Deployment, Event, ServiceState, Target, TaskState
from ops.core import ui
from ops.core.findings import Finding
from ops.core.invocation import invocation
from ops.core.redaction.redact import redact
from ops.core.text import format_duration

_EVENTS_SHOWN = 5
_REDRAWS_A_SECOND = 4
_SERVICE = re.compile(r"^\(service [^)]+\) (?=\S)")
_TARGET_GROUP = re.compile(r"arn:[\w-]+:elasticloadbalancing:[\w:-]*:targetgroup/([\w-]+)/\w+")


def create_display(
    stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic
) -> PlainDisplay:
    """The display for stderr: a table on a terminal that can redraw, lines elsewhere."""
    out = stream or sys.stderr
    return (
        TableDisplay(out, clock) if out.isatty() and can_redraw(out) else PlainDisplay(out, clock)
    )


def can_redraw(stream: TextIO) -> bool:
    """Whether `stream` is a terminal that can redraw."""
    from rich.console import Console

    console = Console(file=stream)
    return console.is_terminal and not console.is_dumb_terminal


def clean(text: str) -> str:
    """Join `text` into one line without control characters.

    They cannot move the cursor, and a tab or newline cannot break a table.
    """
    return ui.plain(" ".join(text.split("\n")).replace("\t", " "))


def event_text(message: str) -> str:
    """An event's message without the service's name and the rest of target group ARNs."""
    return _TARGET_GROUP.sub(r"\1", _SERVICE.sub("", redact(message)))


def finding_lines(finding: Finding) -> Iterator[str]:
    """Format a finding: summary, confidence, evidence, and commands to run."""
    yield f"{finding.summary} [{finding.cause}, {finding.confidence}]"
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


class PlainDisplay:
    """Print a line, with seconds since the start, for every change."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self.stream, self.clock = stream, clock
        self.id, self.began, self.timeout_s = "", clock(), 0.0
        self.last: dict[str, str] = {}

    def following(self, deployment_id: str, timeout_s: float) -> None:
        self.id, self.timeout_s, self.began = deployment_id, timeout_s, self.clock()
        self.last = {}

    def update(
        self, service: ServiceState, tasks: tuple[TaskState, ...], targets: tuple[Target, ...]
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

    def close(self) -> None:
        """Do nothing: there is nothing to release."""

    def write(self, line: str) -> None:
        print(f"{self.clock() - self.began:6.1f} s  {clean(line)}", file=self.stream, flush=True)


class TableDisplay(PlainDisplay):
    """A table that is redrawn in place; findings and log lines are printed above it."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(stream, clock)
        self.live: Any = None
        self.state: ServiceState | None = None
        self.tasks: tuple[TaskState, ...] = ()
        self.targets: tuple[Target, ...] = ()
        self.now = ""
        self.events: deque[str] = deque(maxlen=_EVENTS_SHOWN)

    def following(self, deployment_id: str, timeout_s: float) -> None:
        super().following(deployment_id, timeout_s)
        self.state, self.now = None, ""
        self.events.clear()

    def update(
        self, service: ServiceState, tasks: tuple[TaskState, ...], targets: tuple[Target, ...]
    ) -> None:
        self.state, self.tasks, self.targets = service, tasks, targets
        self.draw()

    def event(self, event: Event) -> None:
        at = f"{event.at:%H:%M:%S} " if event.at else ""
        self.events.append(at + event_text(event.message))
        self.draw()

    def phase(self, phase: str) -> None:
        self.now = phase
        self.draw()

    def draw(self) -> None:
        """Start the live table if needed, and refresh it."""
        if self.live is None:
            from rich.console import Console
            from rich.live import Live

            console = Console(file=self.stream, highlight=False, markup=False, emoji=False)
            self.live = Live(
                get_renderable=self.picture,
                console=console,
                refresh_per_second=_REDRAWS_A_SECOND,
                # stdout is for the result; other writers to stderr are ours
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self.live.start()
        self.live.refresh()

    def picture(self) -> Any:
        from rich.table import Table
        from rich.text import Text

        table = Table.grid(padding=(0, 2))
        table.add_column(no_wrap=True, style="bold")
        table.add_column(overflow="fold")
        for name, text in self.rows():
            table.add_row(name, Text(clean(text)))
        for number, event in enumerate(
            tuple(self.events)
        ):  # ECS's messages are long: cut them, or five fill the terminal
            table.add_row(
                "" if number else "events", Text(clean(event), no_wrap=True, overflow="ellipsis")
            )
        return table

    def rows(self) -> Iterator[tuple[str, str]]:
        elapsed = format_duration(self.clock() - self.began)
        yield "deployment", self.id
        yield "phase", f"{self.now or 'starting'}, {elapsed} of {format_duration(self.timeout_s)}"
        if self.state is not None:
            for deployment in self.state.deployments:
                name = "new" if deployment.id == self.id else "other"
                yield name, _deployment_line("", deployment).strip()
                started = tuple(task for task in self.tasks if task.started_by == deployment.id)
                if started:
                    yield "", "tasks: " + _tasks_by_state(started)
            if self.targets:
                yield "targets", _targets_by_state(self.targets)

    def write(self, line: str) -> None:
        """Print above the table while it is on screen."""
        if self.live is None:
            super().write(line)
            return
        from rich.text import Text

        self.live.console.print(Text(clean(line)), soft_wrap=True)

    def close(self) -> None:
        live, self.live = self.live, None
        if live is not None:
            live.stop()
