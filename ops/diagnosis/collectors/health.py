"""Evidence that other packages read: the health sweep, release records, logs of stopped tasks."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from ops.aws.ecs_task_state import task_state
from ops.aws.facts import TaskState
from ops.core.findings import as_document
from ops.diagnosis.collectors.registry import Reader, collector
from ops.ecs.observer import EcsObserver
from ops.health import sweep as health_sweep
from ops.health.model import Check, SweepRequest
from ops.state import records

if TYPE_CHECKING:
    from ops.core.config.settings import Service

_LOGS_OF = 3  # stopped tasks of a service, of different causes first


@collector("sweep", "inv health.all")
def sweep(reader: Reader) -> Any:
    """The checks of `health.all`, each with its key and its own finding."""
    found = health_sweep.sweep(reader.platform, SweepRequest(), None)
    return {
        "healthy": found.healthy,
        "at": found.at,
        "checks": [_check(check) for check in found.checks],
    }


def _check(check: Check) -> dict[str, Any]:
    return {
        "group": check.group,
        "kind": check.key.kind,
        "subject": check.key.subject,
        "layer": check.key.layer,
        "name": check.name,
        "status": check.status,
        "detail": check.detail,
        "value": check.value,
        "service": check.service,
        "finding": as_document(check.finding) if check.finding else None,
        "explained_by": check.explained_by.label if check.explained_by else "",
        "denied": check.denied.action if check.denied else "",
    }


@collector("releases", "release records in S3")
def releases(reader: Reader) -> Any:
    """Service → its newest release records, newest first; empty without `state` in the settings."""
    return {
        name: [vars(record) for record in records.read(reader.platform, name)]
        for name in reader.environment.services
    }


@collector("logs/stopped", "logs:GetLogEvents")
def logs_of_stopped(reader: Reader) -> Any:
    """ECS service → task id → the last log lines of the container that ended."""
    found: dict[str, dict[str, Any]] = {}
    for service in reader.environment.services.values():
        tasks = reader.content("ecs/tasks").get(service.ecs_service) or {}
        chosen = list(_to_explain(tuple(map(task_state, tasks.get("stopped") or ()))))
        found[service.ecs_service] = _logs(reader, service, chosen)
    return found


def _logs(reader: Reader, service: Service, tasks: list[TaskState]) -> dict[str, Any]:
    """Task id → its last log lines."""
    observer = EcsObserver(
        reader.cloud, reader.environment.cluster, service.ecs_service, service.container
    )
    return reader.read_each({task.id: partial(observer.log, task) for task in tasks})


def _to_explain(tasks: tuple[TaskState, ...]) -> Iterator[TaskState]:
    """The newest stopped tasks of each deployment."""
    newest = sorted(tasks, key=lambda task: str(task.created_at), reverse=True)
    by_deployment: dict[str, list[TaskState]] = {}
    for task in newest:
        by_deployment.setdefault(task.started_by, []).append(task)
    for some in by_deployment.values():
        yield from islice(some, _LOGS_OF)


@collector("logs/unhealthy", "logs:GetLogEvents")
def logs_of_unhealthy(reader: Reader) -> Any:
    """ECS service → task id → the last log lines of running tasks whose targets are unhealthy."""
    unhealthy = {
        each["Target"]["Id"]
        for targets in reader.content("elb/targets").values()
        for each in targets
        if each["TargetHealth"]["State"] == "unhealthy"
    }
    return {
        service.ecs_service: _logs(
            reader,
            service,
            [
                task
                for task in map(
                    task_state,
                    (reader.content("ecs/tasks").get(service.ecs_service) or {}).get("running")
                    or (),
                )
                if task.address in unhealthy
            ][:_LOGS_OF],
        )
        for service in reader.environment.services.values()
    }
