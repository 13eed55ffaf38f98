"""The contract between a watch, its display and its caller."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from ops.aws.facts import Alarm, Event, ServiceState, Target, TaskState
from ops.core.findings import Finding, Verdict


@dataclass(frozen=True)
class WatchOptions:
    """What a live display offers beside the progress.

    `detach`: the lines that say what `q` means, before it is done; empty if there is no `q`.
    `interrupt`: what Ctrl-C does, in two words. `typical_s`: reads what the last rollouts took;
    None if unknown. `elapsed_s`: how long the deployment went on before the watch began.
    """

    service: str = ""
    detach: tuple[str, ...] = ()
    interrupt: str = "stop"
    typical_s: Callable[[], float | None] = lambda: None
    elapsed_s: float = 0.0


@dataclass(frozen=True)
class TrafficState:
    """The percentage of each target group in a blue/green rollout, by ARN, and the alarms."""

    weights: Mapping[str, int] = field(default_factory=dict)
    alarms: tuple[Alarm, ...] = ()


NO_OPTIONS, NO_TRAFFIC = WatchOptions(), TrafficState()


class Display(Protocol):
    """Where a watch reports its progress (`ops.ecs.display`, `ops.ecs.live_display`)."""

    def following(
        self, deployment_id: str, timeout_s: float, options: WatchOptions = ...
    ) -> None: ...
    def update(
        self,
        service: ServiceState,
        tasks: tuple[TaskState, ...],
        targets: tuple[Target, ...],
        traffic: TrafficState = ...,
    ) -> None: ...
    def log_lines(self, lines: tuple[str, ...]) -> None: ...
    def wait(self, seconds: float, sleep: Callable[[float], None]) -> None:
        """Sleep. Raises Detached if the operator ends the watch."""

    @property
    def is_live(self) -> bool:
        """Whether it draws the tasks, so that they are read early."""

    @property
    def shows_logs(self) -> bool | None:
        """Whether log lines are wanted; None to leave that to the caller of the watch."""

    def event(self, event: Event) -> None: ...
    def finding(self, finding: Finding) -> None: ...
    def phase(self, phase: str) -> None: ...
    def line(self, line: str) -> None: ...
    def close(self) -> None: ...


@dataclass(frozen=True)
class WatchResult:
    """The result of a watch: verdict, reason, findings, duration and number of API calls.

    `baking`: it timed out with all new tasks running, while ECS waited for the bake time.
    """

    verdict: Verdict
    why: str
    findings: tuple[Finding, ...]
    deployment: str
    took_s: float
    calls: int
    baking: bool = False
