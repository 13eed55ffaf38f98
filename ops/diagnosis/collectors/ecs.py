"""Evidence from ECS: services, tasks, task definitions, deployments."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any

from ops.aws.facts import TaskDefinitionArn
from ops.diagnosis import stop_history
from ops.diagnosis.collectors.registry import Reader, as_json, collector

_SERVICES_PER_CALL = 10
_TASKS_PER_CALL = 100
_MAX_STOPPED = 500  # of a service; ListTasks does not return the newest first
_MAX_REVISIONS = 6  # of stopped tasks of a service


@collector("ecs/services", "ecs:DescribeServices")
def services(reader: Reader) -> Any:
    """ECS service name → the service; None for one that does not exist."""
    names = [each.ecs_service for each in reader.environment.services.values()]
    found: dict[str, Any] = dict.fromkeys(names)
    for some in _chunks(list(found), _SERVICES_PER_CALL):
        answer = reader.client("ecs").describe_services(
            cluster=reader.environment.cluster, services=some, include=["TAGS"]
        )
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


def _tasks(reader: Reader, service: str, desired: str) -> Iterator[Any]:
    client, cluster = reader.client("ecs"), reader.environment.cluster
    pages = client.get_paginator("list_tasks").paginate(
        cluster=cluster, serviceName=service, desiredStatus=desired
    )
    arns = [arn for page in pages for arn in page["taskArns"]]
    for some in _chunks(arns[:_MAX_STOPPED] if desired == "STOPPED" else arns, _TASKS_PER_CALL):
        yield from client.describe_tasks(cluster=cluster, tasks=some)["tasks"]


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


def _chunks(items: Sequence[Any], size: int) -> Iterator[list[Any]]:
    for start in range(0, len(items), size):
        yield list(items[start : start + size])
