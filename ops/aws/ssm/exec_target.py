"""A running container that ECS Exec leads into, and what is missing where it does not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from ops.aws import ecs, ecs_tasks, iam
from ops.aws.facts import ContainerState, TaskState
from ops.aws.session import AwsSession
from ops.core.errors import OpsError, Refused

_RUNNING = "RUNNING"
_ACTIONS = (
    "ssmmessages:CreateControlChannel",
    "ssmmessages:CreateDataChannel",
    "ssmmessages:OpenControlChannel",
    "ssmmessages:OpenDataChannel",
)


@dataclass(frozen=True)
class ExecService:
    """A service whose tasks are entered; `purpose` begins its errors (`backend.exec`)."""

    purpose: str
    name: str
    cluster: str
    ecs_service: str
    rollout: str

    def exec_enabled(self, cloud: AwsSession) -> bool:
        """Whether its next tasks have ECS Exec. Raises Refused if ECS has no such service."""
        launch = ecs_tasks.launch(cloud, self.cluster, self.ecs_service)
        if launch is None:
            why = f"cluster {self.cluster} has no active service {self.ecs_service}"
            how = f"correct `ecs_service` in invoke.yaml; see: {cloud.program} ecs "
            raise Refused(self.purpose, why, f"{how}list-services --cluster {self.cluster}")
        return launch.exec_enabled

    def running_tasks(self, cloud: AwsSession) -> tuple[TaskState, ...]:
        """Its running tasks, newest first. Raises Refused if there is none."""
        found = ecs.tasks(cloud, self.cluster, self.ecs_service)
        running = [task for task in found if task.status == _RUNNING]
        if not running:
            states = ", ".join(sorted({task.status for task in found}))
            why = f"its tasks are {states}" if states else f"{self.ecs_service} has no task"
            raise Refused(f"{self.purpose}: no task is running", why, f"inv {self.name}.status")
        oldest = datetime.min.replace(tzinfo=UTC)
        return tuple(sorted(running, key=lambda task: task.created_at or oldest, reverse=True))

    def require_agent(
        self, cloud: AwsSession, task: TaskState, container: ContainerState, *, enabled: bool
    ) -> None:
        """Raise Refused if ECS Exec can't enter the container; `enabled`: the service's flag."""
        if not task.exec_enabled:
            raise self._not_enabled(cloud, task, enabled)
        if container.exec_agent != _RUNNING:
            raise self.agent_not_running(cloud, task, container)

    def _not_enabled(self, cloud: AwsSession, task: TaskState, service_enabled: bool) -> OpsError:
        """The error for a task without ECS Exec, with the change that enables it."""
        what = f"{self.purpose}: ECS Exec is not enabled in task {task.id}"
        update = f"{cloud.program} ecs update-service --cluster {self.cluster}"
        update += f" --service {self.ecs_service} --force-new-deployment"
        if service_enabled:
            why = "the service has enableExecuteCommand, and this task was started before it had"
            return Refused(what, why, f"replace the tasks: {update}")
        why = f"service {self.ecs_service} does not have enableExecuteCommand"
        if self.rollout == "terraform":
            how = "set enable_execute_command = true in its aws_ecs_service, then: inv tf.apply; "
            return Refused(what, why, f"{how}{update}")
        return Refused(what, why, f"{update} --enable-execute-command")

    def agent_not_running(
        self, cloud: AwsSession, task: TaskState, container: ContainerState
    ) -> OpsError:
        """The error for a container whose ExecuteCommandAgent does not run."""
        state = container.exec_agent or "absent"
        reason = f" ({container.exec_agent_reason})" if container.exec_agent_reason else ""
        role = role_problem(cloud, task)
        return Refused(
            f"{self.purpose}: the ExecuteCommandAgent of container {container.name} is not running",
            f"task {task.id}: the agent is {state}{reason}; {role}",
            "a PENDING agent needs a few seconds; else correct the task role and replace the task",
        )


def newest_enabled(running: Sequence[TaskState]) -> TaskState:
    """The newest task that has ECS Exec enabled, one that stays first; the newest if none has."""
    enabled = [task for task in running if task.exec_enabled]
    stays = [task for task in enabled if task.desired_status == _RUNNING]
    return (*stays, *enabled, *running)[0]


def target_name(task: TaskState, container: ContainerState) -> str:
    """The container as Systems Manager names it."""
    cluster = task.arn.split("/")[1]
    return f"ecs:{cluster}_{task.id}_{container.runtime_id}"


def role_problem(cloud: AwsSession, task: TaskState) -> str:
    """What is known about the task role's permissions for ECS Exec, as a clause."""
    try:
        definition = ecs.task_definition(cloud, task.task_definition)
        if definition is None:
            return "its task role is unknown: the task definition does not exist any more"
        role = definition.document.get("taskRoleArn")
        if not role:
            return f"{definition.label} has no task role, which needs {', '.join(_ACTIONS)}"
        denied = iam.denied_actions(cloud, str(role), _ACTIONS)
    except OpsError as error:
        return f"whether its task role allows ssmmessages:* is unknown ({error.why})"
    name = str(role).rsplit("/", 1)[-1]
    if denied:
        return f"its task role {name} does not allow {', '.join(denied)}"
    return f"its task role {name} allows ssmmessages:*"
