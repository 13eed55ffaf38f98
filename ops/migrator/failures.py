"""What a failure means: whether to retry, and the error to report.

SQLSTATEs: PostgreSQL documentation, appendix A.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import sqlalchemy

from ops.migrator.model import Direction, MigrateError, TargetDatabase
from ops.migrator.revisions.user_code import exception_text, location
from ops.migrator.transactions import EndedTransaction

if TYPE_CHECKING:
    from ops.migrator.revisions.attempt import RevisionAttempt

_ADVICE = {
    "25006": "the database is read-only: see why, then run it again",
    "42501": "migrate as the owner of the schema ops_migrations and of alembic_version, or "
    "GRANT that user the rights on them",
    "55P03": "see who holds it (pg_stat_activity), then run it again",
    "53": "free disk, memory or connections of the server, then run it again",
    "42P01": "the schema ops_migrations is incomplete: restore it, or drop it to begin a new audit",
    "42703": "the schema ops_migrations is another tool's: rename it",
}  # by the beginning of the SQLSTATE
_LOCK_TIMEOUT, _DEADLOCK, _CANCELED, _DUPLICATE_TABLE = "55P03", "40P01", "57014", "42P07"
_DUPLICATES = (_DUPLICATE_TABLE, "42710", "42723", "42P06")  # of an object, a function, a schema


class LeftInvalid(Exception):
    """The revision succeeded, but an index that it names is INVALID."""

    def __init__(self, broken: Iterable[tuple[str, str]]) -> None:
        self.names = ", ".join(".".join(index) for index in sorted(broken))
        super().__init__(
            f"index {self.names} is INVALID: an earlier CREATE INDEX CONCURRENTLY failed, "
            f"and IF NOT EXISTS passed over it"
        )


def _driver_error(problem: BaseException) -> BaseException:
    """The driver's error inside a SQLAlchemy error."""
    inner = problem.orig if isinstance(problem, sqlalchemy.exc.DBAPIError) else None
    return inner if isinstance(inner, BaseException) else problem


def _connection_lost(problem: BaseException) -> bool:
    """Whether the revision's connection is gone: the error is not the revision's."""
    return isinstance(problem, sqlalchemy.exc.DBAPIError) and problem.connection_invalidated


def sqlstate(problem: BaseException) -> str | None:
    found = _driver_error(problem)
    return found.sqlstate if isinstance(found, psycopg.Error) else None


def retry_reason(
    problem: Exception, outside: bool, cleared: bool, count: int, retries: int
) -> str | None:
    """The reason to retry, or None.

    The last attempt must have left nothing behind: it was rolled back, or its INVALID indexes were
    dropped (`cleared`).
    """
    state = sqlstate(problem)
    if count > retries or (outside and not cleared):
        return None
    if state == _LOCK_TIMEOUT:
        return "lock timeout (55P03)"
    if state == _DEADLOCK:
        return "deadlock (40P01)"
    if count == 1 and (isinstance(problem, LeftInvalid) or (state == _DUPLICATE_TABLE and cleared)):
        return "an earlier run had left an index INVALID"
    return None


@contextmanager
def translated(target: TargetDatabase) -> Iterator[None]:
    """Convert the server's errors outside of a revision, as in the audit, to MigrateError."""
    try:
        yield
    except psycopg.Error as problem:
        state = f" ({problem.sqlstate})" if problem.sqlstate else ""
        why = f"{target.clean(error_text(problem))}{state}"
        unreachable = isinstance(problem, psycopg.OperationalError) and not problem.sqlstate
        advice = next(
            (how for prefix, how in _ADVICE.items() if (problem.sqlstate or "").startswith(prefix)),
            "see the database's log, then run it again",
        )
        raise MigrateError(
            "unreachable" if unreachable else "failed",
            f"the records of the migration in {target.where}",
            why,
            advice,
        ) from None


def error_text(problem: BaseException) -> str:
    """The server's message, detail and hint, without SQLAlchemy's additions."""
    found = _driver_error(problem)
    if isinstance(found, psycopg.Error) and found.diag.message_primary:
        parts = (found.diag.message_primary, found.diag.message_detail, found.diag.message_hint)
        return ". ".join(part.rstrip(".") for part in parts if part)
    return exception_text(found) or type(found).__name__


