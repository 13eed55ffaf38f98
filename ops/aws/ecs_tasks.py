"""ECS: start, stop and enter single tasks (RunTask, StopTask, ExecuteCommand)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ops.aws.ecs import MISSING, describe_tasks, ecs_answers, failures, translated_ecs
from ops.aws.ecs_task_state import task_state
from ops.aws.facts import TaskLaunch, TaskState
from ops.aws.session import AwsSession
from ops.core.errors import Refused, Unreachable
from ops.core.redaction.redact import known, one_line

_PLACEMENT = ("placementConstraints", "placementStrategy")
_NOT_CONNECTED = "TargetNotConnectedException"


@dataclass(frozen=True)
class NotPlaced:
    """An entry of `failures` in a RunTask response: why ECS placed no task."""

    reason: str
    detail: str
    arn: str = ""


@dataclass(frozen=True)
class ExecSession:
    """A session of ExecuteCommand or StartSession, and the endpoint that made it.

    `response` holds the session's token, which must not appear in arguments or output.
    """

    response: Mapping[str, str]
    endpoint: str


class TargetNotConnected(Refused):
    """The ExecuteCommandAgent of the container has no connection to Systems Manager."""


def launch(cloud: AwsSession, cluster: str, service: str) -> TaskLaunch | None:
    """Read how a service starts its tasks (ecs:DescribeServices); None if it does not exist.

    Raises Refused for a missing cluster.
    """
    what = f"service {service} in cluster {cluster} (ecs:DescribeServices)"
    with translated_ecs(cloud, what, cluster):
        answer = cloud.client("ecs").describe_services(
            cluster=cluster, services=[service], include=["TAGS"]
        )
        found = [_launch(each) for each in answer["services"] if each["status"] != "INACTIVE"]
        reasons = failures(answer)
        gone = reasons == {MISSING} or bool(answer["services"])
    if found:
        return found[0]
    if gone:
        return None
    why = f"ECS answered with {', '.join(sorted(reasons)) or 'neither the service nor a failure'}"
    how = f"{cloud.program} ecs describe-services --cluster {cluster} --services {service}"
    raise Unreachable(what, why, how)


def _launch(service: Mapping[str, Any]) -> TaskLaunch:
    """Convert a service. A CODE_DEPLOY or EXTERNAL one has task sets in place of deployments."""
    made = [*(service.get("deployments") or ()), *(service.get("taskSets") or ())]
    primary: Mapping[str, Any] = next(
        (each for each in made if each["status"] == "PRIMARY"), service
    )
    running = next((each for each in made if _runs(each)), primary)
    newer = primary["taskDefinition"] if running is not primary else ""
    return TaskLaunch(
        running["taskDefinition"],
        _parameters(service, running),
        "" if newer == running["taskDefinition"] else newer,
        bool(service.get("enableExecuteCommand")),
    )


def _runs(deployment: Mapping[str, Any]) -> bool:
    """Whether a deployment (or task set) has replaced all tasks before it."""
    return (
        deployment.get("rolloutState") == "COMPLETED"
        or deployment.get("stabilityStatus") == "STEADY_STATE"
    )


def _parameters(service: Mapping[str, Any], running: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of RunTask that start a task as the service's own tasks are started."""

    def value(name: str) -> Any:
        return service.get(name) or running.get(name)

    wanted = {name: value(name) for name in ("networkConfiguration", "volumeConfigurations")}
    if value("capacityProviderStrategy"):
        wanted["capacityProviderStrategy"] = value("capacityProviderStrategy")
    else:
        wanted["launchType"] = value("launchType")
    if wanted.get("launchType") == "EC2" or not value("platformVersion"):
        wanted |= {name: service.get(name) for name in _PLACEMENT}
    else:
        wanted["platformVersion"] = value("platformVersion")
    if service.get("propagateTags") == "SERVICE":  # which RunTask does not take
        wanted["tags"] = service.get("tags")
    elif service.get("propagateTags") == "TASK_DEFINITION":
        wanted["propagateTags"] = "TASK_DEFINITION"
    wanted["enableECSManagedTags"] = service.get("enableECSManagedTags")
    return {name: value for name, value in wanted.items() if value}


