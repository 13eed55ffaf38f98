"""Whether a session can migrate at all: not on a replica, and not through a pooler's transactions.

Both are checked before the operator is asked, and again by the engine under its lock.
"""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import errors

from ops.migrator import connections
from ops.migrator.model import Limits, MigrateError, TargetDatabase

_SELECT_READ_ONLY = """
SELECT pg_is_in_recovery(), current_setting('default_transaction_read_only')::bool, source
FROM pg_settings WHERE name = 'default_transaction_read_only'
"""
_SOURCES = {
    "database": "ALTER DATABASE … SET",
    "user": "ALTER ROLE … SET",
    "database user": "ALTER ROLE … IN DATABASE … SET",
    "client": "PGOPTIONS",
}


def refuse_read_only(opened: psycopg.Connection[Any], target: TargetDatabase) -> None:
    """Raise MigrateError (refused) for a replica, or a database whose default is read-only."""
    if found := read_only_reason(opened):
        raise MigrateError("refused", f"{target.where} is read-only", *found)


def read_only_reason(opened: psycopg.Connection[Any]) -> tuple[str, str] | None:
    """Why a session can't write here, and what to do; None if it can."""
    row = opened.execute(_SELECT_READ_ONLY).fetchone()
    replica, default, source = row or (False, False, "")
    if replica:
        why = "it is a replica (pg_is_in_recovery): only the primary can be written"
        return why, "correct database.host: the writer's endpoint, not a reader's"
    if default:
        by = _SOURCES.get(source, "the server's configuration")
        why = f"default_transaction_read_only is on (by {by})"
        return why, "see why it was set (a full disk, a switchover), and take it back first"
    return None


def refuse_pooler(opened: psycopg.Connection[Any], target: TargetDatabase) -> None:
    """Raise MigrateError (refused) if sessions share server processes: transaction pooling.

    A pooler gives a process id of its own; that alone may be a pool of sessions. Two sessions that
    are served by the same process are not sessions.
    """
    if not connections.is_pooled(opened):
        return
    here = _server_process(opened)
    other = connections.connect(target, "inv db (second session)", Limits())
    try:
        there = _server_process(other)
        with other.transaction():  # holds its process, so that this session gets another one
            other.execute("SELECT 1")
            moved = _server_process(opened) != here
    except errors.ProtocolViolation:  # statement pooling allows no transactions
        moved = True
    finally:
        connections.close(other)
    if there == here or moved:
        raise MigrateError(
            "refused",
            f"{target.where} is a pooler in transaction mode",
            "its sessions share server processes: the migration lock and the limits would stay "
            "with an application's session",
            "connect past the pooler: set database.host and database.port to the server's own",
        )


def _server_process(opened: psycopg.Connection[Any]) -> int:
    row = opened.execute("SELECT pg_backend_pid()").fetchone()
    return int(row[0]) if row else 0
