"""Plan a one-off task of a service: its revision and network, and the command of one container."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar

from ops.aws import ecs, ecs_tasks
from ops.aws.facts import TaskDefinition, TaskLaunch, TaskState
from ops.core import ui
from ops.core.errors import ConfigError, OpsError, Refused
from ops.core.plan import Plan, Step
from ops.core.redaction.redact import redact, redact_lines
from ops.core.redaction.shapes import HIDDEN
from ops.core.text import format_age, format_option
from ops.platform import Platform

MARK = "inv-run-"  # the beginning of startedBy


@dataclass(frozen=True)
class RunOneOffTask(Step):
    """Start one task of a revision; `placement` is for people."""

    verb: ClassVar[str] = "run_task"
    revision: str
    cluster: str
    placement: str

    def __str__(self) -> str:
        return f"Run one task of {self.revision} in cluster {self.cluster} ({self.placement})"

    @property
    def undo(self) -> str:
        return "StopTask, at an interrupt or the time limit"


@dataclass(frozen=True)
class OverrideCommand(Step):
    """Give one container of the task another command; `command` is redacted, for people."""

    verb: ClassVar[str] = "override"
    container: str
    command: tuple[str, ...]
    entry_point: tuple[str, ...]

    def __str__(self) -> str:
        text = f"Override the command of container {self.container}: {shlex.join(self.command)}"
        if not self.entry_point:
            return text
        return f"{text} (as arguments of its entryPoint {shlex.join(self.entry_point)})"


@dataclass(frozen=True)
class FollowTask(Step):
    """Print the log of a container until the task has stopped."""

    verb: ClassVar[str] = "follow"
    container: str

    def __str__(self) -> str:
        return f"Follow the log of container {self.container}, and exit with its exit code"


@dataclass(frozen=True)
class OneOffPlan:
    """The task to run: what RunTask is called with."""

    service: str
    cluster: str
    container: str
    command: tuple[str, ...]
    launch: TaskLaunch
    definition: TaskDefinition
    entry_point: tuple[str, ...] = ()
    wanted: str | None = None  # --container

    @property
    def steps(self) -> Plan:
        """The steps, for `--plan`."""
        where = ", ".join(_placement(self.launch.parameters))
        return Plan(
            (
                RunOneOffTask(self.definition.label, self.cluster, where),
                OverrideCommand(
                    self.container, redact_words(self.command), redact_words(self.entry_point)
                ),
                FollowTask(self.container),
            )
        )

    @property
    def essential(self) -> bool:
        """Whether ECS stops the task when the container ends."""
        described = self.definition.container(self.container) or {}
        return bool(described.get("essential", True))

    @property
    def typed(self) -> str:
        """The command as the value of `--command`, redacted; a value cannot begin with `-`."""
        text = shlex.join(redact_words(self.command))
        text = f" {text}" if text.startswith("-") else text
        return shlex.quote(text) if set(text) & set('"$`\\!') else f'"{text}"'

    def command_line(self, timeout_s: float | None = None) -> str:
        """The `inv` command line that runs it again, redacted."""
        options = {"--container": self.wanted, "--timeout": timeout_s and format_option(timeout_s)}
        given = [f" {option} {shlex.quote(value)}" for option, value in options.items() if value]
        return f"inv {self.service}.run --command {self.typed}{''.join(given)}"

    def parameters(self, mark: str, token: str) -> dict[str, Any]:
        """RunTask's parameters beside cluster and task definition."""
        override = {"name": self.container, "command": list(self.command)}
        return {
            **self.launch.parameters,
            "overrides": {"containerOverrides": [override]},
            "startedBy": mark,
            "clientToken": token,
        }


def stop_command(platform: Platform, task: TaskState) -> str:
    """The command of the AWS CLI that stops a task."""
    cluster = platform.settings.environment.cluster
    return f"{platform.cloud.program} ecs stop-task --cluster {cluster} --task {task.id}"


