"""Which task reaches the database: its revision, network, container and log."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ops.aws import ecs, ecs_tasks
from ops.aws.cloudwatch import logs
from ops.aws.facts import TaskDefinition, TaskLaunch
from ops.core.errors import ConfigError, Denied, Refused
from ops.database_task.rules import requirements
from ops.database_task.rules.requirements import LogPlace, ObjectPlace
from ops.ecs.rules.task_definition_refs import log_options
from ops.platform import Platform

if TYPE_CHECKING:
    from ops.core.config.database import DatabaseTask
    from ops.core.config.settings import Settings


@dataclass(frozen=True)
class TaskPlan:
    """The task to start, and the place of its messages; `variables` are names by their kind."""

    cluster: str
    service: str
    container: str
    python: str
    launch: TaskLaunch
    definition: TaskDefinition
    log: LogPlace
    place: ObjectPlace
    variables: Mapping[str, str]
    libraries: str

    @property
    def entry_point(self) -> tuple[str, ...]:
        """The entryPoint of the task definition, whose arguments our command would be."""
        described = self.definition.container(self.container) or {}
        return tuple(described.get("entryPoint") or ())

    def parameters(self, overrides: Mapping[str, Any], mark: str, token: str) -> dict[str, Any]:
        """RunTask's parameters beside cluster and task definition.

        The volumes that a service configures are those of its own task definition.
        """
        given = dict(self.launch.parameters)
        if self.definition.arn != self.launch.task_definition:
            given.pop("volumeConfigurations", None)
        return {
            **given,
            "overrides": overrides,
            "startedBy": mark,
            "clientToken": token,
        }


def configured_task(settings: Settings) -> DatabaseTask:
    """`database.task`. Raises ConfigError."""
    database = settings.environment.database
    if database is None or database.task is None:
        key = f"environments.{settings.name}.database.task"
        raise ConfigError(
            "database.run is task, and no task is configured",
            f"{key} is missing",
            f"add {key} to invoke.yaml: service and variables (docs/migrations.md)",
        )
    return database.task


def object_place(settings: Settings) -> ObjectPlace:
    """Where bundles and messages are. Raises ConfigError."""
    state = settings.environment.state
    configured = configured_task(settings).bundle
    return requirements.object_place(
        configured, state.bucket if state else None, state.prefix if state else ""
    )


def require_log_group(platform: Platform, plan: TaskPlan) -> None:
    """Raise Refused if the container's log group does not exist: ECS would not start the task.

    Without logs:DescribeLogGroups, ECS decides.
    """
    log = plan.log
    container = plan.definition.container(plan.container) or {}
    if log_options(container).get("awslogs-create-group") == "true":
        return
    cloud = platform.cloud.in_region(log.region or platform.cloud.region)
    try:
        if logs.group_exists(cloud, log.group):
            return
    except Denied:
        return
    raise Refused(
        f"log group {log.group} of {plan.definition.label} does not exist",
        f"container {plan.container} logs to it, so ECS would not start the task",
        f"{cloud.program} logs create-log-group --log-group-name {shlex.quote(log.group)}",
    )


def plan_task(platform: Platform) -> TaskPlan:
    """Read how the task is started. Raises ConfigError, and Refused for what can't work."""
    settings = platform.settings
    configured, cluster = configured_task(settings), settings.environment.cluster
    variables = requirements.variable_names(configured.variables)
    place, service = object_place(settings), settings.service(configured.service)
    launch = ecs_tasks.launch(platform.cloud, cluster, service.ecs_service)
    if launch is None:
        raise Refused(
            f"database.task.service: ECS has no service {service.ecs_service}",
            f"cluster {cluster} has no such active service",
            "correct database.task.service in invoke.yaml",
        )
    name = configured.task_definition or launch.task_definition
    definition = ecs.task_definition(platform.cloud, name)
    if definition is None:
        raise Refused(
            f"task definition {name} does not exist",
            "ECS cannot describe it",
            "correct database.task.task_definition in invoke.yaml",
        )
    container = configured.container or service.container
    described = requirements.check_container(definition, container)
    requirements.check_platform(definition)
    log = requirements.check_log(definition, described)
    requirements.check_variables(definition, described, variables)
    return TaskPlan(
        cluster,
        configured.service,
        container,
        configured.python,
        launch,
        definition,
        log,
        place,
        variables,
        configured.libraries,
    )
