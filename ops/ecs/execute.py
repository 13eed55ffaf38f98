"""Run a command in a running container of a service: ECS Exec through session-manager-plugin.

Everything that ECS Exec needs is checked first, so that a missing part is named: the plugin, the
flag on service and task, the agent in the container, and the task role's permissions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ops.aws import ecs_tasks
from ops.aws.facts import ContainerState, TaskState
from ops.aws.ssm import exec_target
from ops.core import ui
from ops.core.errors import ConfigError, Refused
from ops.ecs.one_off_plan import parse_command
from ops.platform import Platform
from ops.tools import session_plugin
from ops.tools.session_plugin import PluginSession


@dataclass(frozen=True)
class ExecTarget:
    """Where a command is to run, and the plugin that leads there."""

    service: str
    task: TaskState
    container: ContainerState
    command: str
    plugin: str

    @property
    def plugin_target(self) -> str:
        """The container as Systems Manager names it."""
        return exec_target.target_name(self.task, self.container)


@dataclass(frozen=True)
class ExecResult:
    """How the session ended. ECS Exec does not report the remote command's own exit code."""

    service: str
    task: str
    container: str
    exit_code: int
    text: str = ""  # the terminal was the plugin's

    @property
    def document(self) -> dict[str, Any]:
        return {
            "service": self.service,
            "task": self.task,
            "container": self.container,
            "exit_code": self.exit_code,
        }


def find_target(
    platform: Platform, name: str, command: str | None, task: str | None, container: str | None
) -> ExecTarget:
    """Find the container, and check everything that ECS Exec needs.

    Raises ConfigError for an unknown task or container, and Refused for a missing part.
    """
    parse_command(command)
    service, cluster = platform.settings.service(name), platform.settings.environment.cluster
    plugin = session_plugin.find()
    entered = exec_target.ExecService(
        f"{name}.exec", name, cluster, service.ecs_service, platform.settings.environment.rollout
    )
    enabled = entered.exec_enabled(platform.cloud)
    chosen = _choose_task(name, entered.running_tasks(platform.cloud), task)
    ours = _choose_container(name, chosen, container, service.container)
    entered.require_agent(platform.cloud, chosen, ours, enabled=enabled)
    return ExecTarget(name, chosen, ours, command or "", plugin)


def execute(platform: Platform, target: ExecTarget) -> ExecResult:
    """Start the command, and hand the terminal over until it ends."""
    cluster, task, container = platform.settings.environment.cluster, target.task, target.container
    try:
        session = ecs_tasks.execute_command(
            platform.cloud, cluster, task.arn, container.name, target.command
        )
    except ecs_tasks.TargetNotConnected as error:
        role = exec_target.role_problem(platform.cloud, task)
        raise Refused(error.what, f"{error.why}; {role}", error.next) from None
    ui.progress(f"task {task.id}, container {container.name}")
    attached = PluginSession(
        session.response,
        target.plugin_target,
        platform.cloud.region,
        platform.cloud.profile or "",
        session.endpoint,
    )
    code = session_plugin.attach(target.plugin, attached)
    return ExecResult(target.service, task.id, container.name, code)


def _choose_task(name: str, running: Sequence[TaskState], wanted: str | None) -> TaskState:
    """The task whose id begins with `wanted`; without it, the newest that has ECS Exec enabled."""
    if wanted is None:
        return exec_target.newest_enabled(running)
    identifier = wanted.rsplit("/", 1)[-1]
    matching = [task for task in running if identifier and task.id.startswith(identifier)]
    if len(matching) != 1:
        ids = ", ".join(task.id for task in running)
        why = f"{len(matching)} tasks match" if matching else "it is no running task of the service"
        raise ConfigError(
            f"--task {wanted}",
            f"{why}; running: {ids}",
            f"inv {name}.exec --task {running[0].id} --command …",
        )
    return matching[0]


def _choose_container(
    name: str, task: TaskState, wanted: str | None, configured: str
) -> ContainerState:
    """The container named by `--container`, or the configured one."""
    found = task.container(wanted or configured)
    if found is None:
        names = ", ".join(container.name for container in task.containers)
        raise ConfigError(
            f"task {task.id} has no container {wanted or configured}",
            f"its containers are: {names}",
            f"inv {name}.exec --container {task.containers[0].name} --command …",
        )
    return found
