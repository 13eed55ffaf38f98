"""ECS: services, tasks and task definitions, in DescribeServices', DescribeTasks' and DescribeTaskDefinition's own words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from ops.adapters.aws import Cloud, code
from ops.errors import OpsError, Refused, Unreachable
from ops.model import ContainerState, Deployment, Event, LoadBalancer, ServiceState, TaskDefinition, TaskState

READ_ONLY = frozenset(
    {
        "taskDefinitionArn",
        "revision",
        "status",
        "requiresAttributes",
        "compatibilities",
        "registeredAt",
        "registeredBy",
        "deregisteredAt",
        "deleteRequestedAt",
    }
)
ARCHITECTURES = {"X86_64": "amd64", "ARM64": "arm64"}
TASKS_A_CALL = 100
SERVICES_A_CALL = 10


def looking(cloud: Cloud, what: str, cluster: str, **answers: OpsError) -> AbstractContextManager[None]:
    """ECS's errors as ours; a missing cluster is refused by its name."""
    missing = Refused(
        f"cluster {cluster} does not exist in {cloud.region}",
        "ECS answered ClusterNotFoundException",
        f"correct `cluster` (or `region`) in invoke.yaml; see: {cloud.program} ecs list-clusters",
    )
    return cloud.translated(what, {"ClusterNotFoundException": missing, **answers})


def service(cloud: Cloud, cluster: str, name: str) -> ServiceState | None:
    """The service (ecs:DescribeServices); None where there is none, or it has been deleted. Raises Refused for a missing cluster."""
    what = f"service {name} in cluster {cluster} (ecs:DescribeServices)"
    with looking(cloud, what, cluster):
        answer = cloud.client("ecs").describe_services(cluster=cluster, services=[name])
    for found in answer.get("services", ()):
        return service_state(found) if found.get("status") != "INACTIVE" else None
    reasons = {failure.get("reason", "") for failure in answer.get("failures", ())}
    if reasons <= {"MISSING"}:  # a wrong name is no error in ECS: it comes back under `failures`
        return None
    how = f"{cloud.program} ecs describe-services --cluster {cluster}"
    raise Unreachable(what, f"ECS answered with failures: {', '.join(sorted(reasons))}", how)


def services(cloud: Cloud, cluster: str, names: Sequence[str]) -> dict[str, ServiceState | None]:
    """Many at once, ten a call (ecs:DescribeServices); None where there is none. Raises as `service` does."""
    found: dict[str, ServiceState | None] = dict.fromkeys(names)
    wanted = tuple(found)
    what = f"services in cluster {cluster} (ecs:DescribeServices)"
    for start in range(0, len(wanted), SERVICES_A_CALL):
        with looking(cloud, what, cluster):
            answer = cloud.client("ecs").describe_services(cluster=cluster, services=wanted[start : start + SERVICES_A_CALL])
        reasons = {failure.get("reason", "") for failure in answer.get("failures", ())} - {"MISSING"}
        if reasons:
            raise Unreachable(what, f"ECS answered with failures: {', '.join(sorted(reasons))}", f"{cloud.program} ecs list-services")
        states = [service_state(each) for each in answer.get("services", ()) if each.get("status") != "INACTIVE"]
        found.update({state.name: state for state in states})
    return found


def cluster_status(cloud: Cloud, name: str) -> str | None:
    """ACTIVE, PROVISIONING, FAILED, INACTIVE … (ecs:DescribeClusters); None where there is none."""
    with cloud.translated(f"cluster {name} (ecs:DescribeClusters)"):
        answer = cloud.client("ecs").describe_clusters(clusters=[name])
    return next((str(each.get("status", "")) for each in answer.get("clusters", ())), None)


def tasks(cloud: Cloud, cluster: str, service: str, desired_status: str = "RUNNING") -> tuple[TaskState, ...]:
    """The service's tasks (ecs:ListTasks, ecs:DescribeTasks). `STOPPED` ones stay visible for about an hour. No such service: none."""
    client = cloud.client("ecs")
    with looking(cloud, f"tasks of {service} (ecs:ListTasks)", cluster):
        try:
            pages = client.get_paginator("list_tasks").paginate(cluster=cluster, serviceName=service, desiredStatus=desired_status)
            arns = [arn for page in pages for arn in page.get("taskArns", ())]
        except client.exceptions.ServiceNotFoundException:
            return ()
    found: list[TaskState] = []
    for start in range(0, len(arns), TASKS_A_CALL):
        with looking(cloud, f"tasks of {service} (ecs:DescribeTasks)", cluster):
            answer = client.describe_tasks(cluster=cluster, tasks=arns[start : start + TASKS_A_CALL])
        found += [task_state(task) for task in answer.get("tasks", ())]  # one that has gone meanwhile is under `failures`
    return tuple(found)


