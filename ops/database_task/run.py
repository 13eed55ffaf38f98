"""Run a migration in the connected task, and watch, attach to and cancel such runs.

The task goes on without its watcher. Its output comes from CloudWatch Logs; its result comes from
S3 and from a marked line of the log, and without both it is unknown.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from ops.core import ui
from ops.core.errors import Cancelled, Denied, OpsError, Unreachable
from ops.core.redaction.redact import redact_lines
from ops.core.text import format_error
from ops.database_task import connect, recorded
from ops.database_task.connect import REDACT, DatabaseConnection, raise_error
from ops.database_task.run_log import RunLog, unknown_result
from ops.database_task.running import RunningTask
from ops.migrations.plan import MigrationPlan
from ops.migrations.remote.interruption import leave_or_cancel
from ops.migrations.remote.result import outcome_from, outcome_of
from ops.migrations.run import RunOptions, RunResult
from ops.migrations.target import MigrationTarget
from ops.migrator.remote.messages import RunEnd
from ops.platform import Platform
from ops.postgres import access
from ops.postgres.access import DatabaseAccess, MigrationOutcome

_POLL_S = 1.0
_LOG_S = 15.0  # how long the end of the log of a stopped task may take to arrive
_ADOPT_S = 120.0  # how long an adoption may take beside its wait for the lock
_BLIND_S = 300.0  # how long AWS may be silent until watching is given up


@contextmanager
def open_target(
    platform: Platform, progress: Callable[[str], None] = ui.progress
) -> Iterator[MigrationTarget]:
    """The environment's database by a task, which ends with the context or with its run."""
    with connect.opened(platform, progress) as (connection, door):
        yield MigrationTarget(platform.settings, door, TaskRoute(connection, door))


@dataclass(frozen=True)
class TaskRoute:
    """Runs plans in the task that planned them (`ops.migrations.run.RunRoute`)."""

    connection: DatabaseConnection
    door: DatabaseAccess

    def run(
        self, plan: MigrationPlan, options: RunOptions, progress: Callable[[str], None]
    ) -> RunResult:
        """Run the plan, and wait for its end. Raises the engine's errors, and Cancelled."""
        self.connection.refuse_changed()
        running = self.connection.connected()
        who = access.run_identity(plan.direction)
        request = {
            "parameters": {},
            "authority": None,
            "direction": plan.direction,
            "to": plan.to,
            "shown": list(access.split_heads(plan.at)),
            "accepted": options.accept_edit,
            "redact": REDACT,
            "limits": asdict(access.effective_limits(self.door, options.timeout_s, options.wait_s)),
            "who": {**asdict(who), "run": running.channel.run},
        }
        running.ask({"verb": "migrate", "run": request})
        self.connection.running = None  # the task ends with its run
        progress(
            f"run {running.channel.run} is task {running.task.id}; it continues unattended "
            f"(inv db.attach --run {running.channel.run})"
        )
        return RunWatch(running, progress).wait()

    def adopt(
        self, revision: str, digest: str, wait_s: float | None, progress: Callable[[str], None]
    ) -> MigrationOutcome:
        """Record a revision, if the schema has the digest. Raises the engine's errors."""
        running = self.connection.connected()
        limits = access.effective_limits(self.door, None, wait_s)
        who = {**asdict(access.run_identity("upgrade")), "verb": "db.adopt"}
        request = {
            "verb": "adopt",
            "revision": revision,
            "digest": digest,
            "who": {**who, "run": running.channel.run},
            "limits": asdict(limits),
        }
        reply = running.ask(request, _ADOPT_S + limits.wait_s)
        for line in reply["lines"]:
            progress(line)
        raise_error(reply)
        return outcome_from(reply["outcome"])


