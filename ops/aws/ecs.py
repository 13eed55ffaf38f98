"""ECS: services, tasks and task definitions, in the terms of the ECS API."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from ops.aws.ecs_task_state import task_state
from ops.aws.facts import (
    Deployment,
    Event,
    LoadBalancer,
    ServiceState,
    TaskDefinition,
    TaskState,
)
from ops.aws.session import NEWER_FIELDS, AwsSession, code
from ops.core.errors import OpsError, Refused, Unreachable
from ops.core.redaction.redact import known
from ops.core.retry import retry

_READ_ONLY = frozenset(
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
_ARCHITECTURES = {"X86_64": "amd64", "ARM64": "arm64"}
TASKS_PER_CALL = 100
_SERVICES_PER_CALL = 10
_CONCURRENT = "Too many concurrent attempts to create a new revision"
_REGISTER_PAUSES_S = (0.5, 1.0, 2.0, 4.0, 8.0)
MISSING = "MISSING"
_NO_ANSWER = "ECS answered with neither the service nor a failure"


class ClusterMissing(Refused):
    """The cluster does not exist, or was deleted: so there is none of its services either."""


class _ConcurrentRegistration(OpsError):
    """ECS refused a registration because of another one of the same family."""

    untouched = True


def translated_ecs(
    cloud: AwsSession, what: str, cluster: str, **answers: OpsError
) -> AbstractContextManager[None]:
    """Translate ECS errors during `what`; a missing cluster is ClusterMissing, and named."""
    return cloud.translated(what, ecs_answers(cloud, cluster, **answers))


def ecs_answers(cloud: AwsSession, cluster: str, **answers: OpsError) -> dict[str, OpsError]:
    """ECS's error codes with their errors: that of a missing cluster, and `answers`."""
    missing = ClusterMissing(
        f"cluster {cluster} does not exist in {cloud.region}",
        "ECS answered ClusterNotFoundException",
        f"correct `cluster` (or `region`) in invoke.yaml; see: {cloud.program} ecs list-clusters",
    )
    return {"ClusterNotFoundException": missing, **answers}


def service(cloud: AwsSession, cluster: str, name: str) -> ServiceState | None:
    """Describe a service (ecs:DescribeServices); None if it does not exist or was deleted.

    Raises ClusterMissing, a Refused, for a missing cluster.
    """
    what = f"service {name} in cluster {cluster} (ecs:DescribeServices)"
    with translated_ecs(cloud, what, cluster):
        answer = cloud.client("ecs").describe_services(cluster=cluster, services=[name])
        found = _active_services(answer)
        reasons = failures(answer)
    if found:
        return found[0]
    if (
        reasons == {MISSING} or answer["services"]
    ):  # a wrong name is not an error in ECS: it is listed under `failures`
        return None
    how = f"{cloud.program} ecs describe-services --cluster {cluster} --services {name}"
    why = f"ECS answered with failures: {', '.join(sorted(reasons))}" if reasons else _NO_ANSWER
    raise Unreachable(what, why, how)


def services(
    cloud: AwsSession, cluster: str, names: Sequence[str]
) -> dict[str, ServiceState | None]:
    """Describe several services, ten per call (ecs:DescribeServices); None for a missing one.

    Raises the same errors as `service`.
    """
    found: dict[str, ServiceState | None] = dict.fromkeys(names)
    wanted = tuple(found)
    what = f"services in cluster {cluster} (ecs:DescribeServices)"
    for start in range(0, len(wanted), _SERVICES_PER_CALL):
        with translated_ecs(cloud, what, cluster):
            some = wanted[start : start + _SERVICES_PER_CALL]
            answer = cloud.client("ecs").describe_services(cluster=cluster, services=some)
            states = _active_services(answer)
            reasons = failures(answer) - {MISSING}
            answered = {str(each["serviceName"]) for each in answer["services"]}
            answered |= {str(each.get("arn")).rsplit("/", 1)[-1] for each in answer["failures"]}
        if reasons:
            raise Unreachable(
                what,
                f"ECS answered with failures: {', '.join(sorted(reasons))}",
                f"{cloud.program} ecs list-services",
            )
        if silent := [name for name in some if name not in answered]:
            how = (
                f"{cloud.program} ecs describe-services --cluster {cluster} --services {silent[0]}"
            )
            raise Unreachable(f"{what}: {silent[0]}", _NO_ANSWER, how)
        found.update({state.name: state for state in states})
    return found


def _active_services(answer: Mapping[str, Any]) -> list[ServiceState]:
    """Services in a DescribeServices response, without deleted ones."""
    return [service_state(each) for each in answer["services"] if each["status"] != "INACTIVE"]


def failures(answer: Mapping[str, Any]) -> set[str]:
    """Reasons under `failures`, where ECS reports what it could not describe."""
    return {str(failure.get("reason", "")) for failure in answer["failures"]}


