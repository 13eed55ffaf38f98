"""Start a database task, wait for its replies, and explain why it ended."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ops.aws import ecs_tasks
from ops.aws.cloudwatch import logs
from ops.aws.facts import TaskState
from ops.core.errors import OpsError, TimedOut, Unreachable
from ops.core.redaction.redact import one_line
from ops.core.text import format_option
from ops.database_task.channel import RunChannel
from ops.database_task.plan import TaskPlan
from ops.database_task.rules.advice import after_loader_error
from ops.database_task.rules.requirements import loader_errors, overrides
from ops.ecs.one_off import interrupts_deferred
from ops.ecs.rules.run_failures import explain
from ops.ecs.rules.stop_diagnosis import GONE, find_cause, stop_finding
from ops.platform import Platform

STARTED_BY = "inv-db-"  # the beginning of startedBy; the run's id follows
_START_S = 600.0  # how long a task may take to answer: placing, pulling the image, starting
_REPLY_S = 120.0  # how long it may take to answer a later request
_POLL_S, _DESCRIBE_S = 0.3, 2.0
_LOG_S = 6.0  # how long the last lines of a task may take to arrive
_LINES = 5  # of a task that printed something else


@dataclass
class RunningTask:
    """A task that was started here, and the channel to it."""

    platform: Platform
    plan: TaskPlan
    channel: RunChannel
    progress: Callable[[str], None]
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    state: TaskState | None = None
    described: float = field(default=float("-inf"))

    def start(self) -> dict[str, Any]:
        """Start the task, and return its first reply: its Python. Raises OpsError."""
        url, sha256 = self.channel.upload_loader()
        given = overrides(self.plan.container, self.plan.python, url, sha256, self.channel.key)
        mark = f"{STARTED_BY}{self.channel.run}"
        parameters = self.plan.parameters(given, mark, self.channel.run)
        with interrupts_deferred():
            self.state = self._run(parameters, mark)
        label = self.plan.definition.label
        self.progress(f"task {self.task.id} of {label} starts (run {self.channel.run})")
        return self.reply(_START_S)

    @property
    def task(self) -> TaskState:
        assert self.state is not None  # `start` has returned
        return self.state

    def _run(self, parameters: dict[str, Any], mark: str) -> TaskState:
        """RunTask. If its answer is lost, the task is found by its startedBy."""
        cloud, cluster = self.platform.cloud, self.plan.cluster
        try:
            answer = ecs_tasks.run(cloud, cluster, self.plan.definition.arn, parameters)
        except OpsError as error:
            found = None if error.untouched else ecs_tasks.started_by(cloud, cluster, mark)
            if found is None:
                raise
            return found
        if isinstance(answer, TaskState):
            return answer
        reasons = "; ".join(explain(each.reason, each.detail) for each in answer)
        raise OpsError(
            "ECS placed no database task",
            reasons or "ECS answered with neither a task nor a failure",
            f"inv {self.plan.service}.status, then run it again",
        )

    def ask(self, document: dict[str, Any], limit_s: float = _REPLY_S) -> dict[str, Any]:
        """Send a request, and return its reply. Raises OpsError if the task has ended."""
        self.channel.send(document)
        return self.reply(limit_s)

    def reply(self, limit_s: float) -> dict[str, Any]:
        end = self.clock() + limit_s
        while self.clock() < end:
            found = self.channel.receive()
            if found is None and self.has_stopped():
                found = self.channel.receive()
                if found is None:
                    raise self.explained()
            if found is not None:
                return found
            self.sleep(_POLL_S)
        where = f"it is {self.task.status}"
        self.stop("it did not answer")
        raise TimedOut(
            f"database task {self.task.id} did not answer within {format_option(limit_s)}",
            f"{where}; it is stopped now",
            f"inv {self.plan.service}.status",
        )

    def has_stopped(self) -> bool:
        """Whether ECS says so; asked every few seconds.

        Other containers of the task are stopped when ours has ended.
        """
        if self.task.status not in GONE and self.clock() - self.described >= _DESCRIBE_S:
            self.described = self.clock()
            found = ecs_tasks.describe(self.platform.cloud, self.plan.cluster, self.task.arn)
            self.state = found or self.state
            ours = self.task.container(self.plan.container)
            if ours and ours.status == "STOPPED" and self.task.desired_status == "RUNNING":
                self.stop(f"container {self.plan.container} has ended")
        ours = self.task.container(self.plan.container)
        return self.task.status in GONE or bool(ours and ours.status == "STOPPED")

    def stop(self, reason: str) -> None:
        """StopTask: SIGTERM, then SIGKILL after the stop timeout."""
        ecs_tasks.stop(self.platform.cloud, self.plan.cluster, self.task.arn, f"inv: {reason}")

    def log_lines(self, token: str | None = None) -> tuple[tuple[str, ...], str | None]:
        """The log's lines after a token, and the next token. Raises OpsError."""
        place = self.plan.log
        cloud = self.platform.cloud.in_region(place.region or self.platform.cloud.region)
        stream = place.stream(self.plan.container, self.task.id)
        return logs.since(cloud, place.group, stream, token)

    def explained(self) -> OpsError:
        """Why the task ended without an answer: its own words, ECS's, or what it printed."""
        from ops.migrator.task.loader import MARK

        container = self.task.container(self.plan.container)
        code = container.exit_code if container else None
        what = f"database task {self.task.id} of {self.plan.definition.label} did not answer"
        lines: tuple[str, ...] = ()
        if code is not None:
            lines = self._last_lines(MARK)
        if error := next(loader_errors(lines, MARK), ""):
            how = after_loader_error(error, self.plan.place)
            return OpsError(what, one_line(error, limit=700), how)
        if code is None or self.task.stop_code == "TaskFailedToStart":
            return self._not_started()
        for line in lines[-_LINES:]:
            self.progress(f"  log: {one_line(line)}")
        entry = " ".join(self.plan.entry_point)
        runs = f" as arguments of its entryPoint {entry}" if entry else ""
        return OpsError(
            what,
            f"container {self.plan.container} exited with {code}, and its output is not ours: "
            f"it was started with {self.plan.python}{runs}, and the image's ENTRYPOINT may run "
            "something else",
            "set database.task.task_definition to a revision of an image that runs its command",
        )

    def _not_started(self) -> OpsError:
        service = self.platform.settings.service(self.plan.service)
        finding = stop_finding(
            self.task,
            find_cause(self.task, self.plan.container),
            service=self.plan.service,
            ecs_service=service.ecs_service,
            aws=self.platform.cloud.program,
        )
        container = self.task.container(self.plan.container)
        reason = (container.reason if container else "") or self.task.stopped_reason
        how = finding.fix[0] if finding.fix else f"inv {self.plan.service}.status"
        if f'exec: "{self.plan.python}"' in reason:
            how = "set database.task.python, or database.task.task_definition to an image with it"
        return OpsError(
            f"the database can't be reached: {finding.summary}", one_line(reason, limit=700), how
        )

    def _last_lines(self, mark: str) -> tuple[str, ...]:
        """The log, waited for a while: the last lines arrive late."""
        end = self.clock() + _LOG_S
        lines: tuple[str, ...] = ()
        while self.clock() < end:
            try:
                lines, _ = self.log_lines()
            except Unreachable:
                return lines
            if any(line.startswith(mark) for line in lines):
                break
            self.sleep(1.0)
        return lines
