"""Running revisions: one transaction each, tried again where only a lock was in the way, and the
truth said where one fails.

Alembic asks for its steps one by one, so that between two of them (each is committed by then) we
look whether the lock and the time are still ours. A step's row in the audit and its checksum are
written inside of its own transaction. A step that went outside of it (`autocommit_block`, for
CONCURRENTLY) cannot be taken back by the database: what it left INVALID is dropped, and it is run
once more."""

from __future__ import annotations

import random
import select
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import sqlalchemy
from alembic.runtime.environment import EnvironmentContext

from ops.migrator import audit, connections, failures, indexes, lock, preconditions, transactions
from ops.migrator.attempt import RevisionAttempt
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
from ops.migrator.revisions.scripts import BASE, Scripts
from ops.migrator.revisions.sql_tokens import statements
from ops.migrator.revisions.user_code import contained
from ops.migrator.version_table import heads_of

_MAX_BACKOFF_S = 10.0  # seconds
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
    accepted: str | None = None,
    shown: tuple[str, ...] | None = None,
    scripts: Scripts | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> MigrationOutcome:
    """Bring the database to `to`: a revision, `head` or `base` (None: to head, or one step back).
    Raises MigrateError.

    `accepted` names a revision that was edited after it was applied, and whose edit is taken as it
    is. `shown`: the heads that somebody has seen and agreed to go from; where the database has
    moved since, nothing is done. `scripts`: the revisions, where they are loaded already."""
    began = time.monotonic()

    def tell(line: str) -> None:
        with suppress(OSError, ValueError):  # a closed or full output is no failure of a revision
            say(target.hide(line))

    scripts = scripts or Scripts(target.folder, target.hide)
    with _one_in_a_process, lock.hold_lock(target, limits, who, tell, sleep) as keeper:
        audit.prepare(keeper, target)
        preconditions.mark_lost_runs(keeper, limits, tell, sleep)
        heads = heads_of(keeper)
        preconditions.check_expected_heads(shown, heads)
        scripts.refuse_changed()
        scripts.check_database(",".join(heads) or None)
        goal = scripts.known(to) if to else preconditions.default_goal(scripts, direction, heads)
        for revision, found in checksums.check_edits(
            scripts.applied(heads), audit.checksums(keeper), accepted
        ).items():
            keeper.execute(audit.UPSERT_CHECKSUM, (revision, found))
        return MigrationRun(
            target, scripts, keeper, direction, goal, who, limits, tell, sleep, began
        ).whole(heads)