def deployment_stage(cloud: AwsSession, cluster: str, service: str) -> str:
    """The lifecycleStage of the newest service deployment in progress, such as BAKE_TIME, or "".

    Calls ecs:ListServiceDeployments and ecs:DescribeServiceDeployments.
    """
    arns = _service_deployments(cloud, cluster, service, ["IN_PROGRESS"])
    if not arns:
        return ""
    what = f"deployment of {service} (ecs:DescribeServiceDeployments)"
    with translated_ecs(cloud, what, cluster):
        answer = cloud.client("ecs").describe_service_deployments(serviceDeploymentArns=arns[-1:])
        stages = [str(each.get("lifecycleStage") or "") for each in answer["serviceDeployments"]]
        reasons = failures(answer) - {MISSING}
    if reasons and not stages:
        why = f"ECS answered with failures: {', '.join(sorted(reasons))}"
        raise Unreachable(what, why, f"{cloud.program} ecs describe-service-deployments")
    return stages[0] if stages else ""


def stop_deployment(cloud: AwsSession, cluster: str, service: str) -> None:
    """Stop the service deployment in progress; ECS rolls back to the revision before it.

    Calls ecs:ListServiceDeployments and ecs:StopServiceDeployment. Raises Refused if none is in
    progress.
    """
    arns = _service_deployments(cloud, cluster, service, ["PENDING", "IN_PROGRESS"])
    what = f"deployment of {service} (ecs:StopServiceDeployment)"
    if not arns:
        raise Refused(what, "ECS has none in progress", f"{cloud.program} ecs describe-services")
    with cloud.changing(what, ecs_answers(cloud, cluster)):
        cloud.client("ecs").stop_service_deployment(
            serviceDeploymentArn=arns[-1], stopType="ROLLBACK"
        )


def _service_deployments(
    cloud: AwsSession, cluster: str, service: str, statuses: Sequence[str]
) -> list[str]:
    """ARNs of a service's deployments with these statuses, the newest last.

    botocore has no paginator for ListServiceDeployments.
    """
    found: list[Mapping[str, Any]] = []
    token: str | None = ""
    with translated_ecs(cloud, f"deployments of {service} (ecs:ListServiceDeployments)", cluster):
        while token is not None:
            more = {"nextToken": token} if token else {}
            answer = cloud.client("ecs").list_service_deployments(
                cluster=cluster, service=service, status=list(statuses), **more
            )
            found += answer["serviceDeployments"]
            token = answer.get("nextToken") or None
        found.sort(key=lambda each: each["createdAt"])
        return [str(each["serviceDeploymentArn"]) for each in found]


def cluster_status(cloud: AwsSession, name: str) -> str | None:
    """Status of a cluster, such as ACTIVE (ecs:DescribeClusters); None if it does not exist."""
    what = f"cluster {name} (ecs:DescribeClusters)"
    with cloud.translated(what):
        answer = cloud.client("ecs").describe_clusters(clusters=[name])
        found = [str(each["status"]) for each in answer["clusters"]]
        reasons = failures(answer)
    if not found and reasons != {"MISSING"}:
        why = (
            f"ECS answered with {', '.join(sorted(reasons)) or 'neither the cluster nor a failure'}"
        )
        raise Unreachable(what, why, f"{cloud.program} ecs describe-clusters --clusters {name}")
    return found[0] if found else None


def cluster_names(cloud: AwsSession) -> tuple[str, ...]:
    """The names of all clusters (ecs:ListClusters)."""
    with cloud.translated("clusters (ecs:ListClusters)"):
        pages = cloud.client("ecs").get_paginator("list_clusters").paginate()
        return tuple(_last_part(arn) for page in pages for arn in page["clusterArns"])


def service_names(cloud: AwsSession, cluster: str) -> tuple[str, ...]:
    """The names of a cluster's services (ecs:ListServices)."""
    with translated_ecs(cloud, f"services of {cluster} (ecs:ListServices)", cluster):
        pages = cloud.client("ecs").get_paginator("list_services").paginate(cluster=cluster)
        return tuple(_last_part(arn) for page in pages for arn in page["serviceArns"])


def _last_part(arn: str) -> str:
    return arn.rpartition("/")[2]


def tasks(
    cloud: AwsSession, cluster: str, service: str, desired_status: str = "RUNNING"
) -> tuple[TaskState, ...]:
    """List and describe the tasks of a service (ecs:ListTasks, ecs:DescribeTasks).

    Stopped tasks stay visible for about an hour. Returns an empty tuple for a missing service.
    """
    client = cloud.client("ecs")
    with translated_ecs(cloud, f"tasks of {service} (ecs:ListTasks)", cluster):
        try:
            pages = client.get_paginator("list_tasks").paginate(
                cluster=cluster, serviceName=service, desiredStatus=desired_status
            )
            arns = [arn for page in pages for arn in page["taskArns"]]
        except client.exceptions.ServiceNotFoundException:
            return ()
    return describe_tasks(cloud, cluster, arns, f"tasks of {service} (ecs:DescribeTasks)")


