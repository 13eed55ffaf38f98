"""What a watch needs of the world and of whoever looks on: its eyes, its screen, and the outcome
that it hands back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ops.aws.facts import Event, ServiceState, Target, TaskState
from ops.core.findings import Finding, Verdict


class Observer(Protocol):
    """What can be looked at. Every method may raise OpsError. `calls`: API calls so far;
    `container`: the one that is ours; `aws`: the program as it must be typed for a look by hand."""

    calls: int
    container: str

    @property
    def aws(self) -> str: ...

    def service(self) -> ServiceState | None: ...
    def stopped(self) -> tuple[TaskState, ...]: ...
    def stage(self) -> str: ...
    def running(self) -> tuple[TaskState, ...]: ...
    def targets(self) -> tuple[Target, ...]: ...
    def log(self, task: TaskState) -> tuple[str, ...]: ...
    def follow(self, tasks: tuple[TaskState, ...]) -> tuple[str, ...]: ...


class Display(Protocol):
    """Where it is shown (`ops.ecs.display`)."""

    def following(self, deployment_id: str, timeout_s: float) -> None: ...
    def update(
        self, service: ServiceState, tasks: tuple[TaskState, ...], targets: tuple[Target, ...]
    ) -> None: ...
    def event(self, event: Event) -> None: ...
    def finding(self, finding: Finding) -> None: ...
    def phase(self, phase: str) -> None: ...
    def line(self, line: str) -> None: ...
    def close(self) -> None: ...


@dataclass(frozen=True)
class WatchResult:
    """How a deployment ended: verdict, why, what was found on the way, seconds and API calls that
    it took.

    `baking`: it timed out with all new tasks running, while ECS waited for the bake time.
    """

    verdict: Verdict
    why: str
    findings: tuple[Finding, ...]
    deployment: str
    took_s: float
    calls: int
    baking: bool = False
