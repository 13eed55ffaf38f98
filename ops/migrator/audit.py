"""The audit: every run and every revision, including failed, interrupted and killed ones.

It has a schema of its own, so that a dump of the application's schema leaves it out. A revision's
row and its checksum are written in the revision's own transaction, so they exist exactly if the
revision was applied. A failure's row is written by the session that holds the lock. A run that is
still "running" when another run gets the lock was killed: it is recorded as `lost`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg import errors
from psycopg.rows import dict_row

from ops.migrator.model import MigrateError, RunIdentity, TargetDatabase

SCHEMA = "ops_migrations"
LOCK_KEY = (
    0x6F70736D69677261  # "opsmigra", the runner's lock; advisory locks are counted a database
)
_CREATE_TABLES = f"""
CREATE SCHEMA IF NOT EXISTS {SCHEMA};
CREATE TABLE IF NOT EXISTS {SCHEMA}.runs (
    id text PRIMARY KEY, verb text NOT NULL, by text NOT NULL, host text NOT NULL,
    database_user text NOT NULL DEFAULT current_user, address inet DEFAULT inet_client_addr(),
    began_at timestamptz NOT NULL DEFAULT clock_timestamp(), ended_at timestamptz,
    result text NOT NULL DEFAULT 'running', from_revision text, to_revision text, message text
);
CREATE TABLE IF NOT EXISTS {SCHEMA}.steps (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, run text NOT NULL REFERENCES {SCHEMA}.runs (id),
    revision text NOT NULL, direction text NOT NULL, ended_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    took_s double precision NOT NULL, result text NOT NULL, sqlstate text, message text
);
CREATE TABLE IF NOT EXISTS {SCHEMA}.checksums (
    revision text PRIMARY KEY, checksum text NOT NULL, seen_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
"""
INSERT_STEP = (
    f"INSERT INTO {SCHEMA}.steps (run, revision, direction, took_s, result, sqlstate, message) "  # noqa: S608
    f"VALUES (%s, %s, %s, %s, %s, %s, %s)"
)
UPSERT_CHECKSUM = (
    f"INSERT INTO {SCHEMA}.checksums (revision, checksum) VALUES (%s, %s)"  # noqa: S608
    " ON CONFLICT (revision) DO UPDATE SET checksum = excluded.checksum, seen_at = excluded.seen_at"
)
_DELETE_CHECKSUM = f"DELETE FROM {SCHEMA}.checksums WHERE revision = %s"  # noqa: S608
RECORD_UPGRADE = f"{INSERT_STEP}; {UPSERT_CHECKSUM}"
RECORD_DOWNGRADE = f"{INSERT_STEP}; {_DELETE_CHECKSUM}"
_SELECT_HISTORY = f"""
SELECT r.id AS run, r.verb, r.by, r.host, r.database_user, host(r.address) AS address, r.began_at, r.ended_at,
       CASE WHEN r.result = 'running' AND NOT EXISTS (
           SELECT FROM pg_locks l WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
           AND ((l.classid::bigint << 32) | l.objid::bigint) = {LOCK_KEY}
           AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
       ) THEN 'lost' ELSE r.result END AS result,
       r.from_revision AS "from", r.to_revision AS "to", r.message,
       coalesce((SELECT json_agg(json_build_object('revision', s.revision, 'direction', s.direction, 'took_s', s.took_s, 'result', s.result,
                                                   'sqlstate', s.sqlstate, 'message', s.message) ORDER BY s.id)
                 FROM {SCHEMA}.steps s WHERE s.run = r.id), '[]') AS steps
FROM {SCHEMA}.runs r ORDER BY r.began_at DESC LIMIT %s
"""  # noqa: S608 - SCHEMA is the constant above


def exists(connection: psycopg.Connection[Any]) -> bool:
    row = connection.execute(
        "SELECT to_regclass(%s) IS NOT NULL", [f"{SCHEMA}.checksums"]
    ).fetchone()
    return bool(row and row[0])


def prepare(lock_connection: psycopg.Connection[Any], target: TargetDatabase) -> None:
    """Create the audit's schema if it does not exist. Raises MigrateError without the privilege."""
    if exists(lock_connection):
        return
    try:
        with lock_connection.transaction():
            lock_connection.execute(_CREATE_TABLES)
    except errors.InsufficientPrivilege as error:
        why = f"its user may not create the schema {SCHEMA}: {target.clean(error.diag.message_primary)}"
        raise MigrateError(
            "refused",
            target.where,
            why,
            "GRANT CREATE ON DATABASE … TO that user, or migrate as the owner",
        ) from None


def lost_runs(lock_connection: psycopg.Connection[Any]) -> list[tuple[str, str]]:
    """(run id, user@host) of each killed run. Only valid while holding the lock."""
    statement = f"SELECT id, by || '@' || host FROM {SCHEMA}.runs WHERE result = 'running'"  # noqa: S608
    return lock_connection.execute(statement).fetchall()


def record_start(
    lock_connection: psycopg.Connection[Any], who: RunIdentity, before: str | None
) -> None:
    statement = (
        f"INSERT INTO {SCHEMA}.runs (id, verb, by, host, from_revision) VALUES (%s, %s, "  # noqa: S608
        f"%s, %s, %s)"
    )
    lock_connection.execute(statement, (who.run, who.verb, who.by, who.host, before))


def describe_run(lock_connection: psycopg.Connection[Any], run: str) -> str | None:
    """`db.upgrade 1f3c since 2026-01-02T03:04:05Z by ann@host`; None for an unknown run."""
    since = """to_char(began_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')"""
    statement = (
        f"SELECT verb || ' ' || id || ' since ' || {since} || ' by ' || by || '@' || host FROM "  # noqa: S608
        f"{SCHEMA}.runs WHERE id = %s"
    )
    row = lock_connection.execute(statement, [run]).fetchone()
    return row[0] if row else None


def record_end(
    lock_connection: psycopg.Connection[Any],
    run: str,
    result: str,
    after: str | None,
    message: str | None = None,
) -> None:
    statement = (
        f"UPDATE {SCHEMA}.runs SET result = %s, to_revision = %s, message = %s, ended_at = "  # noqa: S608
        f"clock_timestamp() WHERE id = %s"
    )
    lock_connection.execute(statement, (result, after, message, run))


def checksums(connection: psycopg.Connection[Any]) -> Mapping[str, str]:
    """The checksum of each applied revision; empty without an audit."""
    if not exists(connection):
        return {}
    return dict(connection.execute(f"SELECT revision, checksum FROM {SCHEMA}.checksums").fetchall())  # noqa: S608


def history(connection: psycopg.Connection[Any], limit: int) -> list[dict[str, Any]]:
    """The last `limit` runs, newest first, with their revisions.

    A run without an end is `lost` if no session holds the lock.
    """
    if not exists(connection):
        return []
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(_SELECT_HISTORY, [limit]).fetchall()
