"""Taking over a database that another tool made: its revision is recorded, its schema is not
touched.

Under the lock of a run, and only while the schema is still the one that was compared. What a legacy
`migration_history` tells goes into the audit, a step each; the table stays as it was."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import psycopg
from psycopg import sql

from ops.migrator import audit, catalog, lock, preconditions
from ops.migrator.model import Limits, MigrateError, MigrationOutcome, RunIdentity, TargetDatabase
from ops.migrator.revisions import checksums
from ops.migrator.revisions.scripts import Scripts
from ops.migrator.version_table import heads_of

HISTORY = "migration_history"
NAMES = ("name", "filename", "file", "migration_name", "migration", "version", "id")
TIMES = ("applied_at", "executed_at", "run_at", "run_on", "created_at", "timestamp")
VERSION = (
    "CREATE TABLE IF NOT EXISTS alembic_version (version_num varchar(32) NOT NULL CONSTRAINT "
    "alembic_version_pkc PRIMARY KEY)"
)
WHERE = (
    "SELECT relnamespace::regnamespace::name FROM pg_class WHERE relname = %s AND relkind = "
    "'r' ORDER BY 1 LIMIT 1"
)
LEGACY = f"""
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
    """Record `revision` for a database whose schema has this `digest` (`catalog.digest`). Raises
    MigrateError.

    Refused where a revision is recorded already, and where the schema is not the one that was
    looked at."""
    scripts = Scripts(target.folder, target.hide)
    goal = scripts.known(revision)
    with lock.lock_is_held(target, limits, who, say, sleep) as keeper:
        refuse(keeper, target, digest)
        audit.prepare(keeper, target)
        preconditions.mark_lost_runs(keeper, limits, say, sleep)
        audit.begun(keeper, who, None)
        try:
            with keeper.transaction():
                keeper.execute(VERSION)
                keeper.execute("INSERT INTO alembic_version (version_num) VALUES (%s)", [goal])
                for each, file in scripts.applied((goal,)).items():
                    keeper.execute(audit.REMEMBER, (each, checksums.checksum(file)))
                for name, at, row in legacy(keeper):
                    keeper.execute(LEGACY, (who.run, target.clean(name), at, target.clean(row)))
        except psycopg.Error as error:
            audit.ended(keeper, who.run, "failed", None, target.clean(error))
            raise MigrateError(
                "failed",
                f"adoption of {target.where}",
                target.clean(error),
                "nothing of it stays; correct it",
            ) from None
        audit.ended(keeper, who.run, "done", goal)
    return MigrationOutcome(None, goal, (), who.run)


def refuse(keeper: psycopg.Connection[Any], target: TargetDatabase, digest: str) -> None:
    if heads := heads_of(keeper):
        raise MigrateError(
            "refused",
            f"{target.where} is at {','.join(heads)}",
            "a revision is recorded already",
            "see: inv db.current",
        )
    if catalog.digest(catalog.read(keeper)) != digest:
        why = "its schema is not the one that was compared: somebody has changed it since"
        raise MigrateError(
            "refused", f"adoption of {target.where}", why, "run it again: it looks anew"
        )


def legacy(connection: psycopg.Connection[Any]) -> Iterator[tuple[str, datetime | None, str]]:
    """Each row of a legacy history: what it calls the migration, when that ran, and the whole row
    as JSON.
    """
    found = connection.execute(WHERE, [HISTORY]).fetchone()
    if found is None:
        return
    question = sql.SQL("SELECT to_jsonb(t) FROM {} t").format(sql.Identifier(found[0], HISTORY))
    for (row,) in connection.execute(question).fetchall():
        name = next((row[key] for key in NAMES if row.get(key) is not None), "?")
        yield (
            str(name),
            moment(next((row[key] for key in TIMES if row.get(key) is not None), None)),
            json.dumps(row),
        )


def moment(value: object) -> datetime | None:
    """A time as the row has it (without a zone: UTC is what such tables mean); None for what is no
    time.
    """
    if not isinstance(value, str):
        return None
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        return None
    return found if found.tzinfo else datetime.fromisoformat(f"{found.isoformat()}+00:00")
