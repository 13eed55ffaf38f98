"""Run revisions: one transaction each, retried after lock timeouts.

Alembic asks for its steps one by one and commits each, so the lock and the time limit are checked
between two of them. A step's row in the audit and its checksum are written inside its own
transaction. A step that leaves its transaction (`autocommit_block`, for CONCURRENTLY) can't be
rolled back by the database: its INVALID indexes are dropped before a retry.
"""

from __future__ import annotations

import random
import select
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import psycopg
import sqlalchemy
from alembic.runtime.environment import EnvironmentContext

from ops.migrator import audit, connections, failures, indexes, lock, preconditions
from ops.migrator.execution import MAX_BACKOFF_S, RevisionExecutor
from ops.migrator.model import (
    Applied,
    Direction,
    Limits,
    MigrateError,
    MigrationOutcome,
    RunIdentity,
    TargetDatabase,
)
from ops.migrator.revisions import checksums, interrupts
from ops.migrator.revisions.blockers import RevisionWatch
from ops.migrator.revisions.scripts import BASE, Scripts
from ops.migrator.revisions.user_code import contained
from ops.migrator.version_table import heads_of

_GIVE_UP_S = 5.0  # how long a session that was ended may take to go
_END_SESSIONS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()
 AND pid <> pg_backend_pid() AND position(%s in application_name) > 0 AND pid <> %s
