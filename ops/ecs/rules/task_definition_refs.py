"""External references of a task definition: secrets with JSON keys, log groups, ports.

(ECS API: RegisterTaskDefinition)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ops.aws.facts import ContainerDefinition, TaskDefinition

# arn:partition:secretsmanager:region:account:secret:name; then :json-key:version-stage:version-id
_SECRET_ARN_PARTS = 7


@dataclass(frozen=True)
class Reference:
    """Something outside that a container needs at its start.

    An entry of `secrets` or of the log driver's `secretOptions`, the credentials of a private
    registry, or an environment file. `source` is a secret's ARN, an SSM parameter's name or ARN, or
    a file's S3 ARN; `key` the JSON key within the secret.
    """

    container: str
    variable: str
    source: str
    key: str | None = None

    @property
    def is_parameter(self) -> bool:
        """Whether ECS reads it as an SSM parameter: anything but a secret or a file."""
        return ":secretsmanager:" not in self.source and not self.is_file

    @property
    def is_file(self) -> bool:
        """Whether it is an environment file in S3."""
        return ":s3:::" in self.source

    @property
    def kind(self) -> str:
        """Its name in a message: `secret`, `parameter` or `environment file`."""
        if self.is_file:
            return "environment file"
        return "parameter" if self.is_parameter else "secret"


@dataclass(frozen=True)
class LogGroup:
    """The log group of a container's `awslogs` driver.

    `created`: the driver creates the group itself (`awslogs-create-group`). `region`: that of
    `awslogs-region`, or "" for the service's own.
    """

    container: str
    name: str
    created: bool
    region: str = ""

    @property
    def place(self) -> str:
        """The name, with the Region if it is named."""
        return f"{self.name} in {self.region}" if self.region else self.name


def references(revision: TaskDefinition) -> tuple[Reference, ...]:
    """Everything outside that the containers need at their start, in their order."""
    return tuple(each for container in revision.containers for each in _references(container))


def _references(container: ContainerDefinition) -> Iterator[Reference]:
    name = container.get("name", "")
    log = container.get("logConfiguration") or {}
    for entry in (*(container.get("secrets") or ()), *(log.get("secretOptions") or ())):
        yield reference(name, entry.get("name", ""), entry.get("valueFrom", ""))
    registry = (container.get("repositoryCredentials") or {}).get("credentialsParameter")
    if registry:
        yield reference(name, "repositoryCredentials", registry)
    for file in container.get("environmentFiles") or ():
        if file.get("value"):
            yield Reference(name, "environmentFiles", file["value"])


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
                    options.get("awslogs-region") or "",
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
