"""Probes for faults: a page as a viewer gets it, targets, and the stability of a service."""

from __future__ import annotations

from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ops.sandbox.faults.base import SandboxHandles
    from ops.sandbox.seed.names import ServiceSpec


def page(
    handles: SandboxHandles, path: str, timeout: float = 5.0
) -> tuple[int, HTTPResponse, bytes] | None:
    """GET `path` through the CDN, without following redirects; return status, response and body.

    None without an answer within `timeout` seconds.
    """
    connection = HTTPConnection("127.0.0.1", handles.ports.site, timeout=timeout)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer, answer.read()
    except (OSError, HTTPException):
        return None
    finally:
        connection.close()


def status(handles: SandboxHandles, path: str, timeout: float = 5.0) -> int | None:
    """Return the status code of `page`."""
    found = page(handles, path, timeout)
    return found[0] if found else None


def target_group(handles: SandboxHandles, spec: ServiceSpec) -> dict[str, Any]:
    """Return the service's target group (DescribeTargetGroups)."""
    found: dict[str, Any] = handles.clients.elb.describe_target_groups(Names=[spec.target_group])[
        "TargetGroups"
    ][0]
    return found


def targets(handles: SandboxHandles, spec: ServiceSpec) -> list[dict[str, Any]]:
    """Return the service's targets (DescribeTargetHealth): `State`, `Reason`."""
    arn = target_group(handles, spec)["TargetGroupArn"]
    found = handles.clients.elb.describe_target_health(TargetGroupArn=arn)[
        "TargetHealthDescriptions"
    ]
    return [each["TargetHealth"] for each in found]


def service(handles: SandboxHandles, spec: ServiceSpec) -> dict[str, Any]:
    """Return the service (DescribeServices)."""
    from ops.sandbox.seed.names import CLUSTER

    found: dict[str, Any] = handles.clients.ecs.describe_services(
        cluster=CLUSTER, services=[spec.service]
    )["services"][0]
    return found


def running_tasks(handles: SandboxHandles, spec: ServiceSpec) -> list[dict[str, Any]]:
    """Return the service's tasks that are RUNNING (ListTasks, DescribeTasks)."""
    return _tasks(handles, spec, "RUNNING")


def stopped_tasks(
    handles: SandboxHandles, spec: ServiceSpec, definition: str = ""
) -> list[dict[str, Any]]:
    """Return the service's tasks that are STOPPED, those of one task definition if it is given."""
    return [
        task
        for task in _tasks(handles, spec, "STOPPED")
        if definition in ("", task["taskDefinitionArn"])
    ]


def _tasks(handles: SandboxHandles, spec: ServiceSpec, status: str) -> list[dict[str, Any]]:
    from ops.sandbox.seed.names import CLUSTER

    ecs = handles.clients.ecs
    pages = ecs.get_paginator("list_tasks").paginate(
        cluster=CLUSTER, serviceName=spec.service, desiredStatus=status
    )
    found: list[dict[str, Any]] = []
    for page in pages:
        if page["taskArns"]:
            found += ecs.describe_tasks(cluster=CLUSTER, tasks=page["taskArns"])["tasks"]
    return [task for task in found if task["lastStatus"] == status]


def none_healthy(handles: SandboxHandles, spec: ServiceSpec) -> bool:
    """Whether the service has unhealthy targets and no healthy one."""
    states = [each["State"] for each in targets(handles, spec)]
    return "healthy" not in states and "unhealthy" in states


def at_rest(handles: SandboxHandles, spec: ServiceSpec) -> bool:
    """Whether the service is stable.

    One deployment, COMPLETED, all tasks running and all targets healthy.
    """
    found = service(handles, spec)
    deployments, desired = found["deployments"], found["desiredCount"]
    settled = (
        len(deployments) == 1
        and deployments[0]["rolloutState"] == "COMPLETED"
        and found["runningCount"] == desired
    )
    return settled and [each["State"] for each in targets(handles, spec)] == ["healthy"] * desired


def reset_backoff(handles: SandboxHandles, spec: ServiceSpec) -> None:
    """Let the scheduler retry now, ending its back-off after failed tasks."""
    from ops.sandbox.seed.names import CLUSTER

    store = handles.aws.cloud.ecs
    with store.lock:
        found = store.service(CLUSTER, spec.service)
        if found is not None:
            found.primary.not_before = 0.0