"""
_one_in_a_process = threading.Lock()  # Alembic's context is global to a process


def migrate(
    target: TargetDatabase,
    direction: Direction,
    to: str | None,
    who: RunIdentity,
    limits: Limits,
    *,
    say: Callable[[str], None],
    accept_edit: str | None = None,
    expected_heads: tuple[str, ...] | None = None,
    scripts: Scripts | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> MigrationOutcome:
    """Migrate the database to `to`: a revision, `head` or `base`. Raises MigrateError.

    `to` None: to the single head, or one step back. `accept_edit`: the revisions, joined by
    commas, that were edited after they were applied, and whose edit is accepted. `expected_heads`:
    the heads that the operator confirmed; if the database has moved since, nothing is done.
    `scripts`: the revisions, if already loaded.
    """
    began = time.monotonic()

    def tell(line: str) -> None:
        with suppress(OSError, ValueError):  # a closed or full output is no failure of a revision
            say(target.hide(line))

    scripts = scripts or Scripts(target.folder, target.hide)
    with (
        _one_in_a_process,
        failures.translated(target),
        lock.hold_lock(target, limits, who, tell, sleep) as lock_connection,
    ):
        audit.prepare(lock_connection, target)
        preconditions.mark_lost_runs(lock_connection, limits, tell, sleep)
        heads = heads_of(lock_connection)
        preconditions.check_expected_heads(expected_heads, heads)
        scripts.refuse_changed()
        scripts.check_database(",".join(heads) or None)
        goal = scripts.known(to) if to else scripts.default_goal(direction, heads)
        for revision, found in checksums.check_edits(
            scripts.applied(heads), audit.checksums(lock_connection), accept_edit
        ).items():
            lock_connection.execute(audit.UPSERT_CHECKSUM, (revision, found))
        return MigrationRun(
            target, scripts, lock_connection, direction, goal, who, limits, tell, sleep, began
        ).execute(heads)


@dataclass
class MigrationRun:
    """One run, while it holds the lock."""

    target: TargetDatabase
    scripts: Scripts
    lock_connection: psycopg.Connection[Any]
    direction: Direction
    to: str
    who: RunIdentity
    limits: Limits
    say: Callable[[str], None]
    sleep: Callable[[float], None]
    began: float
    applied: list[Applied] = field(default_factory=list)
    executor: RevisionExecutor = field(init=False)
    watch: RevisionWatch = field(init=False)

    def __post_init__(self) -> None:
        self.watch = RevisionWatch(
            self.lock_connection, self.say, self.limits.lock_timeout_s, self._time_left
        )
        self.executor = RevisionExecutor(
            self.lock_connection,
            self.direction,
            self.who,
            self.limits,
            self.say,
            self._time_left,
            self.sleep,
            self.watch,
        )

    def execute(self, heads: tuple[str, ...]) -> MigrationOutcome:
        """Run and audit everything, whether it succeeds or fails."""
        before = ",".join(heads) or None
        if not self.scripts.pending_steps(self.direction, self.to, heads):
            return MigrationOutcome(before, before, (), None)
        audit.record_start(self.lock_connection, self.who, before)
        try:
            with interrupts.before_end(self._give_up), self.watch.running():
                self._run_with_retries()
        except BaseException as problem:
            raise self._failure(problem) from None
        after = ",".join(heads_of(self.lock_connection)) or None
        audit.record_end(self.lock_connection, self.who.run, "done", after)
        return MigrationOutcome(before, after, tuple(self.applied), self.who.run)

    def _run_with_retries(self) -> None:
        engine = connections.create_engine(
            self.target, lock.application_name(self.who), self.limits
        )
        self.executor.listen(engine)
        tries: dict[str, int] = {}
        while True:
            try:
                return self._run_pending(engine)
            except Exception as problem:
                if self.executor.attempt is None:
                    raise
                tries[self.executor.attempt.revision] = count = (
                    tries.get(self.executor.attempt.revision, 0) + 1
                )
                cleared = self._drop_invalid_indexes()
                again = failures.retry_reason(
                    problem, self.executor.attempt.may_stay, cleared, count, self.limits.retries
                )
                self._note_pending_detaches()
                if again is None:
                    raise
                self._back_off(count, again)

    def _run_pending(self, engine: sqlalchemy.Engine) -> None:
        """Run the revisions from the database's current heads to the goal."""
        self.executor.attempt, finished = None, False

        def steps(heads: tuple[str, ...], context: Any) -> Iterator[Any]:
            nonlocal finished
            context.autocommit_block = self.executor.track_autocommit(
                context, context.autocommit_block
            )
            for step in self.scripts.steps(self.direction, self.to, heads):
                self._check_lock_and_time()
                step.migration_fn = self.executor.instrument(step, context)
                yield step  # Alembic runs it and commits before it asks for the next
                self.executor.discard_leftovers(context)
                self._finish_revision()
            finished = True

        self.scripts.config.attributes["engine"] = engine
        with (
            contained(self.target.hide),
            EnvironmentContext(self.scripts.config, self.scripts.directory, fn=steps),
        ):
            self.scripts.directory.run_env()
        if not finished:
            raise MigrateError(
                "failed",
                "env.py",
                "it ended before every revision had run",
                "call context.run_migrations() in it",
            )

    def _check_lock_and_time(self) -> None:
        """Check before a revision that the lock is still held and that time is left."""
        if select.select([self.lock_connection.fileno()], [], [], 0)[
            0
        ]:  # silent while connected; no round trip
            self.lock_connection.execute("SELECT 1")
        if self._time_left() <= 0:
            raise failures.out_of_time(self.limits.total_s)

    def _time_left(self) -> float:
        return (
            float("inf")
            if self.limits.total_s is None
            else self.limits.total_s - (time.monotonic() - self.began)
        )

    def _finish_revision(self) -> None:
        if self.executor.attempt:
            self.applied.append(
                Applied(
                    self.executor.attempt.revision, time.monotonic() - self.executor.attempt.began
                )
            )
            self.say(f"  done in {self.applied[-1].took_s:.2f} s")
        self.executor.attempt = None

    def _drop_invalid_indexes(self) -> bool:
        """Drop the INVALID indexes of the failed revision; whether there were any."""
        if (
            not self.executor.attempt
            or not self.executor.attempt.outside
            or self.lock_connection.closed
        ):
            return False
        statements = self.executor.attempt.concurrently()
        try:
            broken = indexes.left_invalid(
                self.lock_connection, self.executor.attempt.invalid_before, statements
            ) | indexes.stale_copies(self.lock_connection, statements)
        except psycopg.Error:
            return False
        return self.executor.drop_leftovers(broken)

    def _note_pending_detaches(self) -> None:
        """After a failure, note the partitions that DETACH … CONCURRENTLY left half detached."""
        attempt = self.executor.attempt
        if attempt and attempt.outside and not self.lock_connection.closed:
            with suppress(psycopg.Error):
                attempt.finalize = indexes.pending_detaches(
                    self.lock_connection, attempt.statements
                )

    def _back_off(self, count: int, why: str) -> None:
        pause = min(self.limits.backoff_s * 2 ** (count - 1), MAX_BACKOFF_S) * random.uniform(  # noqa: S311
            0.75, 1.25
        )
        if pause >= self._time_left():
            raise failures.out_of_time(self.limits.total_s)
        attempt = self.executor.attempt
        pending = bool(attempt and attempt.finalize)
        remains = "a partition is pending detach" if pending else "nothing of it remains"
        self.say(
            f"  {why}; {remains}, retrying in {pause:.1f} s ({count} of {self.limits.retries})"
        )
        self.sleep(pause)

    def _give_up(self) -> tuple[str, str]:
        """End the run's session on the server and record it; returns (why, next).

        Runs in the thread that ends this process, because the main thread is in the revision.
        """
        with connections.connect(self.target, "inv db (ending a run)", Limits()) as own:
            ended = (self.who.run, self.lock_connection.info.backend_pid)
            end = time.monotonic() + _GIVE_UP_S
            while own.execute(_END_SESSIONS, ended).fetchall() and time.monotonic() < end:
                time.sleep(0.1)
            at = ",".join(heads_of(own)) or None
            text, attempt = "it ignored the interruption and was ended", self.executor.attempt
            if attempt:
                took = time.monotonic() - attempt.began
                step = (self.who.run, attempt.revision, self.direction, took, "interrupted")
                own.execute(audit.INSERT_STEP, (*step, None, text))
            audit.record_end(own, self.who.run, "interrupted", at, text)
        what = f"revision {attempt.revision}" if attempt else "env.py"
        stays = "nothing of it remains"
        if attempt and attempt.may_stay:
            stays = "what it committed remains"
        why = (
            f"{what} swallowed it and went on; its session was ended, {stays}; the database is "
            f"at {at or BASE}"
        )
        return why, f"correct it, see what there is (inv db.current), then: inv {self.who.verb}"

    def _failure(self, problem: BaseException) -> BaseException:
        """Record the failure and return what to raise. An interruption is returned unchanged."""
        result = "failed" if isinstance(problem, Exception) else "interrupted"
        at = self._record_failure(problem, result)
        if not isinstance(problem, Exception):
            return problem
        verb = f"inv {self.who.verb}"
        return failures.to_migrate_error(
            problem,
            self.target,
            self.executor.attempt,
            self.direction,
            len(self.applied),
            at,
            verb,
            self._time_left() <= 0,
        )

    def _record_failure(self, problem: BaseException, result: str) -> str | None:
        """Record the failure; returns the database's revision, None if it is unreachable."""
        text = self.target.clean(failures.error_text(problem))
        try:
            if self.executor.attempt:
                took, state = (
                    time.monotonic() - self.executor.attempt.began,
                    failures.sqlstate(problem),
                )
                self.lock_connection.execute(
                    audit.INSERT_STEP,
                    (
                        self.who.run,
                        self.executor.attempt.revision,
                        self.direction,
                        took,
                        result,
                        state,
                        text,
                    ),
                )
            at = ",".join(heads_of(self.lock_connection)) or BASE
            audit.record_end(
                self.lock_connection, self.who.run, result, None if at == BASE else at, text
            )
            return at
        except psycopg.Error:
            self.say("  the database is unreachable: the next run records this one as lost")
            return None
