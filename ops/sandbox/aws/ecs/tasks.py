"""The task calls of the ECS API: RunTask, StopTask, DescribeTasks, ListTasks, ExecuteCommand.

Emulates: ListTasks by serviceName, startedBy, family and desiredStatus (default RUNNING);
`failures` MISSING; StopTask's UserInitiated; RunTask on Fargate, run by the same agent, with its
`clientToken`; ExecuteCommand's checks of the task, its agent and its container. Unlike moto's,
reading a task never changes its state. Differs from ECS: StartTask and container instances are
moto's (there are no instances, so RunTask never answers with `failures`), a task takes no tags from
its service, `containerInstance`, `launchType` filters are ignored, and the session of
ExecuteCommand leads nowhere: no command is run, and nothing listens at its stream URL.
"""

from __future__ import annotations

import json
import secrets
from typing import Any

from moto.ecs.responses import EC2ContainerServiceResponse

from ops.sandbox.aws.ecs import errors
from ops.sandbox.aws.ecs.model import Task
from ops.sandbox.aws.ecs.render import container_view, task_view
from ops.sandbox.aws.ecs.store import EcsStore, service_arn
from ops.sandbox.aws.ecs.task_definitions import describe, paged
from ops.sandbox.aws.overrides import answer
from ops.sandbox.contracts import ACCOUNT, REGION

_MOST_TASKS = 10  # of one RunTask
_NO_EXEC = (
    "The execute command failed because execute command was not enabled when the task was run or "
    "the execute command agent isn’t running. Wait and try again or run a new task with execute "
    "command enabled and try again."
)
_SEVERAL = "Container name must be specified: the task has more than one container."
_NOWHERE = "wss://127.0.0.1:9/v1/data-channel"  # the discard port: nothing of the sandbox


