"""`inv status`, `inv SERVICE.status`: what runs, as ECS shows it (runbook 2, step 7)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ops.aws import ecs
from ops.aws.facts import ServiceState, TaskState
from ops.core.findings import Unknown
from ops.core.parallel import gather
from ops.platform import Platform

if TYPE_CHECKING:
    from ops.core.config.settings import Settings


@dataclass(frozen=True)
class ServiceStatus:
    """One service: its state (None: ECS has no such service) and its running tasks."""

    name: str
    ecs_service: str
    container: str
    state: ServiceState | Unknown | None
    tasks: tuple[TaskState, ...] | Unknown

    @property
    def steady(self) -> bool:
        """Running = desired, and exactly one deployment."""
        state = self.state
        return (
            isinstance(state, ServiceState)
            and state.running == state.desired
            and len(state.deployments) == 1
        )

    @property
    def exit_code(self) -> int:
        """0 where the service is steady and its tasks could be read."""
        return 0 if self.steady and not isinstance(self.tasks, Unknown) else 1


def status(settings: Settings, names: Iterable[str]) -> tuple[ServiceStatus, ...]:
    """Each service and its running tasks, read concurrently."""
    platform = Platform.of(settings)
    cluster = settings.environment.cluster
    services = {name: settings.service(name) for name in names}
    states = gather(
        **{
            name: lambda s=s: ecs.service(platform.cloud, cluster, s.ecs_service)
            for name, s in services.items()
        }
    )
    tasks = gather(
        **{
            name: lambda s=s: ecs.tasks(platform.cloud, cluster, s.ecs_service)
            for name, s in services.items()
        }
    )
    return tuple(
        ServiceStatus(name, s.ecs_service, s.container, states[name], tasks[name])
        for name, s in services.items()
    )


def as_text(seen: Iterable[ServiceStatus]) -> str:
    lines: list[str] = []
    for one in seen:
        lines.extend(_service_lines(one))
    return "\n".join(lines)


def _service_lines(one: ServiceStatus) -> list[str]:
    if not isinstance(one.state, ServiceState):
        missing = f"ECS has no service {one.ecs_service}"
        why = one.state.why if isinstance(one.state, Unknown) else missing
        return [f"{one.name}: {why}"]
    state = one.state
    lines = [
        f"{one.name}: {state.running}/{state.desired} tasks run "
        f"{state.task_definition.rsplit('/', 1)[-1]} ({state.name})"
    ]
    for deployment in state.deployments:
        rollout = deployment.rollout_state or "-"
        counts = (
            f"{deployment.running} running, {deployment.pending} pending, {deployment.failed} "
            f"failed"
        )
        lines.append(
            f"  {deployment.status:<8} {deployment.id}  "
            f"{deployment.task_definition.rsplit('/', 1)[-1]}  {rollout}  {counts}"
        )
    if isinstance(one.tasks, Unknown):
        return [*lines, f"  tasks: unknown: {one.tasks.why}"]
    for task in one.tasks:
        container = task.container(one.container)
        lines.append(f"  task {task.id}  {task.status}  {container.image if container else '?'}")
    return lines


def as_document(seen: Iterable[ServiceStatus], settings: Settings) -> dict[str, Any]:
    return {"environment": settings.name, "services": [_service_document(one) for one in seen]}


def _service_document(one: ServiceStatus) -> dict[str, Any]:
    if not isinstance(one.state, ServiceState):
        why = (
            one.state.why
            if isinstance(one.state, Unknown)
            else f"ECS has no service {one.ecs_service}"
        )
        return {
            "service": one.name,
            "status": "unknown" if isinstance(one.state, Unknown) else "missing",
            "detail": why,
        }
    state = one.state
    return {
        "service": one.name,
        "status": "steady" if one.steady else "changing",
        "task_definition": state.task_definition.rsplit("/", 1)[-1],
        "desired": state.desired,
        "running": state.running,
        "deployments": [
            {
                "id": d.id,
                "status": d.status,
                "task_definition": d.task_definition.rsplit("/", 1)[-1],
                "rollout_state": d.rollout_state,
            }
            for d in state.deployments
        ],
        "tasks": None
        if isinstance(one.tasks, Unknown)
        else [_task_document(task, one.container) for task in one.tasks],
    }


def _task_document(task: TaskState, name: str) -> dict[str, Any]:
    container = task.container(name)
    return {
        "id": task.id,
        "status": task.status,
        "image": container.image if container else None,
        "digest": container.digest if container else None,
    }
