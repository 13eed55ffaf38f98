"""Adopt a database that another tool created: record its revision, leave its schema alone.

It runs under the lock of a run, and only if the schema is still the one that was compared. The rows
of a legacy `migration_history` are copied into the audit, one step each; the table stays unchanged.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import psycopg
from psycopg import sql

from ops.migrator import audit, catalog, failures, lock, preconditions
from ops.migrator.model import Limits, MigrateError, MigrationOutcome, RunIdentity, TargetDatabase
from ops.migrator.revisions import checksums
from ops.migrator.revisions.scripts import Scripts
from ops.migrator.version_table import heads_of

_LEGACY_TABLE = "migration_history"
_NAME_COLUMNS = ("name", "filename", "file", "migration_name", "migration", "version", "id")
_TIME_COLUMNS = ("applied_at", "executed_at", "run_at", "run_on", "created_at", "timestamp")
_CREATE_VERSION_TABLE = (
    "CREATE TABLE IF NOT EXISTS alembic_version (version_num varchar(32) NOT NULL CONSTRAINT "
    "alembic_version_pkc PRIMARY KEY)"
)
_FIND_LEGACY_SCHEMA = (
    "SELECT relnamespace::regnamespace::name FROM pg_class WHERE relname = %s AND relkind = "
    "'r' ORDER BY 1 LIMIT 1"
)
_INSERT_LEGACY_STEP = f"""
INSERT INTO {audit.SCHEMA}.steps (run, revision, direction, ended_at, took_s, result, message)
VALUES (%s, %s, 'legacy', coalesce(%s, clock_timestamp()), 0, 'done', %s)
"""  # noqa: S608 - the constant


def adopt(
    target: TargetDatabase,
    revision: str,
    digest: str,
    who: RunIdentity,
    limits: Limits,
    *,
    say: Callable[[str], None],
    sleep: Callable[[float], None] = time.sleep,
) -> MigrationOutcome:
    """Record `revision` for a database whose schema has this `digest` (`catalog.digest`).

    Raises MigrateError: refused if a revision is already recorded, or if the schema has changed
    since it was compared.
    """
    scripts = Scripts(target.folder, target.hide)
    goal = scripts.known(revision)
    with (
        failures.translated(target),
        lock.hold_lock(target, limits, who, say, sleep) as lock_connection,
    ):
        _check_adoptable(lock_connection, target, digest)
        audit.prepare(lock_connection, target)
        preconditions.mark_lost_runs(lock_connection, limits, say, sleep)
        audit.record_start(lock_connection, who, None)
        try:
            with lock_connection.transaction():
                lock_connection.execute(_CREATE_VERSION_TABLE)
                lock_connection.execute(
                    "INSERT INTO alembic_version (version_num) VALUES (%s)", [goal]
                )
                for each, file in scripts.applied((goal,)).items():
                    lock_connection.execute(audit.UPSERT_CHECKSUM, (each, checksums.checksum(file)))
                for name, at, row in _legacy_rows(lock_connection):
                    lock_connection.execute(
                        _INSERT_LEGACY_STEP, (who.run, target.clean(name), at, target.clean(row))
                    )
        except psycopg.Error as error:
            audit.record_end(lock_connection, who.run, "failed", None, target.clean(error))
            raise MigrateError(
                "failed",
                f"adoption of {target.where}",
                target.clean(error),
                "nothing of it remains; correct it",
            ) from None
        audit.record_end(lock_connection, who.run, "done", goal)
    return MigrationOutcome(None, goal, (), who.run)


def _check_adoptable(
    lock_connection: psycopg.Connection[Any], target: TargetDatabase, digest: str
) -> None:
    """Raise MigrateError (refused) for a recorded revision or a changed schema."""
    if heads := heads_of(lock_connection):
        raise MigrateError(
            "refused",
            f"{target.where} is at {','.join(heads)}",
            "a revision is recorded already",
            "see: inv db.current",
        )
    if catalog.digest(catalog.read(lock_connection)) != digest:
        why = "its schema is not the one that was compared: it was changed since"
        raise MigrateError("refused", f"adoption of {target.where}", why, "run it again")


def _legacy_rows(connection: psycopg.Connection[Any]) -> Iterator[tuple[str, datetime | None, str]]:
    """Yield (migration name, time it ran, row as JSON) for each row of the legacy history."""
    found = connection.execute(_FIND_LEGACY_SCHEMA, [_LEGACY_TABLE]).fetchone()
    if found is None:
        return
    question = sql.SQL("SELECT to_jsonb(t) FROM {} t").format(
        sql.Identifier(found[0], _LEGACY_TABLE)
    )
    for (row,) in connection.execute(question).fetchall():
        name = next((row[key] for key in _NAME_COLUMNS if row.get(key) is not None), "?")
        yield (
            str(name),
            _parse_time(
                next((row[key] for key in _TIME_COLUMNS if row.get(key) is not None), None)
            ),
            json.dumps(row),
        )


def _parse_time(value: object) -> datetime | None:
    """Parse a timestamp; without a time zone it is UTC. None if it can't be parsed."""
    if not isinstance(value, str):
        return None
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        return None
    return found if found.tzinfo else datetime.fromisoformat(f"{found.isoformat()}+00:00")