@dataclass
class MigrationRun:
    """One run, while the lock is ours."""

    target: TargetDatabase
    scripts: Scripts
    keeper: psycopg.Connection[Any]
    direction: Direction
    to: str
    who: RunIdentity
    limits: Limits
    say: Callable[[str], None]
    sleep: Callable[[float], None]
    began: float
    applied: list[Applied] = field(default_factory=list)
    doing: RevisionAttempt | None = None

    def whole(self, heads: tuple[str, ...]) -> MigrationOutcome:
        """All of it, audited from its beginning to its end, whatever the end is."""
        before = ",".join(heads) or None
        if (self.direction == "upgrade" and self.scripts.reached(self.to, heads)) or (self.to,) == (
            heads or (BASE,)
        ):
            return MigrationOutcome(before, before, (), None)
        audit.record_start(self.keeper, self.who, before)
        try:
            with interrupts.before_end(self.give_up):
                self.until_done()
        except BaseException as problem:
            raise self.failed(problem) from None
        after = ",".join(heads_of(self.keeper)) or None
        audit.record_end(self.keeper, self.who.run, "done", after)
        return MigrationOutcome(before, after, tuple(self.applied), self.who.run)

    def until_done(self) -> None:
        engine = connections.create_engine(
            self.target, lock.application_name(self.who), self.limits
        )
        sqlalchemy.event.listen(engine, "before_cursor_execute", self.note_statement)
        sqlalchemy.event.listen(engine, "commit", lambda _connection: self.note_control("COMMIT"))
        sqlalchemy.event.listen(
            engine, "rollback", lambda _connection: self.note_control("ROLLBACK")
        )
        tries: dict[str, int] = {}
        while True:
            try:
                return self.attempt(engine)
            except Exception as problem:
                if self.doing is None:
                    raise
                tries[self.doing.revision] = count = tries.get(self.doing.revision, 0) + 1
                again = failures.retry_reason(
                    problem, self.doing.may_stay, self.cleared(), count, self.limits.retries
                )
                if again is None:
                    raise
                self.back_off(count, again)

    def attempt(self, engine: sqlalchemy.Engine) -> None:
        """From where the database stands now to the goal."""
        self.doing, finished = None, False

        def steps(heads: tuple[str, ...], context: Any) -> Iterator[Any]:
            nonlocal finished
            context.autocommit_block = self.noticed(context, context.autocommit_block)
            for step in self.scripts.steps(self.direction, self.to, heads):
                self.go_on()
                step.migration_fn = self.wrapped(step, context)
                yield step  # Alembic runs it and commits before it asks for the next
                self.done()
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
                "let it call context.run_migrations()",
            )

    def go_on(self) -> None:
        """Before a revision: the lock's session must live (a lost one lets another runner in), and
        time must be left.
        """
        if select.select([self.keeper.fileno()], [], [], 0)[
            0
        ]:  # it is silent while it lives, and this costs no round trip
            self.keeper.execute("SELECT 1")
        if self.time_left() <= 0:
            raise failures.out_of_time(self.limits.total_s)

    def time_left(self) -> float:
        return (
            float("inf")
            if self.limits.total_s is None
            else self.limits.total_s - (time.monotonic() - self.began)
        )

    def wrapped(self, step: Any, context: Any) -> Callable[..., None]:
        original = step.migration_fn

        def run_one(**given: Any) -> None:
            self.doing = doing = RevisionAttempt(
                step.revision.revision, Path(step.revision.path), time.monotonic()
            )
            self.say(
                (
                    f"{self.direction} {doing.revision} "
                    f"{(step.doc or '').splitlines()[0] if step.doc else ''}"
                ).rstrip()
            )
            statement_s = min(self.limits.statement_timeout_s, self.time_left())
            limits = Limits(
                self.limits.lock_timeout_s, statement_s, self.limits.idle_in_transaction_s
            )
            if self.limits.total_s is not None:
                context.connection.exec_driver_sql(
                    connections.SET_LIMITS, connections.limit_settings(limits)
                )
            self.run_user_code(lambda: original(**given), doing, context)
            if doing.outside and (
                broken := indexes.left_invalid(
                    self.keeper, doing.invalid_before, doing.concurrently()
                )
            ):
                raise failures.LeftInvalid(broken)
            self.record(context.connection, doing, limits)

        run_one.__name__ = original.__name__
        return run_one

    def run_user_code(
        self, upgrade: Callable[[], None], doing: RevisionAttempt, context: Any
    ) -> None:
        """Run the revision's function. Raises EndedTransaction where it ended the transaction that
        it ran in.
        """
        doing.marked = transactions.mark(context.connection)
        threads = set(threading.enumerate())
        doing.running = True
        try:
            with contained():
                upgrade()
        except Exception as problem:
            if not self.control_refused(problem):
                doing.ended |= (
                    doing.marked
                    and not doing.outside
                    and transactions.has_ended(context.connection)
                )
                doing.note_failure()
            raise
        finally:
            doing.running = False
        for thread in set(threading.enumerate()) - threads:
            self.say(f"  it left a thread running ({thread.name}), which is not waited for")

    def noticed(
        self, context: Any, block: Callable[[], AbstractContextManager[None]]
    ) -> Callable[[], AbstractContextManager[None]]:
        @contextmanager
        def outside() -> Iterator[None]:
            doing = self.doing
            if doing and not doing.outside:
                doing.outside, doing.invalid_before = True, indexes.invalid_indexes(self.keeper)
            if doing:
                doing.in_block = True
            with block():
                yield
            if doing:
                doing.in_block = False
                doing.marked = transactions.mark(
                    context.connection
                )  # what follows the block is a transaction again

        return outside

    def note_statement(self, _connection: Any, cursor: Any, statement: str, *_rest: Any) -> None:
        self.note_control(statement)
        if self.doing and self.doing.running and self.doing.marked and not self.doing.in_block:
            self.doing.ended |= transactions.is_idle(cursor.connection)
        if self.doing and "concurrently" in statement.lower():
            self.doing.statements.append(statement)

    def note_control(self, statement: str) -> None:
        if self.doing:
            self.doing.note_control(statement)

    def control_refused(self, problem: BaseException) -> bool:
        """Whether the server refused the one statement that would have ended the transaction
        (PREPARE TRANSACTION, where there may be none): then all of it is rolled back.
        """
        doing = self.doing
        statement = getattr(problem, "statement", None) if failures.sqlstate(problem) else None
        if doing is None or doing.ended or not statement or doing.control_text != statement:
            return False
        if len(statements(statement)) != 1:
            return False
        doing.control = ""
        return True

    def record(self, connection: Any, doing: RevisionAttempt, limits: Limits) -> None:
        """Audit and checksum in the revision's transaction; then its successor's limits, since it
        may have set its own. One round trip.

        Raises EndedTransaction, which takes this back, where the revision's transaction is not the
        one that it began in."""
        step = (
            self.who.run,
            doing.revision,
            self.direction,
            time.monotonic() - doing.began,
            "done",
            None,
            None,
        )
        up = self.direction == "upgrade"
        kept = (doing.revision, checksums.checksum(doing.file)) if up else (doing.revision,)
        statement = audit.RECORD_UPGRADE if up else audit.RECORD_DOWNGRADE
        words = (*step, *kept, *connections.limit_settings(limits))
        *_, transaction, session = connection.exec_driver_sql(
            f"{statement} {connections.SET_LIMITS}, {transactions.MARKS}", words
        ).one()
        if doing.marked and transactions.mark_lost((transaction, session)):
            doing.ended = True
            raise transactions.EndedTransaction

    def done(self) -> None:
        if self.doing:
            self.applied.append(Applied(self.doing.revision, time.monotonic() - self.doing.began))
            self.say(f"  done in {self.applied[-1].took_s:.2f} s")
        self.doing = None

    def cleared(self) -> bool:
        """Drop what the failed revision left INVALID; whether there was anything."""
        if not self.doing or not self.doing.outside or self.keeper.closed:
            return False
        broken = indexes.left_invalid(
            self.keeper, self.doing.invalid_before, self.doing.concurrently()
        )
        indexes.drop_indexes(self.keeper, broken)
        for schema, name in sorted(broken):
            self.say(f"  dropped {schema}.{name}, which was left INVALID")
        return bool(broken)

    def back_off(self, count: int, why: str) -> None:
        pause = min(self.limits.backoff_s * 2 ** (count - 1), _MAX_BACKOFF_S) * random.uniform(  # noqa: S311
            0.75, 1.25
        )
        if pause >= self.time_left():
            raise failures.out_of_time(self.limits.total_s)
        self.say(
            f"  {why}; nothing of it stays, again in {pause:.1f} s ({count} of "
            f"{self.limits.retries})"
        )
        self.sleep(pause)

    def give_up(self) -> tuple[str, str]:
        """End the run's session on the server, and record it, from the thread that ends this
        process: the main thread is in the revision. Returns why and next.
        """
        with connections.connect(self.target, "inv db (ending a run)", Limits()) as own:
            ended = (self.who.run, self.keeper.info.backend_pid)
            end = time.monotonic() + _GIVE_UP_S
            while own.execute(_END_SESSIONS, ended).fetchall() and time.monotonic() < end:
                time.sleep(0.1)
            at = ",".join(heads_of(own)) or None
            text, doing = "it ignored the interruption and was ended", self.doing
            if doing:
                took = time.monotonic() - doing.began
                step = (self.who.run, doing.revision, self.direction, took, "interrupted")
                own.execute(audit.INSERT_STEP, (*step, None, text))
            audit.record_end(own, self.who.run, "interrupted", at, text)
        what = f"revision {doing.revision}" if doing else "env.py"
        stays = "nothing of it stays"
        if doing and doing.may_stay:
            stays = "what it committed stays"
        why = (
            f"{what} swallowed it and went on; its session was ended, {stays}; the database is "
            f"at {at or BASE}"
        )
        return why, f"correct it, see what there is (inv db.current), then: inv {self.who.verb}"

    def failed(self, problem: BaseException) -> BaseException:
        """What to raise, after the audit has it. An interruption stays what it is."""
        result = "failed" if isinstance(problem, Exception) else "interrupted"
        at = self.audited(problem, result)
        if not isinstance(problem, Exception):
            return problem
        verb = f"inv {self.who.verb}"
        return failures.to_migrate_error(
            problem,
            self.target,
            self.doing,
            self.direction,
            len(self.applied),
            at,
            verb,
            self.time_left() <= 0,
        )

    def audited(self, problem: BaseException, result: str) -> str | None:
        """Put the failure down; where the database stands now, None where it can't be asked any
        more.
        """
        text = self.target.clean(failures.error_text(problem))
        try:
            if self.doing:
                took, state = time.monotonic() - self.doing.began, failures.sqlstate(problem)
                self.keeper.execute(
                    audit.INSERT_STEP,
                    (self.who.run, self.doing.revision, self.direction, took, result, state, text),
                )
            at = ",".join(heads_of(self.keeper)) or BASE
            audit.record_end(self.keeper, self.who.run, result, None if at == BASE else at, text)
            return at
        except psycopg.Error:
            self.say(
                "  the database can't be asked any more: the next run puts this one down as lost"
            )
            return None