def run(
    cloud: AwsSession, cluster: str, task_definition: str, parameters: Mapping[str, Any]
) -> TaskState | tuple[NotPlaced, ...]:
    """Start one task with exactly one ecs:RunTask call; the failures if ECS placed none.

    `parameters` has a `clientToken`, so botocore's retries start no second task. An error by which
    ECS rejected the call is marked `untouched`: no task was started.
    """
    what = f"task of {task_definition} (ecs:RunTask)"
    with cloud.changing(what, ecs_answers(cloud, cluster)):
        answer = cloud.client("ecs").run_task(
            cluster=cluster, taskDefinition=task_definition, count=1, **parameters
        )
        if answer["tasks"]:
            return task_state(answer["tasks"][0])
        return tuple(
            NotPlaced(
                str(each.get("reason", "")),
                one_line(each.get("detail") or ""),
                str(each.get("arn", "")),
            )
            for each in answer["failures"]
        )


def of_family(
    cloud: AwsSession, cluster: str, family: str, *, status: str = "RUNNING"
) -> tuple[TaskState, ...]:
    """The tasks of a family of task definitions (ecs:ListTasks, ecs:DescribeTasks).

    `status` is the desired one: RUNNING, or STOPPED for those of about the last hour.
    """
    with translated_ecs(cloud, f"tasks of family {family} (ecs:ListTasks)", cluster):
        pages = cloud.client("ecs").get_paginator("list_tasks")
        pages = pages.paginate(cluster=cluster, family=family, desiredStatus=status)
        arns = [str(arn) for page in pages for arn in page["taskArns"]]
    what = f"tasks of family {family} (ecs:DescribeTasks)"
    return describe_tasks(cloud, cluster, arns, what)


def started_by(cloud: AwsSession, cluster: str, mark: str) -> TaskState | None:
    """The task whose startedBy is `mark` (ecs:ListTasks, ecs:DescribeTasks), or None."""
    with translated_ecs(cloud, f"tasks started by {mark} (ecs:ListTasks)", cluster):
        pages = cloud.client("ecs").get_paginator("list_tasks")
        pages = pages.paginate(cluster=cluster, startedBy=mark)
        arns = [str(arn) for page in pages for arn in page["taskArns"]]
    return describe(cloud, cluster, arns[0]) if arns else None


def describe(cloud: AwsSession, cluster: str, arn: str) -> TaskState | None:
    """Describe one task (ecs:DescribeTasks); None if ECS does not know it (yet, or any more)."""
    what = f"task {arn.rsplit('/', 1)[-1]} (ecs:DescribeTasks)"
    with translated_ecs(cloud, what, cluster):
        answer = cloud.client("ecs").describe_tasks(cluster=cluster, tasks=[arn])
        found = [task_state(each) for each in answer["tasks"]]
        reasons = failures(answer)
    if not found and reasons != {MISSING}:
        why = f"ECS answered with {', '.join(sorted(reasons)) or 'neither the task nor a failure'}"
        how = f"{cloud.program} ecs describe-tasks --cluster {cluster} --tasks {arn}"
        raise Unreachable(what, why, how)
    return found[0] if found else None


def stop(cloud: AwsSession, cluster: str, arn: str, reason: str) -> TaskState:
    """Stop a task (ecs:StopTask): SIGTERM, and SIGKILL after its stop timeout."""
    what = f"task {arn.rsplit('/', 1)[-1]} (ecs:StopTask)"
    with cloud.changing(what, ecs_answers(cloud, cluster)):
        answer = cloud.client("ecs").stop_task(cluster=cluster, task=arn, reason=reason[:255])
        return task_state(answer["task"])


def execute_command(
    cloud: AwsSession, cluster: str, arn: str, container: str, command: str
) -> ExecSession:
    """Start a command in a running container (ecs:ExecuteCommand); its token becomes known.

    Raises TargetNotConnected, and Refused if the task does not allow it.
    """
    from botocore.exceptions import ClientError

    what = f"command in container {container} (ecs:ExecuteCommand)"
    unconnected = TargetNotConnected(
        what,
        "the ExecuteCommandAgent of the container has no connection to Systems Manager",
        "check the task role's ssmmessages permissions and the network's way to ssmmessages",
    )
    client = cloud.client("ecs")
    with translated_ecs(cloud, what, cluster, **{_NOT_CONNECTED: unconnected}):
        try:
            answer = client.execute_command(
                cluster=cluster, task=arn, container=container, command=command, interactive=True
            )
        except ClientError as error:
            found = error.response.get("Error", {})
            if found.get("Code") != "InvalidParameterException":
                raise
            how = f"{cloud.program} ecs describe-tasks --cluster {cluster} --tasks {arn}"
            raise Refused(what, one_line(found.get("Message") or error), how) from None
        session = answer["session"]
        known.add(str(session["tokenValue"]))
        response = {
            "SessionId": str(session["sessionId"]),
            "TokenValue": str(session["tokenValue"]),
            "StreamUrl": str(session["streamUrl"]),
        }
        return ExecSession(response, str(client.meta.endpoint_url))
