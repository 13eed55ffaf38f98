"""Run one revision: its function as user code, its audit and checksum in its transaction."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import sqlalchemy

from ops.migrator import audit, connections, failures, indexes, transactions
from ops.migrator.indexes import IndexName
from ops.migrator.model import Direction, Limits, RunIdentity
from ops.migrator.revisions import checksums, session_state
from ops.migrator.revisions.attempt import RevisionAttempt
from ops.migrator.revisions.blockers import RevisionWatch
from ops.migrator.revisions.session_state import StartSettings
from ops.migrator.revisions.sql_tokens import statements
from ops.migrator.revisions.user_code import contained

MAX_BACKOFF_S = 10.0  # seconds


@dataclass
class RevisionExecutor:
    """Executes revisions one at a time; `attempt` is the current one.

    `time_left`: seconds until the end of the run's time limit.
    """

    lock_connection: psycopg.Connection[Any]
    direction: Direction
    who: RunIdentity
    limits: Limits
    say: Callable[[str], None]
    time_left: Callable[[], float]
    sleep: Callable[[float], None]
    watch: RevisionWatch
    attempt: RevisionAttempt | None = None
    start: StartSettings = field(init=False)

    def __post_init__(self) -> None:
        self.start = StartSettings.of(self.lock_connection)

    def listen(self, engine: sqlalchemy.Engine) -> None:
        """Observe the statements that revisions send through SQLAlchemy."""
        sqlalchemy.event.listen(engine, "before_cursor_execute", self._send, retval=True)
        sqlalchemy.event.listen(engine, "after_cursor_execute", self._note_completion)
        sqlalchemy.event.listen(engine, "commit", lambda _connection: self._note_control("COMMIT"))
        sqlalchemy.event.listen(
            engine, "rollback", lambda _connection: self._note_control("ROLLBACK")
        )

    def instrument(self, step: Any, context: Any) -> Callable[..., None]:
        original = step.migration_fn

        def run_one(**given: Any) -> None:
            self.attempt = attempt = RevisionAttempt(
                step.revision.revision, Path(step.revision.path), time.monotonic()
            )
            self.say(
                (
                    f"{self.direction} {attempt.revision} "
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
            pid = transactions.driver_of(context.connection).info.backend_pid
            try:
                with self.watch.watching(pid):
                    self._run_user_code(lambda: original(**given), attempt, context)
            finally:
                attempt.blockers = self.watch.last
            if attempt.outside:
                self.drop_leftovers(
                    indexes.stale_copies(self.lock_connection, attempt.concurrently())
                )
            if attempt.outside and (
                broken := indexes.left_invalid(
                    self.lock_connection, attempt.invalid_before, attempt.concurrently()
                )
            ):
                raise failures.LeftInvalid(broken)
            self._record(context.connection, attempt, limits)

        run_one.__name__ = original.__name__
        return run_one

    def _run_user_code(
        self, upgrade: Callable[[], None], attempt: RevisionAttempt, context: Any
    ) -> None:
        """Run the revision's function. Raises EndedTransaction if it ended its transaction."""
        attempt.marked = transactions.mark(context.connection)
        threads = set(threading.enumerate())
        attempt.running = True
        try:
            with contained():
                upgrade()
        except Exception as problem:
            if not self._control_refused(problem):
                attempt.ended |= (
                    attempt.marked
                    and not attempt.outside
                    and transactions.has_ended(context.connection)
                )
                attempt.note_failure()
            raise
        finally:
            attempt.running = False
        for thread in set(threading.enumerate()) - threads:
            self.say(f"  it left a thread running ({thread.name}), which is not waited for")

    def track_autocommit(
        self, context: Any, block: Callable[[], AbstractContextManager[None]]
    ) -> Callable[[], AbstractContextManager[None]]:
        @contextmanager
        def outside() -> Iterator[None]:
            attempt = self.attempt
            if attempt and not attempt.outside:
                attempt.outside, attempt.invalid_before = (
                    True,
                    indexes.invalid_indexes(self.lock_connection),
                )
            if attempt:
                attempt.in_block = True
            with block():
                yield
            if attempt:
                attempt.in_block = False
                attempt.marked = transactions.mark(
                    context.connection
                )  # what follows the block is a transaction again

        return outside

    def _send(
        self, _connection: Any, cursor: Any, statement: str, parameters: Any, *_rest: Any
    ) -> tuple[str, Any]:
        """Note a statement before it is sent; a pending DETACH … CONCURRENTLY is finalized."""
        self._note_statement(cursor, statement)
        if self.attempt and self.attempt.in_block and "detach" in statement.lower():
            instead = indexes.finalized(self.lock_connection, statement)
            if instead:
                self.say("  its partition is pending detach already: FINALIZE")
                return instead, parameters
        return statement, parameters

    def _note_completion(self, *_given: Any) -> None:
        if self.attempt and self.attempt.running:
            self.attempt.completed += 1

    def drop_leftovers(self, broken: frozenset[IndexName]) -> bool:
        """Drop INVALID indexes, with patience; whether there were any, and all are gone.

        What obstructed the revision may obstruct this too: it is tried again after lock timeouts.
        What stays is named, and does not replace the revision's own failure.
        """
        remains = []
        for index in sorted(broken):
            name = ".".join(index)
            if self._drop_index(index):
                self.say(f"  dropped {name}, which was left INVALID")
            else:
                remains.append(name)
                self.say(f"  {name} is INVALID and could not be dropped")
        if self.attempt:
            self.attempt.remains = tuple(remains)
        return bool(broken) and not remains

    def _drop_index(self, index: IndexName) -> bool:
        for count in range(self.limits.retries + 1):
            try:
                indexes.drop_index(self.lock_connection, index)
            except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
                pause = min(self.limits.backoff_s * 2**count, MAX_BACKOFF_S)
                if pause >= self.time_left():
                    return False
                self.sleep(pause)
            except psycopg.Error:
                return False
            else:
                return True
        return False

    def _note_statement(self, cursor: Any, statement: str) -> None:
        self._note_control(statement)
        if (
            self.attempt
            and self.attempt.running
            and self.attempt.marked
            and not self.attempt.in_block
        ):
            self.attempt.ended |= transactions.is_idle(cursor.connection)
        if self.attempt and "concurrently" in statement.lower():
            self.attempt.statements.append(statement)

    def _note_control(self, statement: str) -> None:
        if self.attempt:
            self.attempt.note_control(statement)

    def _control_refused(self, problem: BaseException) -> bool:
        """Whether the server refused the only statement that would have ended the transaction.

        Then everything is rolled back (PREPARE TRANSACTION on a server that allows none).
        """
        attempt = self.attempt
        statement = getattr(problem, "statement", None) if failures.sqlstate(problem) else None
        if attempt is None or attempt.ended or not statement or attempt.control_text != statement:
            return False
        if len(statements(statement)) != 1:
            return False
        attempt.control = ""
        return True

    def _record(self, connection: Any, attempt: RevisionAttempt, limits: Limits) -> None:
        """Reset the session, and write audit and checksum, in the revision's transaction.

        Raises EndedTransaction, which rolls this back, if the transaction is not the one that the
        revision began in.
        """
        step = (
            self.who.run,
            attempt.revision,
            self.direction,
            time.monotonic() - attempt.began,
            "done",
            None,
            None,
        )
        up = self.direction == "upgrade"
        kept = (attempt.revision, checksums.checksum(attempt.file)) if up else (attempt.revision,)
        ended, attempt.leaves = session_state.reset_and_record(
            connection,
            audit.RECORD_UPGRADE if up else audit.RECORD_DOWNGRADE,
            (*step, *kept),
            self.start.values(limits),
        )
        if attempt.marked and ended:
            attempt.ended = True
            raise transactions.EndedTransaction

    def discard_leftovers(self, context: Any) -> None:
        """After a revision's commit: drop what it left in the session, such as temporary tables."""
        if self.attempt and self.attempt.leaves:
            session_state.discard(context.connection, self.start.values(self.limits))
