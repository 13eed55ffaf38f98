"""Swap the database for a copy and back, so that a fault's changes are undone to the row.

Differs from a snapshot: changes made to the copy are lost at the restore, and sessions are ended
both times.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ops.sandbox.database.schema import Login, connect


def put_aside(admin: Login) -> None:
    """Replace the database by a copy and set the original aside under another name.

    Does nothing if an original is already set aside.
    """
    with _server(admin) as connection:
        if _exists(connection, _name(admin)):
            return
        _cut(connection, admin.database)
        _do(connection, "ALTER DATABASE {} RENAME TO {}", admin.database, _name(admin))
        owner = connection.execute(
            "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = %s",
            [_name(admin)],
        ).fetchone()
        _do(
            connection,
            "CREATE DATABASE {} TEMPLATE {} OWNER {}",
            admin.database,
            _name(admin),
            owner[0],
        )


def restore(admin: Login) -> None:
    """Drop the copy and restore the original; do nothing if none is set aside."""
    with _server(admin) as connection:
        if not _exists(connection, _name(admin)):
            return
        if _exists(connection, admin.database):
            _cut(connection, admin.database)
            _do(connection, "DROP DATABASE {}", admin.database)
        _do(connection, "ALTER DATABASE {} RENAME TO {}", _name(admin), admin.database)
        _do(connection, "ALTER DATABASE {} ALLOW_CONNECTIONS true", admin.database)


def _name(admin: Login) -> str:
    return f"{admin.database}_aside"


def _server(admin: Login) -> Any:
    return connect(replace(admin, database="postgres"))


def _exists(connection: Any, database: str) -> bool:
    return (
        connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database]).fetchone()
        is not None
    )


def _cut(connection: Any, database: str) -> None:
    """End all sessions and let no new one in.

    Later statements wait up to five seconds for the sessions to end.
    """
    _do(connection, "ALTER DATABASE {} ALLOW_CONNECTIONS false", database)
    connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [database]
    )


def _do(connection: Any, statement: str, *names: str) -> None:
    from psycopg import sql

    connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))