@dataclass
class RunWatch:
    """A run in a task, watched from here. `ours`: whether the channel's replies can be read."""

    running: RunningTask
    progress: Callable[[str], None]
    ours: bool = True
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    recorded: Callable[[Platform, str, OpsError, Callable[[str], None]], RunResult] = (
        recorded.result
    )
    log: RunLog = field(default_factory=RunLog)
    token: str | None = None
    log_problem: str = ""
    end: RunEnd | None = None
    answered: float = field(init=False)

    def __post_init__(self) -> None:
        self.answered = self.clock()

    @property
    def id(self) -> str:
        return self.running.channel.run

    def wait(self) -> RunResult:
        """Print the run's log to its end, and return its outcome.

        Without a result of its own, the audit is asked. Raises the engine's errors, Cancelled after
        an interrupt, and OpsError if the result is unknown.
        """
        try:
            self._follow()
        except KeyboardInterrupt as interruption:
            place = f"in task {self.running.task.id}"
            raise leave_or_cancel(interruption, self.id, place, self.cancel) from None
        return self.result()

    def result(self) -> RunResult:
        """The outcome of the run that has ended."""
        self._clean_up()
        end = self.end
        if end is None:
            unknown = unknown_result(
                self.id, self.running.task, self.running.plan.container, self.log_problem
            )
            return self.recorded(self.running.platform, self.id, unknown, self.progress)
        if end["state"] == "cancelled" and "forced" not in end:
            raise Cancelled(
                f"run {self.id} was cancelled",
                "the running revision is rolled back, except for what it had committed",
                "inv db.current",
            )
        return RunResult(outcome_of(self.id, end, _no_database), "task")

    def _follow(self) -> None:
        """Print the log until the result is known, or the task has stopped without one."""
        while self.end is None and not self._gone():
            self._print_log()
            self._receive()
            if self.end is None:
                self.sleep(_POLL_S)
        self._drain()

    def _drain(self) -> None:
        """The rest of the log, and the result if it comes late."""
        until = self.clock() + _LOG_S
        while True:
            self._print_log()
            self._receive()
            known = self.end is not None
            if (known and (self.log.ended or self.log_problem)) or self.clock() >= until:
                return
            self.sleep(_POLL_S)

    def _gone(self) -> bool:
        """Whether the task has stopped; False while ECS does not answer."""
        with self._patience():
            return self.running.has_stopped()
        return False

    def _receive(self) -> None:
        if not self.ours:
            self.end = self.end or self.log.end
            return
        reply: dict[str, Any] | None = None
        with self._patience():
            reply = self.running.channel.receive()
        self.end = (reply or {}).get("end") or self.end or self.log.end

    def _print_log(self) -> None:
        """Print the new lines. A log that can't be read is reported once."""
        if self.log_problem:
            return
        try:
            lines, self.token = self.running.log_lines(self.token)
        except OpsError as error:
            if error.permanent:
                self.log_problem = f"{error.what}: {error.why}"
                self.progress(f"the log is not followed: {self.log_problem}")
            return
        for line in redact_lines(self.log.take(lines)):
            self.progress(line)

    @contextmanager
    def _patience(self) -> Iterator[None]:
        """Let AWS be silent for a while. Raises Unreachable after that: the run continues."""
        try:
            yield
            self.answered = self.clock()
        except OpsError as error:
            if not error.permanent and self.clock() - self.answered < _BLIND_S:
                return
            raise Unreachable(
                f"run {self.id} can't be watched, and continues",
                format_error(error),
                f"inv db.attach --run {self.id}",
            ) from None

    def cancel(self) -> OpsError:
        """Stop the task (SIGTERM), wait for the rollback, and return the run's error."""
        try:
            self.running.stop(f"db.cancel of run {self.id}")
        except OpsError as error:
            again = f"inv db.cancel --run {self.id}"
            return Unreachable(
                f"run {self.id} was not cancelled, and continues",
                f"{error.what}: {error.why}",
                f"{error.next}; then {again}" if isinstance(error, Denied) else again,
            )
        self.progress(f"task {self.running.task.id} is stopped; its revision is rolled back")
        try:
            self._follow()
            done = self.result()
        except OpsError as ended:
            return ended
        return OpsError(
            f"run {self.id} was not cancelled",
            f"it had succeeded by then: {done.text}",
            "inv db.downgrade takes it back",
        )

    def _clean_up(self) -> None:
        """Delete the messages once the run has ended."""
        for problem in self.running.channel.delete():
            self.progress(f"left in S3: {problem}")


@contextmanager
def _no_database() -> Iterator[DatabaseAccess]:
    """Not called: the states that ask the database are handled before."""
    raise AssertionError("a task's result needs no database")
    yield
