"""`inv status` and `inv SERVICE.status`: what ECS runs (runbook 2, step 7)."""

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
    def ok(self) -> bool:
        """Whether the service is ACTIVE, and its one deployment COMPLETED with all its tasks."""
        state = self.state
        return (
            isinstance(state, ServiceState)
            and state.status == "ACTIVE"
            and state.running == state.desired
            and len(state.deployments) == 1
            and state.deployments[0].rollout_state in ("COMPLETED", None)
        )

    @property
    def exit_code(self) -> int:
        """0 if the service is ok and its tasks could be read, else 1."""
        return 0 if self.ok and not isinstance(self.tasks, Unknown) else 1


@dataclass(frozen=True)
class PlatformStatus:
    """The result of `inv status` and `inv SERVICE.status`."""

    environment: str
    services: tuple[ServiceStatus, ...]

    @property
    def exit_code(self) -> int:
        return max((service.exit_code for service in self.services), default=0)

    @property
    def text(self) -> str:
        return "\n".join(line for service in self.services for line in _service_lines(service))

    @property
    def document(self) -> dict[str, Any]:
        return {
            "environment": self.environment,
            "services": [_service_document(service) for service in self.services],
        }


def status(settings: Settings, names: Iterable[str]) -> PlatformStatus:
    """Read each service and its running tasks concurrently."""
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
    return PlatformStatus(
        settings.name,
        tuple(
            ServiceStatus(name, s.ecs_service, s.container, states[name], tasks[name])
            for name, s in services.items()
        ),
    )


def _service_lines(status_: ServiceStatus) -> list[str]:
    if not isinstance(status_.state, ServiceState):
        missing = f"ECS has no service {status_.ecs_service}"
        why = status_.state.why if isinstance(status_.state, Unknown) else missing
        return [f"{status_.name}: {why}"]
    state = status_.state
    lines = [
        f"{status_.name}: {state.running}/{state.desired} tasks run "
        f"{state.task_definition.rsplit('/', 1)[-1]} ({state.name})"
        f"{'' if state.status == 'ACTIVE' else f': the service is {state.status}'}"
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
    if isinstance(status_.tasks, Unknown):
        return [*lines, f"  tasks: unknown: {status_.tasks.why}"]
    for task in status_.tasks:
        container = task.container(status_.container)
        image = container.image.partition("/")[2] or container.image if container else "?"
        lines.append(f"  task {task.id[:12]}  {task.status}  {image}")
    return lines


def _service_document(status_: ServiceStatus) -> dict[str, Any]:
    if not isinstance(status_.state, ServiceState):
        why = (
            status_.state.why
            if isinstance(status_.state, Unknown)
            else f"ECS has no service {status_.ecs_service}"
        )
        return {
            "service": status_.name,
            "status": "unknown" if isinstance(status_.state, Unknown) else "missing",
            "detail": why,
        }
    state = status_.state
    return {
        "service": status_.name,
        "status": "steady" if status_.ok else "changing",
        "service_status": state.status,
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
        if isinstance(status_.tasks, Unknown)
        else [_task_document(task, status_.container) for task in status_.tasks],
    }


def _task_document(task: TaskState, name: str) -> dict[str, Any]:
    container = task.container(name)
    return {
        "id": task.id,
        "status": task.status,
        "image": container.image if container else None,
        "digest": container.digest if container else None,
    }