def describe_tasks(
    cloud: AwsSession, cluster: str, arns: Sequence[str], what: str
) -> tuple[TaskState, ...]:
    """Describe tasks (ecs:DescribeTasks); those that have vanished meanwhile are left out."""
    client = cloud.client("ecs")
    found: list[TaskState] = []
    for start in range(0, len(arns), TASKS_PER_CALL):
        some = arns[start : start + TASKS_PER_CALL]
        with translated_ecs(cloud, what, cluster):
            answer = client.describe_tasks(cluster=cluster, tasks=some)
            described = [task_state(task) for task in answer["tasks"]]
            reasons = failures(answer) - {
                "MISSING"
            }  # a task that has vanished meanwhile is MISSING
        answered = len(described) + len(answer["failures"])
        if reasons or answered < len(some):
            why = f"ECS answered with {', '.join(sorted(reasons)) or f'{answered} of {len(some)}'}"
            raise Unreachable(what, why, f"{cloud.program} ecs describe-tasks --cluster {cluster}")
        found += described
    return tuple(found)


def task_definition(cloud: AwsSession, name: str) -> TaskDefinition | None:
    """Describe a task definition (ecs:DescribeTaskDefinition); None if it does not exist.

    `name` is an ARN, `family:revision`, or a family for its latest ACTIVE revision.
    """
    from botocore.exceptions import ClientError

    with cloud.translated(f"task definition {name} (ecs:DescribeTaskDefinition)"):
        try:
            answer = cloud.client("ecs").describe_task_definition(
                taskDefinition=name, include=["TAGS"]
            )
        except ClientError as error:
            if code(error) == "ClientException" and "unable to describe" in str(error).lower():
                return None
            raise
        return revision(answer)