def running_one_offs(platform: Platform, family: str) -> tuple[TaskState, ...]:
    """The running tasks of a family that `run` started, also those of other operators."""
    cluster = platform.settings.environment.cluster
    found = ecs_tasks.of_family(platform.cloud, cluster, family)
    return tuple(task for task in found if task.started_by.startswith(MARK))


def report_running(platform: Platform, planned: OneOffPlan) -> None:
    """Print the service's one-off tasks that still run, each with the command that stops it.

    A run that was killed leaves its task behind. If they cannot be read, that is printed.
    """
    try:
        found = running_one_offs(platform, planned.definition.family)
    except OpsError as error:
        ui.progress(f"whether other one-off tasks run is unknown: {error.what}: {error.why}")
        return
    for task in found:
        age = "its age is unknown"
        if task.created_at:
            age = format_age((datetime.now(UTC) - task.created_at).total_seconds()) + " old"
        ui.progress(f"still running: one-off task {task.id} ({age}, {task.started_by})")
        ui.progress(f"  to stop it: {stop_command(platform, task)}")


def _placement(parameters: Mapping[str, Any]) -> Iterator[str]:
    """The launch type and the network of RunTask's parameters, for people."""
    strategy = parameters.get("capacityProviderStrategy") or ()
    yield "+".join(each["capacityProvider"] for each in strategy) or parameters.get(
        "launchType", "the cluster's capacity providers"
    )
    network = (parameters.get("networkConfiguration") or {}).get("awsvpcConfiguration")
    if network:
        yield f"subnets {' '.join(network.get('subnets') or ())}"
        yield f"security groups {' '.join(network.get('securityGroups') or ()) or 'default'}"
        public = network.get("assignPublicIp") == "ENABLED"
        yield "public address" if public else "no public address"


def redact_words(words: Sequence[str]) -> tuple[str, ...]:
    """The words of a command line, with secrets hidden in each and in the line that they make."""
    line = redact(shlex.join(redact_lines(words)))
    try:
        return tuple(shlex.split(line))
    except ValueError:  # a quotation mark was hidden
        return (*words[:1], HIDDEN)


def parse_command(text: str | None) -> tuple[str, ...]:
    """Split a command line as a shell would.

    Raises ConfigError if it is missing, empty or has an open quotation.
    """
    example = "give one: --command \"python3 -c 'print(1)'\", or --command \"sh -c 'a && b'\""
    if text is None:
        raise ConfigError("--command is missing", "there is nothing to run", example)
    try:
        words = tuple(shlex.split(text))
    except ValueError as error:
        raise ConfigError(f"--command {redact(text)!r}", str(error), example) from None
    if not words or not words[0]:
        raise ConfigError(f"--command {text!r}", "the command is empty", example)
    return words


def plan_run(
    platform: Platform, name: str, command: tuple[str, ...], container: str | None = None
) -> OneOffPlan:
    """Read how the service's tasks are started, and plan one with another command.

    Raises Refused for a missing service and ConfigError for an unknown container.
    """
    environment = platform.settings.environment
    service, cluster = platform.settings.service(name), environment.cluster
    launch = ecs_tasks.launch(platform.cloud, cluster, service.ecs_service)
    if launch is None:
        raise Refused(
            f"{name}.run: ECS has no service {service.ecs_service}",
            f"cluster {cluster} has no such active service",
            f"correct `ecs_service` in invoke.yaml; see: {platform.cloud.program} ecs "
            f"list-services --cluster {cluster}",
        )
    definition = ecs.task_definition(platform.cloud, launch.task_definition)
    if definition is None:
        raise Refused(
            f"{name}.run: task definition {launch.task_definition} does not exist",
            "the service names it, and ECS cannot describe it",
            f"inv {name}.status",
        )
    wanted = container or service.container
    described = definition.container(wanted)
    if described is None:
        names = [str(each.get("name")) for each in definition.containers]
        raise ConfigError(
            f"{definition.label} has no container {wanted}",
            f"its containers are: {', '.join(names)}",
            f"inv {name}.run --container {names[0]} --command …",
        )
    entry_point = tuple(described.get("entryPoint") or ())
    return OneOffPlan(name, cluster, wanted, command, launch, definition, entry_point, container)
