"""The revisions of a database, from alembic_version."""

from __future__ import annotations

from typing import Any

import psycopg


def heads_of(connection: psycopg.Connection[Any]) -> tuple[str, ...]:
    """The revisions in alembic_version; empty without the table. For autocommit sessions."""
    row = connection.execute("SELECT to_regclass('alembic_version') IS NOT NULL").fetchone()
    if not row or not row[0]:
        return ()
    return tuple(
        str(found[0])
        for found in connection.execute(
            "SELECT version_num FROM alembic_version ORDER BY version_num"
        ).fetchall()
    )