def same_content(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two documents would register the same revision, ignoring fields that AWS writes."""
    mine, theirs = (
        {key: value for key, value in each.items() if key not in _READ_ONLY and value}
        for each in (one, other)
    )
    return mine == theirs


def register(
    cloud: AwsSession,
    document: Mapping[str, Any],
    sleep: Callable[[float], None] = time.sleep,
) -> TaskDefinition:
    """Register a new revision from a complete `document` (ecs:RegisterTaskDefinition).

    Fields that only AWS writes are dropped; tags are included. Tried again while someone else
    registers a revision of the same family.
    """
    from botocore.exceptions import ClientError

    wanted = {key: value for key, value in document.items() if key not in _READ_ONLY}
    if not wanted.get("tags"):  # AWS refuses an empty list
        wanted.pop("tags", None)
    what = f"new revision of {wanted.get('family')} (ecs:RegisterTaskDefinition)"

    def act() -> TaskDefinition:
        with cloud.changing(what):
            try:
                answer = cloud.client("ecs").register_task_definition(**wanted)
            except ClientError as error:
                if _CONCURRENT in str(error):
                    raise _ConcurrentRegistration(
                        what, "another revision of the family is being registered", "run it again"
                    ) from None
                raise
            return revision(answer)

    return retry(
        act,
        _REGISTER_PAUSES_S,
        passing=lambda error: isinstance(error, _ConcurrentRegistration),
        sleep=sleep,
    )


def update_service(
    cloud: AwsSession, cluster: str, service: str, task_definition: str
) -> ServiceState:
    """Point a service at a task definition with exactly one ecs:UpdateService call.

    A second call would start a second deployment. Raises Refused if the service does not exist. An
    error by which ECS rejected the call (4xx) is marked `untouched`: the
    service has not changed.
    """
    what = f"rollout of {service} (ecs:UpdateService)"
    return _update_service(cloud, cluster, service, what, taskDefinition=task_definition)


def restart_service(cloud: AwsSession, cluster: str, service: str) -> ServiceState:
    """Replace a service's tasks by new ones of the same revision; see `update_service`."""
    what = f"restart of {service} (ecs:UpdateService)"
    return _update_service(cloud, cluster, service, what, forceNewDeployment=True)


def set_desired_count(cloud: AwsSession, cluster: str, service: str, count: int) -> ServiceState:
    """Set the desired count of a service, which starts no deployment; see `update_service`."""
    what = f"desired count of {service} (ecs:UpdateService)"
    return _update_service(cloud, cluster, service, what, desiredCount=count)


def _update_service(
    cloud: AwsSession, cluster: str, service: str, what: str, **changes: Any
) -> ServiceState:
    gone = Refused(
        f"service {service} cannot be updated",
        f"cluster {cluster} has no such active service",
        f"correct `ecs_service` in invoke.yaml; see: {cloud.program} ecs list-services "
        f"--cluster {cluster}",
    )
    answers = ecs_answers(
        cloud, cluster, ServiceNotFoundException=gone, ServiceNotActiveException=gone
    )
    with cloud.changing(what, answers):
        answer = cloud.client("ecs").update_service(cluster=cluster, service=service, **changes)
        return service_state(answer["service"])


def revision(answer: Mapping[str, Any]) -> TaskDefinition:
    """Convert a DescribeTaskDefinition response; hide values of environment variables."""
    found = dict(answer["taskDefinition"])
    if answer.get("tags"):
        found["tags"] = answer["tags"]
    for each in found.get("containerDefinitions") or ():
        known.add_variables(
            {
                str(pair.get("name")): str(pair.get("value") or "")
                for pair in each.get("environment") or ()
            }
        )
    cpu = (found.get("runtimePlatform") or {}).get("cpuArchitecture") or "X86_64"
    return TaskDefinition(
        found["taskDefinitionArn"],
        found["status"],
        _ARCHITECTURES.get(cpu, cpu.lower()),
        found,
        tuple(answer.get(NEWER_FIELDS) or ()),
    )


def service_state(found: Mapping[str, Any]) -> ServiceState:
    """Convert a service. Raises KeyError for a missing field that AWS always sends."""
    configuration = found.get("deploymentConfiguration") or {}
    breaker = configuration.get("deploymentCircuitBreaker") or {}
    alarms = configuration.get("alarms") or {}
    controller = (found.get("deploymentController") or {}).get("type", "ECS")
    revision = found["taskDefinition"] if controller == "ECS" else found.get("taskDefinition", "")
    return ServiceState(
        name=found["serviceName"],
        status=found["status"],
        task_definition=revision,
        desired=found["desiredCount"],
        running=found["runningCount"],
        pending=found["pendingCount"],
        deployments=tuple(deployment(item) for item in found["deployments"]),
        events=tuple(
            Event(item["id"], item.get("createdAt"), item["message"]) for item in found["events"]
        ),
        load_balancers=tuple(
            LoadBalancer(
                item["targetGroupArn"],
                item.get("containerName", ""),
                item.get("containerPort", 0),
                (item.get("advancedConfiguration") or {}).get("alternateTargetGroupArn") or "",
                (item.get("advancedConfiguration") or {}).get("productionListenerRule") or "",
            )
            for item in found["loadBalancers"]
            if item.get("targetGroupArn")
        ),
        breaker=bool(breaker.get("enable")),
        breaker_rollback=bool(breaker.get("rollback")),
        grace_s=found.get("healthCheckGracePeriodSeconds") or 0,
        security_groups=tuple(
            (found.get("networkConfiguration") or {})
            .get("awsvpcConfiguration", {})
            .get("securityGroups")
            or ()
        ),
        controller=(found.get("deploymentController") or {}).get("type") or "ECS",
        strategy=configuration.get("strategy") or "ROLLING",
        bake_s=_bake_s(configuration),
        alarms_rollback=bool(alarms.get("enable") and alarms.get("rollback")),
        scheduling=found.get("schedulingStrategy") or "REPLICA",
        alarms=tuple(alarms.get("alarmNames") or ()) if alarms.get("enable") else (),
    )


def _bake_s(configuration: Mapping[str, Any]) -> float:
    """Seconds that a deployment stays IN_PROGRESS after its tasks run, by configuration.

    The sum of the traffic-shifting steps and the bake time.
    """
    strategy = configuration.get("strategy") or "ROLLING"
    if strategy == "ROLLING":
        return 0.0
    minutes = float(configuration.get("bakeTimeInMinutes") or 0)
    if strategy == "CANARY":
        minutes += float(
            (configuration.get("canaryConfiguration") or {}).get("canaryBakeTimeInMinutes") or 0
        )
    if strategy == "LINEAR":
        linear = configuration.get("linearConfiguration") or {}
        percent = float(linear.get("stepPercent") or 100)
        minutes += math.ceil(100 / percent) * float(linear.get("stepBakeTimeInMinutes") or 0)
    return minutes * 60


def deployment(found: Mapping[str, Any]) -> Deployment:
    return Deployment(
        id=found["id"],
        status=found["status"],
        task_definition=found["taskDefinition"],
        desired=found["desiredCount"],
        running=found["runningCount"],
        pending=found["pendingCount"],
        failed=found.get("failedTasks", 0),
        rollout_state=found.get("rolloutState"),
        rollout_reason=found.get("rolloutStateReason", ""),
        created_at=found.get("createdAt"),
    )