class Tasks:
    """The task calls of the ECS API over one store."""

    def __init__(self, store: EcsStore) -> None:
        self.store = store
        # the parameters and the tasks of each RunTask with a clientToken
        self._tokens: dict[str, tuple[str, list[Task]]] = {}

    def install(self) -> None:
        actions = ("run_task", "stop_task", "describe_tasks", "list_tasks", "execute_command")
        for action in actions:
            answer(EC2ContainerServiceResponse, action, getattr(self, action))

    def run_task(self, response: Any) -> dict[str, Any]:
        backend = response.ecs_backend
        cluster = backend._get_cluster(response._get_param("cluster") or "default")
        definition = describe(backend, response._get_param("taskDefinition"))
        if definition.status != "ACTIVE":
            raise errors.invalid("TaskDefinition is inactive")
        network = response._get_param("networkConfiguration") or {}
        if definition.network_mode == "awsvpc" and not network:
            raise errors.invalid(
                "Network Configuration must be provided when networkMode 'awsvpc' is specified."
            )
        count = response._get_param("count") or 1
        if count > _MOST_TASKS:
            raise errors.invalid(f"Count cannot be greater than {_MOST_TASKS}.")
        token, asked = response._get_param("clientToken"), _without_token(response.params)
        with self.store.lock:
            if token in self._tokens:
                before, tasks = self._tokens[token]
                if before != asked:
                    raise errors.conflict([task.arn for task in tasks])
                return {"tasks": [task_view(task, tags=True) for task in tasks], "failures": []}
            made = [
                self.store.new_task(
                    cluster,
                    definition,
                    group=response._get_param("group") or f"family:{definition.family}",
                    started_by=response._get_param("startedBy") or "",
                    network_configuration=network,
                    overrides=response._get_param("overrides") or {},
                    tags=response._get_param("tags") or [],
                    enable_execute_command=bool(response._get_param("enableExecuteCommand")),
                )
                for _ in range(count)
            ]
            if token:
                self._tokens[token] = asked, made
            return {"tasks": [task_view(task, tags=True) for task in made], "failures": []}

    def stop_task(self, response: Any) -> dict[str, Any]:
        cluster = response.ecs_backend._get_cluster(response._get_param("cluster") or "default")
        with self.store.lock:
            task = self._find(cluster.name, response._get_param("task"))
            if task is None:
                raise errors.invalid("The referenced task was not found.")
            task.ask_to_stop(
                "UserInitiated", response._get_param("reason") or "Task stopped by user"
            )
            return {"task": task_view(task)}

    def describe_tasks(self, response: Any) -> dict[str, Any]:
        cluster = response.ecs_backend._get_cluster(response._get_param("cluster") or "default")
        names = response._get_param("tasks") or []
        if not names:
            raise errors.invalid("Tasks cannot be empty.")
        if len(names) > 100:
            raise errors.invalid("Too many tasks: at most 100 can be described at once.")
        tagged = "TAGS" in (response._get_param("include") or [])
        with self.store.lock:
            found = {name: self._find(cluster.name, name) for name in names}
            views = [task_view(each, tagged) for each in found.values() if each is not None]
        missing = [
            {"arn": _arn(cluster.name, name), "reason": "MISSING"}
            for name, each in found.items()
            if each is None
        ]
        return {"tasks": views, "failures": missing}

    def execute_command(self, response: Any) -> dict[str, Any]:
        cluster = response.ecs_backend._get_cluster(response._get_param("cluster") or "default")
        if not response._get_param("interactive"):
            raise errors.invalid("Interactive must be true.")
        with self.store.lock:
            task = self._find(cluster.name, response._get_param("task"))
            if task is None:
                raise errors.invalid("The referenced task was not found.")
            name = response._get_param("container")
            found = [each for each in task.containers if name in (None, each.name)]
            if not found:
                raise errors.invalid("The container does not exist in the task.")
            if len(found) > 1:
                raise errors.invalid(_SEVERAL)
            if not task.enable_execute_command or found[0].status != "RUNNING":
                raise errors.invalid(_NO_EXEC)
            view = container_view(task, found[0])
        session = f"ecs-execute-command-{secrets.token_hex(13)}"
        return {
            "clusterArn": task.cluster_arn,
            "taskArn": task.arn,
            "containerArn": view["containerArn"],
            "containerName": found[0].name,
            "interactive": True,
            "session": {
                "sessionId": session,
                "streamUrl": f"{_NOWHERE}/{session}?role=publish_subscribe",
                "tokenValue": secrets.token_urlsafe(48),
            },
        }

    def list_tasks(self, response: Any) -> dict[str, Any]:
        cluster = response.ecs_backend._get_cluster(response._get_param("cluster") or "default")
        name = response._get_param("serviceName")
        with self.store.lock:
            if name and self.store.service(cluster.name, name) is None:
                raise errors.service_not_found()
            wanted = {
                "cluster": cluster.name,
                "desired_status": response._get_param("desiredStatus") or "RUNNING",
                "service": service_arn(cluster.name, name.split("/")[-1]) if name else None,
                "started_by": response._get_param("startedBy"),
                "family": response._get_param("family"),
            }
            arns = [task.arn for task in self.store.tasks.values() if _matches(task, wanted)]
        page, token = paged(
            arns, response._get_param("maxResults"), response._get_param("nextToken")
        )
        return {"taskArns": page, "nextToken": token}

    def _find(self, cluster: str, name: str) -> Task | None:
        task = self.store.tasks.get(name.split("/")[-1])
        return task if task is not None and task.cluster == cluster else None


def _matches(task: Task, wanted: dict[str, str | None]) -> bool:
    return all(value is None or getattr(task, name) == value for name, value in wanted.items())


def _arn(cluster: str, name: str) -> str:
    return (
        name if name.startswith("arn:") else f"arn:aws:ecs:{REGION}:{ACCOUNT}:task/{cluster}/{name}"
    )


def _without_token(params: Any) -> str:
    """Return a call's parameters as text, to compare two calls with one clientToken."""
    rest = {name: value for name, value in dict(params).items() if name != "clientToken"}
    return json.dumps(rest, sort_keys=True, default=str)