def to_migrate_error(
    problem: Exception,
    target: TargetDatabase,
    attempt: RevisionAttempt | None,
    direction: Direction,
    applied: int,
    at: str | None,
    verb: str,
    late: bool,
) -> MigrateError:
    """Convert a failure to a MigrateError that says what remains of the revision."""
    if isinstance(problem, MigrateError) and attempt is None:
        return problem
    if attempt is None:
        why = target.clean(error_text(problem)) + location(problem, Path(target.folder))
        return MigrateError(
            "failed", f"{direction} of {target.where}", why, f"correct it, then: {verb}"
        )
    what = f"{direction} of revision {attempt.revision} failed"
    if isinstance(_driver_error(problem), NotImplementedError):
        what = f"revision {attempt.revision} has no {direction}"
        return MigrateError(
            "refused",
            what,
            f"{attempt.file.name} does not say how; {_what_remains(attempt, applied, at)}",
            f"write it, then: {verb}",
        )
    state, remains = sqlstate(problem), _what_remains(attempt, applied, at)
    if _connection_lost(problem) and at is None and not attempt.may_stay:
        remains = (
            f"the server rolls it back, unless it had committed it; {applied} before it done; "
            f"the database's current revision is unknown"
        )
    why = target.clean(error_text(problem)) + (
        f" ({state})" if state else location(problem, attempt.file)
    )
    if state == _LOCK_TIMEOUT and attempt.blockers:
        why += f"; it waited for {target.clean('; '.join(each.text for each in attempt.blockers))}"
    why = f"{why}; {remains}"
    if isinstance(problem, EndedTransaction) and not attempt.outside:
        why = remains  # it says so with the statement
    if late or (
        isinstance(problem, MigrateError) and problem.kind == "timed_out"
    ):  # the next try would come too late
        return MigrateError("timed_out", what, why, f"{verb} --timeout 10m continues from there")
    if _connection_lost(problem):
        how = (
            f"see where the database is (inv db.current), then: {verb}, which continues from there"
        )
        what = f"{direction} of revision {attempt.revision} was cut off: its connection was lost"
        return MigrateError("failed", what, why, how)
    if state == _LOCK_TIMEOUT:
        finalizes = f"finalizes it ({'; '.join(attempt.finalize)}) and " if attempt.finalize else ""
        how = f"{_ending(attempt)}, then: {verb}, which {finalizes}continues from there"
        return MigrateError("failed", what, why, how)
    if state == _CANCELED:
        return MigrateError(
            "failed", what, why, f"raise database.statement_timeout in invoke.yaml, then: {verb}"
        )
    if isinstance(problem, EndedTransaction):
        how = (
            f"remove its {attempt.control.split(',')[0] or 'COMMIT or ROLLBACK'}, see what it "
            f"left (inv db.current), then: {verb}"
        )
        return MigrateError("failed", what, why, how)
    how = f"correct it, then: {verb}, which continues from there"
    if state in _DUPLICATES and direction == "upgrade" and at == "base":
        how = f"if another tool made this schema: inv db.adopt; else correct it, then: {verb}"
    if attempt.may_stay:
        how = f"see what it left (inv db.current), correct it, then: {verb}"
    return MigrateError("failed", what, why, how)


def _ending(attempt: RevisionAttempt) -> str:
    """How to end what the revision waited for."""
    if not attempt.blockers:
        return "see who holds it (pg_stat_activity, pg_prepared_xacts)"
    return f"wait for its end, or end it: {'; '.join(each.end for each in attempt.blockers)}"


def _what_remains(attempt: RevisionAttempt, applied: int, at: str | None) -> str:
    where = f"the database is at {at}" if at else "the database's current revision is unknown"
    mine = "nothing of it remains"
    if attempt.remains:
        mine = f"it left {', '.join(attempt.remains)} INVALID, which the next run drops"
    elif attempt.finalize:
        mine = "it left a partition pending detach"
    elif attempt.committed_outside:
        mine = "parts of it may remain, since it ran outside a transaction"
    elif attempt.ended or attempt.control:
        mine = (
            f"it ends its own transaction ({attempt.control or 'COMMIT or ROLLBACK'}), so "
            f"what it committed remains"
        )
    return f"{mine}, {applied} before it done; {where}"


def out_of_time(limit: Any) -> MigrateError:
    return MigrateError(
        "timed_out",
        "migration",
        f"{limit:g} s are over",
        "run it with a longer --timeout: it continues from the current revision",
    )
