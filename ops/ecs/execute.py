"""Run a command in a running container of a service: ECS Exec through session-manager-plugin.

Everything that ECS Exec needs is checked first, so that a missing part is named: the plugin, the
flag on service and task, the agent in the container, and the task role's permissions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ops.aws import ecs, ecs_tasks, iam
from ops.aws.facts import ContainerState, TaskState
from ops.core import ui
from ops.core.errors import ConfigError, OpsError, Refused
from ops.ecs.one_off_plan import parse_command
from ops.platform import Platform
from ops.tools import session_plugin
from ops.tools.session_plugin import PluginSession

_RUNNING = "RUNNING"
_ACTIONS = (
    "ssmmessages:CreateControlChannel",
    "ssmmessages:CreateDataChannel",
    "ssmmessages:OpenControlChannel",
    "ssmmessages:OpenDataChannel",
)


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
        cluster = self.task.arn.split("/")[1]
        return f"ecs:{cluster}_{self.task.id}_{self.container.runtime_id}"


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
    launch = ecs_tasks.launch(platform.cloud, cluster, service.ecs_service)
    if launch is None:
        why = f"cluster {cluster} has no active service {service.ecs_service}"
        how = f"correct `ecs_service` in invoke.yaml; see: {platform.cloud.program} ecs "
        raise Refused(f"{name}.exec", why, f"{how}list-services --cluster {cluster}")
    running = _running_tasks(platform, name)
    chosen = _choose_task(name, running, task)
    ours = _choose_container(name, chosen, container, service.container)
    if not chosen.exec_enabled:
        raise _not_enabled(platform, name, chosen, launch.exec_enabled)
    if ours.exec_agent != _RUNNING:
        raise _agent_not_running(platform, name, chosen, ours)
    return ExecTarget(name, chosen, ours, command or "", plugin)


def execute(platform: Platform, target: ExecTarget) -> ExecResult:
    """Start the command, and hand the terminal over until it ends."""
    cluster, task, container = platform.settings.environment.cluster, target.task, target.container
    try:
        session = ecs_tasks.execute_command(
            platform.cloud, cluster, task.arn, container.name, target.command
        )
    except ecs_tasks.TargetNotConnected as error:
        role = _role_problem(platform, task)
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


def _running_tasks(platform: Platform, name: str) -> tuple[TaskState, ...]:
    """The service's running tasks, newest first. Raises Refused if there is none."""
    service, cluster = platform.settings.service(name), platform.settings.environment.cluster
    found = ecs.tasks(platform.cloud, cluster, service.ecs_service)
    running = [task for task in found if task.status == _RUNNING]
    if not running:
        states = ", ".join(sorted({task.status for task in found}))
        why = f"its tasks are {states}" if states else f"{service.ecs_service} has no task"
        raise Refused(f"{name}.exec: no task is running", why, f"inv {name}.status")
    oldest = datetime.min.replace(tzinfo=UTC)
    return tuple(sorted(running, key=lambda task: task.created_at or oldest, reverse=True))


def _choose_task(name: str, running: Sequence[TaskState], wanted: str | None) -> TaskState:
    """The task whose id begins with `wanted`; without it, the newest that has ECS Exec enabled."""
    if wanted is None:
        return next((task for task in running if task.exec_enabled), running[0])
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


def _not_enabled(platform: Platform, name: str, task: TaskState, service_enabled: bool) -> OpsError:
    """The error for a task without ECS Exec, with the change that enables it."""
    environment = platform.settings.environment
    service, aws = platform.settings.service(name), platform.cloud.program
    what = f"{name}.exec: ECS Exec is not enabled in task {task.id}"
    update = f"{aws} ecs update-service --cluster {environment.cluster}"
    update += f" --service {service.ecs_service} --force-new-deployment"
    if service_enabled:
        why = "the service has enableExecuteCommand, and this task was started before it had"
        return Refused(what, why, f"replace the tasks: {update}")
    why = f"service {service.ecs_service} does not have enableExecuteCommand"
    if environment.rollout == "terraform":
        how = "set enable_execute_command = true in its aws_ecs_service, then: inv tf.apply; "
        return Refused(what, why, f"{how}{update}")
    return Refused(what, why, f"{update} --enable-execute-command")


def _agent_not_running(
    platform: Platform, name: str, task: TaskState, container: ContainerState
) -> OpsError:
    """The error for a container whose ExecuteCommandAgent does not run."""
    state = container.exec_agent or "absent"
    reason = f" ({container.exec_agent_reason})" if container.exec_agent_reason else ""
    role = _role_problem(platform, task)
    return Refused(
        f"{name}.exec: the ExecuteCommandAgent of container {container.name} is not running",
        f"task {task.id}: the agent is {state}{reason}; {role}",
        "a PENDING agent needs a few seconds; else correct the task role and replace the task",
    )


def _role_problem(platform: Platform, task: TaskState) -> str:
    """What is known about the task role's permissions for ECS Exec, as a clause."""
    try:
        definition = ecs.task_definition(platform.cloud, task.task_definition)
        if definition is None:
            return "its task role is unknown: the task definition does not exist any more"
        role = definition.document.get("taskRoleArn")
        if not role:
            return f"{definition.label} has no task role, which needs {', '.join(_ACTIONS)}"
        denied = iam.denied_actions(platform.cloud, str(role), _ACTIONS)
    except OpsError as error:
        return f"whether its task role allows ssmmessages:* is unknown ({error.why})"
    name = str(role).rsplit("/", 1)[-1]
    if denied:
        return f"its task role {name} does not allow {', '.join(denied)}"
    return f"its task role {name} allows ssmmessages:*"
