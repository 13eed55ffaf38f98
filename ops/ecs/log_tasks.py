"""The tasks and task definitions of a service, as far as its log needs them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby

from ops.aws import ecs
from ops.aws.facts import TaskDefinition, TaskDefinitionArn, TaskState
from ops.aws.session import AwsSession
from ops.core.errors import OpsError
from ops.core.redaction.redact import one_line
from ops.ecs.log_output import SHORT_ID


@dataclass
class ServiceTasks:
    """Tasks by id, running and stopped within about an hour, and their task definitions."""

    cloud: AwsSession
    cluster: str
    service: str
    running: dict[str, TaskState] = field(default_factory=dict)
    stopped: dict[str, TaskState] = field(default_factory=dict)
    definitions: dict[str, TaskDefinition] = field(default_factory=dict)

    def read(self) -> None:
        """Read everything. Raises OpsError, also if ECS has no such service."""
        found = ecs.service(self.cloud, self.cluster, self.service)
        if found is None:
            raise OpsError(
                f"ECS has no service {self.service}",
                f"cluster {self.cluster} in {self.cloud.region} lists none of this name",
                "correct ecs_service or cluster in invoke.yaml",
            )
        self.running = self._list("RUNNING")
        self.stopped = self._list("STOPPED")
        self._read_definitions(deployment.task_definition for deployment in found.deployments)
        self._read_definitions([found.task_definition] if found.task_definition else [])

    def _list(self, desired: str) -> dict[str, TaskState]:
        return {
            task.id: task for task in ecs.tasks(self.cloud, self.cluster, self.service, desired)
        }

    def _read_definitions(self, more: Iterable[str] = ()) -> None:
        used = {task.task_definition for task in (*self.running.values(), *self.stopped.values())}
        for name in sorted({*used, *more} - {*self.definitions}):
            found = ecs.task_definition(self.cloud, name)
            if found is not None:
                self.definitions[name] = found

    @property
    def ids(self) -> tuple[str, ...]:
        return (*self.running, *self.stopped)

    def refresh(self) -> tuple[str, ...]:
        """Read the tasks again; a line for those that joined, and for those that are stopping."""
        before = self.running
        self.running = self._list("RUNNING")
        joined = [task for name, task in self.running.items() if name not in before]
        left = [task for name, task in before.items() if name not in self.running]
        if left:
            self.stopped |= {task.id: task for task in left} | self._list("STOPPED")
        if joined:
            self._read_definitions()
        stopping = [self.stopped[task.id] for task in left]
        return (
            *_lines(joined, "joined", lambda task: TaskDefinitionArn(task.task_definition).label),
            *_lines(stopping, "stopping", _stop_reason),
        )

    def ended(self, ids: Iterable[str]) -> bool:
        """Whether all of these tasks have stopped; they are read again where needed."""
        wanted = {*ids}
        if wanted & {*self.running}:
            return False
        if not all(task.status == "STOPPED" for task in self._of(wanted)):
            self.stopped |= self._list("STOPPED")
        return all(task.status == "STOPPED" for task in self._of(wanted))

    def _of(self, ids: set[str]) -> list[TaskState]:
        return [self.stopped[each] for each in ids & {*self.stopped}]


def _lines(
    tasks: Iterable[TaskState], verb: str, about: Callable[[TaskState], str]
) -> Iterator[str]:
    """One line for the tasks that have the same revision, or the same reason to stop."""
    for text, group in groupby(sorted(tasks, key=about), key=about):
        ids = [task.id[:SHORT_ID] for task in group]
        yield f"{'task' if len(ids) == 1 else 'tasks'} {', '.join(ids)} {verb}: {text}"


def _stop_reason(task: TaskState) -> str:
    codes = sorted(
        f"container {each.name} exited with {each.exit_code}"
        for each in task.containers
        if each.exit_code
    )
    reason = one_line(task.stopped_reason or task.stop_code or "no reason given", limit=160)
    return "; ".join((reason, *codes))