def task_definition(cloud: Cloud, name: str) -> TaskDefinition | None:
    """A revision by ARN or `family:revision`, or a family's latest ACTIVE one (ecs:DescribeTaskDefinition); None where there is none."""
    from botocore.exceptions import ClientError

    with cloud.translated(f"task definition {name} (ecs:DescribeTaskDefinition)"):
        try:
            answer = cloud.client("ecs").describe_task_definition(taskDefinition=name, include=["TAGS"])
        except ClientError as error:
            if code(error) == "ClientException" and "unable to describe" in str(error).lower():
                return None
            raise
    return revision(answer)


def same_content(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two documents would register the same: all but what AWS writes itself."""
    mine, theirs = ({key: value for key, value in each.items() if key not in READ_ONLY and value} for each in (one, other))
    return mine == theirs


def register(cloud: Cloud, document: Mapping[str, Any]) -> TaskDefinition:
    """A new revision from a whole `document` (ecs:RegisterTaskDefinition); fields that only AWS writes are dropped, tags go along."""
    wanted = {key: value for key, value in document.items() if key not in READ_ONLY}
    if not wanted.get("tags"):  # AWS refuses an empty list
        wanted.pop("tags", None)
    with cloud.translated(f"new revision of {wanted.get('family')} (ecs:RegisterTaskDefinition)"):
        answer = cloud.client("ecs").register_task_definition(**wanted)
    return revision(answer)


def update_service(cloud: Cloud, cluster: str, service: str, task_definition: str) -> ServiceState:
    """Point the service at a revision: exactly one ecs:UpdateService (two are two deployments). Raises Refused where it isn't there."""
    gone = Refused(
        f"service {service} cannot be updated",
        f"cluster {cluster} has no such active service",
        f"correct `ecs_service` in invoke.yaml; see: {cloud.program} ecs list-services --cluster {cluster}",
    )
    with looking(
        cloud, f"roll-out of {service} (ecs:UpdateService)", cluster, ServiceNotFoundException=gone, ServiceNotActiveException=gone
    ):
        answer = cloud.client("ecs").update_service(cluster=cluster, service=service, taskDefinition=task_definition)
    return service_state(answer["service"])


def revision(answer: Mapping[str, Any]) -> TaskDefinition:
    found = dict(answer["taskDefinition"])
    if answer.get("tags"):
        found["tags"] = answer["tags"]
    cpu = (found.get("runtimePlatform") or {}).get("cpuArchitecture") or "X86_64"
    return TaskDefinition(found["taskDefinitionArn"], found.get("status", ""), ARCHITECTURES.get(cpu, cpu.lower()), found)


def service_state(found: Mapping[str, Any]) -> ServiceState:
    breaker = (found.get("deploymentConfiguration") or {}).get("deploymentCircuitBreaker") or {}
    return ServiceState(
        name=found["serviceName"],
        status=found.get("status", ""),
        task_definition=found.get("taskDefinition", ""),
        desired=found.get("desiredCount", 0),
        running=found.get("runningCount", 0),
        pending=found.get("pendingCount", 0),
        deployments=tuple(deployment(item) for item in found.get("deployments", ())),
        events=tuple(Event(item.get("id", ""), item.get("createdAt"), item.get("message", "")) for item in found.get("events", ())),
        load_balancers=tuple(
            LoadBalancer(item["targetGroupArn"], item.get("containerName", ""), item.get("containerPort", 0))
            for item in found.get("loadBalancers", ())
            if item.get("targetGroupArn")
        ),
        breaker=bool(breaker.get("enable")),
        breaker_rollback=bool(breaker.get("rollback")),
        grace_s=found.get("healthCheckGracePeriodSeconds") or 0,
        security_groups=tuple((found.get("networkConfiguration") or {}).get("awsvpcConfiguration", {}).get("securityGroups") or ()),
    )


def deployment(found: Mapping[str, Any]) -> Deployment:
    return Deployment(
        id=found.get("id", ""),
        status=found.get("status", ""),
        task_definition=found.get("taskDefinition", ""),
        desired=found.get("desiredCount", 0),
        running=found.get("runningCount", 0),
        pending=found.get("pendingCount", 0),
        failed=found.get("failedTasks", 0),
        rollout_state=found.get("rolloutState"),
        rollout_reason=found.get("rolloutStateReason", ""),
        created_at=found.get("createdAt"),
    )


def task_state(found: Mapping[str, Any]) -> TaskState:
    return TaskState(
        arn=found["taskArn"],
        status=found.get("lastStatus", ""),
        desired_status=found.get("desiredStatus", ""),
        started_by=found.get("startedBy", ""),
        task_definition=found.get("taskDefinitionArn", ""),
        health=found.get("healthStatus", ""),
        stop_code=found.get("stopCode", ""),
        stopped_reason=found.get("stoppedReason", ""),
        containers=tuple(container(item) for item in found.get("containers", ())),
        created_at=found.get("createdAt"),
        stopped_at=found.get("stoppedAt"),
    )


def container(found: Mapping[str, Any]) -> ContainerState:
    return ContainerState(
        name=found.get("name", ""),
        image=found.get("image", ""),
        digest=found.get("imageDigest"),
        status=found.get("lastStatus", ""),
        exit_code=found.get("exitCode"),
        reason=found.get("reason", ""),
    )
