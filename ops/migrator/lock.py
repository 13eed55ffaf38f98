"""One runner at a time per database, by an advisory lock held by a separate session.

The lock is polled: a session waiting for an advisory lock holds a snapshot, which CREATE INDEX
CONCURRENTLY would wait for. The session autocommits, so it never blocks a revision. It ends with
its process and releases the lock, so a killed run leaves none behind. The holder is named in the
session's application_name, which every user may read. The audit has the full identity: PostgreSQL
keeps 63 bytes of an application_name, and client_addr of a remote run is the bastion's address.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import psycopg

from ops.migrator import audit, writable
from ops.migrator.audit import LOCK_KEY
from ops.migrator.connections import UNFILTERED, close, connect
from ops.migrator.model import Limits, MigrateError, RunIdentity, TargetDatabase

_POLL_S = 0.5
_SELECT_HOLDER = """
SELECT a.pid, a.usename, a.application_name, host(a.client_addr) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 AND ((l.classid::bigint << 32) | l.objid::bigint) = %s
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
SELECT_RUN_PIDS = """
SELECT pid FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND position(%s in application_name) > 0
"""


def application_name(who: RunIdentity, since: str = "") -> str:
    """`db.upgrade 1f3c since 2026-01-02T03:04:05Z by ann@host`, cut to PostgreSQL's 63 bytes."""
    words = [who.verb, who.run, *(["since", since] if since else []), "by", f"{who.by}@{who.host}"]
    return " ".join(words).encode("ascii", "replace").decode()[:63]


@contextmanager
def hold_lock(
    target: TargetDatabase,
    limits: Limits,
    who: RunIdentity,
    say: Callable[[str], None],
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[psycopg.Connection[Any]]:
    """Yield the session that holds the lock.

    Raises MigrateError: refused, naming the holder, or unreachable.
    """
    lock_connection = connect(target, application_name(who), limits)
    try:
        writable.refuse_pooler(lock_connection, target)
        writable.refuse_read_only(lock_connection, target)
        lock_connection.execute(UNFILTERED)
        _try_lock(lock_connection, limits.wait_s, who, say, sleep)
        yield lock_connection
    finally:
        close(lock_connection)


def _try_lock(
    lock_connection: psycopg.Connection[Any],
    wait_s: float,
    who: RunIdentity,
    say: Callable[[str], None],
    sleep: Callable[[float], None],
) -> None:
    end, told = time.monotonic() + wait_s, False
    while not _scalar(lock_connection, "SELECT pg_try_advisory_lock(%s)", LOCK_KEY):
        other = _describe_holder(lock_connection)
        if time.monotonic() >= end:
            how = "wait for it (--lock-wait 10m), or see: inv db.history"
            raise MigrateError("refused", "another migration runs in this database", other, how)
        if not told:
            say(f"waiting for another migration: {other}")
            told = True
        sleep(min(_POLL_S * random.uniform(0.5, 1.5), max(0.01, end - time.monotonic())))  # noqa: S311 - jitter, so that two don't poll in step
    since = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    lock_connection.execute(
        "SELECT set_config('application_name', %s, false)", [application_name(who, since)]
    )


def _describe_holder(lock_connection: psycopg.Connection[Any]) -> str:
    row = lock_connection.execute(_SELECT_HOLDER, [LOCK_KEY]).fetchone()
    if row is None:
        return "it has just ended"
    pid, user, application, address = row
    who = _holder_in_audit(lock_connection, application) or application
    return f"{who} holds it (database user {user}, from {address or 'there'}, server process {pid})"


def _holder_in_audit(lock_connection: psycopg.Connection[Any], application: str) -> str | None:
    """The holder as the audit describes it; None if its run has not started or can't be read."""
    run = application.split()[1:2]
    try:
        return (
            audit.describe_run(lock_connection, run[0])
            if run and audit.exists(lock_connection)
            else None
        )
    except psycopg.Error:
        return None


def wait_until_gone(
    lock_connection: psycopg.Connection[Any],
    run: str,
    limits: Limits,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Wait for the server process of a killed run, whose last statement may still be running.

    Raises MigrateError (refused).
    """
    end = time.monotonic() + max(limits.wait_s, 5.0)
    while found := lock_connection.execute(SELECT_RUN_PIDS, [run]).fetchone():
        if time.monotonic() >= end:
            why = (
                f"run {run} was killed, and its server process {found[0]} still works on its "
                f"last statement"
            )
            how = f"wait for it, or end it: SELECT pg_terminate_backend({found[0]})"
            raise MigrateError("refused", "an earlier migration has not ended", why, how)
        sleep(0.2)


def _scalar(connection: psycopg.Connection[Any], statement: str, *parameters: Any) -> Any:
    row = connection.execute(statement, parameters).fetchone()
    return row[0] if row else None
