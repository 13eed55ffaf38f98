"""Evidence from ECS: services, tasks, task definitions, deployments."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any

from ops.aws.ecs import MISSING, failures
from ops.aws.facts import TaskDefinitionArn
from ops.core.errors import Unreachable
from ops.diagnosis import stop_history
from ops.diagnosis.collectors.registry import Reader, as_json, chunks, collector

_SERVICES_PER_CALL = 10
_TASKS_PER_CALL = 100
_MAX_REVISIONS = 6  # of stopped tasks of a service


@collector("ecs/services", "ecs:DescribeServices")
def services(reader: Reader) -> Any:
    """ECS service name → the service; None for one that does not exist.

    Raises Unreachable if ECS could not describe one for another reason.
    """
    names = [each.ecs_service for each in reader.environment.services.values()]
    found: dict[str, Any] = dict.fromkeys(names)
    for some in chunks(list(found), _SERVICES_PER_CALL):
        answer = reader.client("ecs").describe_services(
            cluster=reader.environment.cluster, services=some, include=["TAGS"]
        )
        _check_failures("services", answer)
        found.update({each["serviceName"]: each for each in answer["services"]})
    return found


@collector("ecs/tasks", "ecs:ListTasks, ecs:DescribeTasks")
def tasks(reader: Reader) -> Any:
    """ECS service name → its running tasks, and those that stopped.

    ECS forgets stopped tasks after about an hour; those that this machine saw before are added.
    """
    names = [
        name
        for name, service in reader.content("ecs/services").items()
        if service and service["status"] != "INACTIVE"
    ]
    stopped = {name: as_json(list(_tasks(reader, name, "STOPPED"))) for name in names}
    remembered = stop_history.merge(reader.platform.settings, stopped)
    return {
        name: {"running": list(_tasks(reader, name, "RUNNING")), "stopped": remembered[name]}
        for name in names
    }


def _check_failures(what: str, answer: Mapping[str, Any]) -> None:
    """Raise Unreachable for a failure other than MISSING: the thing exists, and was not read."""
    reasons = failures(answer) - {MISSING}
    if reasons:
        raise Unreachable(what, f"ECS answered with failures: {', '.join(sorted(reasons))}")


def _tasks(reader: Reader, service: str, desired: str) -> Iterator[Any]:
    """All tasks: ListTasks does not return the newest first, so a cut list could lack those."""
    client, cluster = reader.client("ecs"), reader.environment.cluster
    arns = reader.pages(
        "ecs", "list_tasks", "taskArns", cluster=cluster, serviceName=service, desiredStatus=desired
    )
    for some in chunks(arns, _TASKS_PER_CALL):
        answer = client.describe_tasks(cluster=cluster, tasks=some)
        _check_failures(f"tasks of {service}", answer)
        yield from answer["tasks"]


@collector("ecs/task-definitions", "ecs:DescribeTaskDefinition")
def task_definitions(reader: Reader) -> Any:
    """`family:revision` → the revision, of deployments, stopped tasks and the last good release."""
    client = reader.client("ecs")
    labels = dict.fromkeys(TaskDefinitionArn(each).label for each in _revisions(reader))
    answers = reader.read_each(
        {label: partial(client.describe_task_definition, taskDefinition=label) for label in labels}
    )
    return {label: {"taskDefinition": each["taskDefinition"]} for label, each in answers.items()}


def _revisions(reader: Reader) -> Iterator[str]:
    for name, service in reader.content("ecs/services").items():
        if not service or service["status"] == "INACTIVE":
            continue
        yield from (each["taskDefinition"] for each in service["deployments"])
        stopped = (reader.content("ecs/tasks").get(name) or {}).get("stopped") or ()
        yield from list(dict.fromkeys(each["taskDefinitionArn"] for each in stopped))[
            :_MAX_REVISIONS
        ]
    yield from _released(reader)


def _released(reader: Reader) -> Iterable[str]:
    """The revision of the newest successful release of each service, if records are readable."""
    records = reader.document("releases").content or {}
    for releases in records.values():
        arns = [
            each["task_definition"]
            for each in releases
            if each.get("verdict") == "succeeded" and each.get("task_definition")
        ]
        yield from arns[:1]
