"""Run a command in a one-off task of a service's revision and network, as `docker run` does.

The task is placed as the service's tasks are; only the command of one container is overridden. It
is followed until it stops, and is never left behind: an interrupt and the time limit stop it.
"""

from __future__ import annotations

import re
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, NoReturn

from ops.aws import ecs_tasks
from ops.aws.facts import TaskDefinitionArn, TaskState
from ops.core import findings, host_identity, ui
from ops.core.errors import Cancelled, Interrupted, OpsError, TimedOut, Unreachable
from ops.core.findings import Finding
from ops.core.plan import Plan
from ops.core.text import format_duration, format_option
from ops.ecs.one_off_plan import MARK, OneOffPlan, report_running, stop_command
from ops.ecs.rules.exit_codes import EXIT_CODES
from ops.ecs.rules.run_failures import explain
from ops.ecs.rules.stop_diagnosis import GONE, find_cause, responsible_container, stop_finding
from ops.ecs.task_log import TaskLog
from ops.platform import Platform

_MARK_LIMIT = 36  # characters of startedBy that every version of the API takes
_POLL = 1.0  # seconds between two DescribeTasks
_SLOW_POLL, _SLOW_AFTER = 5.0, 300.0
_BLIND_LIMIT = 300.0  # seconds without an answer until following the task is given up
_UNSEEN_LIMIT = 60.0  # seconds in which DescribeTasks may not know a new task yet
_STOP_LIMIT = 300.0  # the longest stop timeout is 120 s; the network interface comes on top


class NotStarted(OpsError):
    """The command did not run, or ECS does not know how it ended; `docker run` exits with 125."""

    exit_code = 125


@dataclass(frozen=True)
class OneOffResult:
    """How a one-off task ended; `exit_code` is the container's own."""

    service: str
    environment: str
    task: str
    revision: str
    exit_code: int
    stopped_reason: str
    took_s: float
    note: str = ""

    @property
    def document(self) -> dict[str, Any]:
        return {
            "service": self.service,
            "environment": self.environment,
            "task": self.task,
            "task_definition": self.revision,
            "exit_code": self.exit_code,
            "stopped_reason": self.stopped_reason,
            "took_s": round(self.took_s, 1),
        }

    @property
    def text(self) -> str:
        """An empty text: stdout is the task's own, and `run` prints the summary on stderr."""
        return ""

    @property
    def summary(self) -> str:
        note = f" ({self.note})" if self.note else ""
        took = format_duration(self.took_s)
        return (
            f"{self.service}: task {self.task} of {self.revision} ended in {took}\n"
            f"the task's own exit code: {self.exit_code}{note}"
        )


def document_of_error(service: str, environment: str | None = None) -> dict[str, Any]:
    """The fields of a result's document for an error before anything was started."""
    empty = OneOffResult(service, environment or "", "", "", 0, "", 0.0).document
    return {**dict.fromkeys(empty), "service": service, "environment": environment}


