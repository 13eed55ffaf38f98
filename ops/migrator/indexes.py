"""Indexes that a failed CREATE INDEX or REINDEX CONCURRENTLY left INVALID.

They slow down every write and serve no query. `CREATE INDEX CONCURRENTLY IF NOT EXISTS` run again
sees the name and succeeds silently, so a head would be recorded over a broken index. A revision is
responsible for the INVALID indexes that appeared while it ran, and for those that its statements
name. An index that another session is building is INVALID too, and is skipped
(pg_stat_progress_create_index).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import psycopg
from psycopg import sql

_SELECT_INVALID = """
SELECT n.nspname, c.relname, n.nspname = ANY(current_schemas(false))
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE NOT i.indisvalid AND n.nspname <> 'pg_toast' AND i.indexrelid NOT IN (SELECT index_relid FROM pg_stat_progress_create_index)
"""
_IDENTIFIER = r'(?:"(?:[^"]|"")+"|[\w$]+)'
_CONCURRENT_INDEX = re.compile(
    rf"\bINDEX\s+CONCURRENTLY\s+(?:IF\s+NOT\s+EXISTS\s+)?(?:({_IDENTIFIER})\s*\.\s*)?({_IDENTIFIER})"
    rf"(?:\s+ON\s+(?:ONLY\s+)?(?:({_IDENTIFIER})\s*\.\s*)?{_IDENTIFIER})?",
    re.IGNORECASE,
)

IndexName = tuple[str, str]


def invalid_indexes(lock_connection: psycopg.Connection[Any]) -> frozenset[IndexName]:
    """(schema, name) of every INVALID index that is not being built."""
    return frozenset(
        (row[0], row[1]) for row in lock_connection.execute(_SELECT_INVALID).fetchall()
    )


def concurrent_indexes(statements: Iterable[str]) -> frozenset[tuple[str | None, str]]:
    """(schema, name) of the indexes that these statements create or rebuild concurrently.

    Names are folded as PostgreSQL folds them. A new index is in its table's schema; schema None:
    found by the search path.
    """
    found = (match for statement in statements for match in _CONCURRENT_INDEX.finditer(statement))
    return frozenset(
        (_fold(match[1] or match[3]) if match[1] or match[3] else None, _fold(match[2]))
        for match in found
    )


def _fold(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name.lower()


def left_invalid(
    lock_connection: psycopg.Connection[Any],
    before: frozenset[IndexName],
    statements: Iterable[str],
) -> frozenset[IndexName]:
    """The INVALID indexes that appeared since `before`, or that `statements` name."""
    names = concurrent_indexes(statements)
    return frozenset(
        (schema, name)
        for schema, name, on_path in lock_connection.execute(_SELECT_INVALID).fetchall()
        if (schema, name) not in before
        or (schema, name) in names
        or (on_path and (None, name) in names)
    )


def drop_indexes(lock_connection: psycopg.Connection[Any], broken: Iterable[IndexName]) -> None:
    for schema, name in sorted(broken):
        lock_connection.execute(
            sql.SQL("DROP INDEX CONCURRENTLY IF EXISTS {}").format(sql.Identifier(schema, name))
        )
