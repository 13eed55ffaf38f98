"""External references of a task definition: secrets with JSON keys, log groups, ports.

(ECS API: RegisterTaskDefinition)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ops.aws.facts import ContainerDefinition, TaskDefinition

# arn:partition:secretsmanager:region:account:secret:name; then :json-key:version-stage:version-id
_SECRET_ARN_PARTS = 7


@dataclass(frozen=True)
class Reference:
    """One `secrets:` entry of a container.

    `source` is a secret's ARN, or an SSM parameter's name or ARN; `key` the JSON key within the
    secret.
    """

    container: str
    variable: str
    source: str
    key: str | None = None

    @property
    def is_parameter(self) -> bool:
        """Whether ECS reads it as an SSM parameter: anything but a Secrets Manager ARN."""
        return ":secretsmanager:" not in self.source


@dataclass(frozen=True)
class LogGroup:
    """The log group of a container's `awslogs` driver.

    `created`: the driver creates the group itself (`awslogs-create-group`).
    """

    container: str
    name: str
    created: bool


def references(revision: TaskDefinition) -> tuple[Reference, ...]:
    """Every secret of the containers, in their order."""
    return tuple(
        reference(container.get("name", ""), entry.get("name", ""), entry.get("valueFrom", ""))
        for container in revision.containers
        for entry in container.get("secrets") or ()
    )


def reference(container: str, variable: str, value_from: str) -> Reference:
    parts = value_from.split(":")
    if parts[0] != "arn" or parts[2:3] != ["secretsmanager"]:
        return Reference(container, variable, value_from)
    key = parts[_SECRET_ARN_PARTS] if len(parts) > _SECRET_ARN_PARTS else ""
    return Reference(container, variable, ":".join(parts[:_SECRET_ARN_PARTS]), key or None)


def log_groups(revision: TaskDefinition) -> tuple[LogGroup, ...]:
    """The log groups of containers with the `awslogs` driver."""
    found = []
    for container in revision.containers:
        driver, options = log_driver(container), log_options(container)
        if driver == "awslogs" and options.get("awslogs-group"):
            found.append(
                LogGroup(
                    container.get("name", ""),
                    options["awslogs-group"],
                    options.get("awslogs-create-group") == "true",
                )
            )
    return tuple(found)


def log_driver(container: ContainerDefinition | None) -> str | None:
    """The container's log driver, if it has a log configuration."""
    return ((container or {}).get("logConfiguration") or {}).get("logDriver")


def log_options(container: ContainerDefinition | None) -> Mapping[str, str]:
    """The options of the container's log driver; empty if it has none."""
    return ((container or {}).get("logConfiguration") or {}).get("options") or {}


def ports(container: ContainerDefinition) -> tuple[int, ...]:
    """The container's `containerPort`s."""
    return tuple(
        mapping["containerPort"]
        for mapping in container.get("portMappings") or ()
        if "containerPort" in mapping
    )