def run(
    platform: Platform,
    planned: OneOffPlan,
    timeout_s: float | None = None,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> OneOffResult:
    """Run the task to its end; its log goes to stdout, summary and progress to stderr.

    Raises NotStarted, TimedOut and Cancelled; the last two after the task was stopped.
    """
    result = _OneOffRun(platform, planned, timeout_s, sleep, clock).run()
    ui.progress(result.summary)
    return result


@dataclass(frozen=True)
class OneOffChange:
    """The task as a planned change (`core.result.PlannedChange`)."""

    platform: Platform
    planned: OneOffPlan
    timeout_s: float | None = None

    def preview(self) -> Plan:
        return self.planned.steps

    def confirm(self, *, yes: bool) -> None:
        """Report what still runs, and ask in a protected environment. Raises Refused on no."""
        report_running(self.platform, self.planned)
        settings = self.platform.settings
        if settings.environment.protected:
            what = (
                f"run {self.planned.typed} as a task of {self.planned.service} in {settings.name}"
            )
            ui.confirm(what, yes=yes, typed=settings.name)

    def apply(self) -> OneOffResult:
        return run(self.platform, self.planned, self.timeout_s)


class _OutOfTime(Exception):
    """The time limit was reached."""


@dataclass
class _OneOffRun:
    """One run, and what was last read about its task."""

    platform: Platform
    planned: OneOffPlan
    timeout_s: float | None
    sleep: Callable[[float], None]
    clock: Callable[[], float]
    began: float = 0.0
    answered: float = 0.0
    task: TaskState | None = None
    log: TaskLog = field(init=False)

    def run(self) -> OneOffResult:
        self.began = self.answered = self.clock()
        self.log = TaskLog(self.platform.cloud, self.planned.definition, self.planned.container)
        if self.planned.launch.newer:
            newer = TaskDefinitionArn(self.planned.launch.newer).label
            label = self.planned.definition.label
            ui.progress(f"a rollout to {newer} is in progress: running {label}, which serves")
        try:
            with interrupts_deferred():
                self.task = task = self._start()
            self.answered = self.clock()
            ui.progress(f"task {task.id} of {self.planned.definition.label} started")
            end = float("inf") if self.timeout_s is None else self.began + self.timeout_s
            return self._result(self._follow(task, end))
        except KeyboardInterrupt as interruption:
            self._interrupted(interruption)
        except _OutOfTime:
            self._timed_out()

    def _start(self) -> TaskState:
        """Start the task. If RunTask's answer is lost, find the task by its startedBy."""
        token = uuid.uuid4().hex
        user = re.sub(r"[^A-Za-z0-9_-]", "-", host_identity.owner())
        mark = f"{MARK}{user}"[: _MARK_LIMIT - 9] + f"-{token[:8]}"
        cluster, cloud = self.planned.cluster, self.platform.cloud
        parameters = self.planned.parameters(mark, token)
        try:
            answer = ecs_tasks.run(cloud, cluster, self.planned.launch.task_definition, parameters)
        except OpsError as error:
            found = None if error.untouched else self._find(mark)
            if found is None:
                why = error.why if error.untouched else f"{error.why}; no task of it was found"
                how = f"{cloud.program} ecs list-tasks --cluster {cluster} --started-by {mark}"
                raise self._not_started(
                    error.what, why, error.next if error.untouched else how
                ) from None
            answer = found
        if isinstance(answer, TaskState):
            return answer
        reasons = "; ".join(explain(each.reason, each.detail) for each in answer)
        raise self._not_started(
            "ECS placed no task",
            reasons or "ECS answered with neither a task nor a failure",
            f"inv {self.planned.service}.status, then run it again",
        )

    def _find(self, mark: str) -> TaskState | None:
        try:
            return ecs_tasks.started_by(self.platform.cloud, self.planned.cluster, mark)
        except OpsError:
            return None  # the caller reports the first error, and the command that looks again

    def _not_started(self, what: str, why: str, how: str) -> NotStarted:
        error = NotStarted(f"{self.planned.service}.run could not start: {what}", why, how)
        error.about = self._about(None)
        return error

    def _follow(self, task: TaskState, end: float) -> TaskState:
        """Follow the task and its log until it has stopped. Raises _OutOfTime at `end`."""
        stopping = False
        while task.status not in GONE:
            self.log.follow(task)
            ours = task.container(self.planned.container)
            ended = ours is not None and ours.status == "STOPPED"
            if ended and not stopping and not self.planned.essential:
                self._stop_others(task, self.planned.container)  # they would run on
                stopping = True
            now = self.clock()
            if now >= end:
                raise _OutOfTime
            pause = _POLL if now - self.began < _SLOW_AFTER else _SLOW_POLL
            self.sleep(max(0.0, min(pause, end - now)))
            task = self.task = self._describe(task)
        self.log.drain(task, lambda: self.sleep(_POLL))
        return task

    def _describe(self, task: TaskState) -> TaskState:
        """The task now; as before while ECS does not answer, for a limited time."""
        try:
            found = ecs_tasks.describe(self.platform.cloud, self.planned.cluster, task.arn)
            if found is not None:
                self.answered = self.clock()
                return found
            why, limit = "ECS does not know the task", _UNSEEN_LIMIT
        except OpsError as error:
            why, limit = error.why, 0.0 if error.permanent else _BLIND_LIMIT
        if self.clock() - self.answered < limit:
            return task
        what = f"task {task.id} was started, and its state cannot be read: it may still run"
        raise self._left_behind(task, what, why)

    def _left_behind(self, task: TaskState, what: str, why: str) -> Unreachable:
        """The error for a task that may still run, with the command that stops it."""
        error = Unreachable(what, why, stop_command(self.platform, task))
        error.about = self._about(task)
        return error

    def _stop(self, task: TaskState, reason: str) -> None:
        ecs_tasks.stop(self.platform.cloud, self.planned.cluster, task.arn, f"inv: {reason}")

    def _stop_others(self, task: TaskState, ended: str) -> None:
        try:
            self._stop(task, f"container {ended} has ended")
        except OpsError as error:
            what = f"container {ended} of task {task.id} has ended, and its other containers run on"
            raise self._left_behind(task, what, f"StopTask failed: {error.why}") from None

    def _interrupted(self, interruption: KeyboardInterrupt) -> NoReturn:
        task, what = self.task, f"{self.planned.service}.run: {interruption or 'interrupted'}"
        if task is None:
            error = Cancelled(
                what, "no task was started", self.planned.command_line(self.timeout_s)
            )
        else:
            why, how = self._stop_and_wait(task, str(interruption) or "interrupted")
            error = Cancelled(what, why, how)
        error.about = self._about(self.task)
        raise error from None

    def _timed_out(self) -> NoReturn:
        task, limit = self.task, format_option(self.timeout_s or 0.0)
        assert task is not None
        why, how = self._stop_and_wait(task, f"the time limit of {limit} was reached")
        error = TimedOut(f"{self.planned.service}.run did not end within {limit}", why, how)
        error.about = self._about(self.task)
        raise error from None

    def _stop_and_wait(self, task: TaskState, reason: str) -> tuple[str, str]:
        """Stop the task and wait for its end: what happened, and what to type next."""
        again = self.planned.command_line(self.timeout_s)
        if not self.log.problem:
            minutes = int(self.clock() - self.began) // 60 + 2
            log = f"inv {self.planned.service}.logs --task {task.id} --since {minutes}m"
            again = f"{log}; to run it again: {again}"
        if task.status in GONE:
            return f"task {task.id} had stopped by itself{self._code(task)}", again
        ui.progress(f"stopping task {task.id}: {reason}")
        try:
            self._stop(task, reason)
        except OpsError as error:
            return f"task {task.id} still runs, StopTask failed: {error.why}", stop_command(
                self.platform, task
            )
        look = f"{self.platform.cloud.program} ecs describe-tasks"
        look += f" --cluster {self.planned.cluster} --tasks {task.id}"
        try:
            ended = self._follow(task, self.clock() + _STOP_LIMIT)
        except KeyboardInterrupt:
            return f"StopTask was sent for task {task.id}, and its end was not awaited", look
        except _OutOfTime:
            return f"StopTask was sent for task {task.id}, and it has not stopped yet", look
        except OpsError as error:
            return f"StopTask was sent for task {task.id}; its end is unknown: {error.why}", look
        return f"task {task.id} was stopped{self._code(ended)}", again

    def _code(self, task: TaskState) -> str:
        ours = task.container(self.planned.container)
        if ours is None or ours.exit_code is None:
            return "; its command never ran"
        return f"; the task's own exit code: {ours.exit_code}"

    def _about(self, task: TaskState | None) -> dict[str, Any]:
        """The document of an error: what is known of the task."""
        ours = task.container(self.planned.container) if task else None
        return {
            "service": self.planned.service,
            "environment": self.platform.settings.name,
            "task": task.id if task else None,
            "task_definition": self.planned.definition.label,
            "exit_code": ours.exit_code if ours else None,
            "stopped_reason": (task.stopped_reason or None) if task else None,
            "took_s": round(self.clock() - self.began, 1),
        }

    def _result(self, task: TaskState) -> OneOffResult:
        """The result of a stopped task. Raises NotStarted if there is no exit code."""
        ours = task.container(self.planned.container)
        if ours is None or ours.exit_code is None:
            raise self._no_exit_code(task)
        return OneOffResult(
            self.planned.service,
            self.platform.settings.name,
            task.id,
            self.planned.definition.label,
            ours.exit_code,
            task.stopped_reason,
            self.clock() - self.began,
            self._note(task),
        )

    def _note(self, task: TaskState) -> str:
        """Why the container ended, where its exit code alone does not say it."""
        ours = task.container(self.planned.container)
        assert ours is not None
        other = responsible_container(task, self.planned.container)
        if ours.reason:
            return ours.reason
        if other and other.name != ours.name and ours.exit_code in (137, 143):
            return f"stopped because container {other.name} exited with {other.exit_code}"
        if task.stop_code not in ("EssentialContainerExited", "") and ours.exit_code:
            return task.stopped_reason
        return EXIT_CODES.get(ours.exit_code or 0, "") if ours.exit_code else ""

    def _no_exit_code(self, task: TaskState) -> NotStarted:
        finding = self._finding(task)
        lines = [evidence for evidence in finding.evidence if evidence.source.startswith("log of")]
        for line in lines:
            ui.progress(f"  {line.source}: {line.text}")
        how = finding.fix[0] if finding.fix else f"inv {self.planned.service}.status"
        reason = task.stopped_reason or "ECS gives no reason"
        ours = task.container(self.planned.container)
        if ours and ours.reason and ours.reason != reason:
            reason = f"{reason}: {ours.reason}"
        error = self._not_started(finding.summary, reason, how)
        error.about = {**self._about(task), "findings": [findings.as_document(finding)]}
        return error

    def _finding(self, task: TaskState) -> Finding:
        cause = find_cause(task, self.planned.container)
        service = self.platform.settings.service(self.planned.service)
        return stop_finding(
            task,
            cause,
            service=self.planned.service,
            ecs_service=service.ecs_service,
            aws=self.platform.cloud.program,
        )


@contextmanager
def interrupts_deferred() -> Iterator[None]:
    """Hold back SIGINT, SIGTERM and SIGHUP, and raise the first one at the end.

    An interrupt between RunTask and its answer would leave a task that nothing stops. Only the main
    thread gets signals, so that nothing is held back in another one.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    arrived: list[str] = []

    def note(number: int, _frame: FrameType | None) -> None:
        arrived.append(signal.Signals(number).name)

    names = [name for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {name: signal.signal(getattr(signal, name), note) for name in names}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler or signal.SIG_DFL)
    if arrived:
        raise Interrupted(arrived[0])
