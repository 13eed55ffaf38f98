"""Indexes that a failed CREATE INDEX or REINDEX CONCURRENTLY left INVALID.

They slow down every write and serve no query. `CREATE INDEX CONCURRENTLY IF NOT EXISTS` run again
sees the name and succeeds silently, so a head would be recorded over a broken index. A revision is
responsible for the INVALID indexes that appeared while it ran, and for those that its statements
name. An index that another session is building is INVALID too, and is skipped
(pg_stat_progress_create_index).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Any

import psycopg
from psycopg import sql

_SELECT_INVALID = """
SELECT n.nspname, c.relname, n.nspname = ANY(current_schemas(false)), t.relname
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_class t ON t.oid = i.indrelid
WHERE NOT i.indisvalid AND n.nspname <> 'pg_toast' AND i.indexrelid NOT IN (SELECT index_relid FROM pg_stat_progress_create_index)
"""
_IDENTIFIER = r'(?:"(?:[^"]|"")+"|[\w$]+)'
_CONCURRENT_INDEX = re.compile(
    rf"\bINDEX\s+CONCURRENTLY\s+(?:IF\s+NOT\s+EXISTS\s+)?(?:({_IDENTIFIER})\s*\.\s*)?({_IDENTIFIER})"
    rf"(?:\s+ON\s+(?:ONLY\s+)?(?:({_IDENTIFIER})\s*\.\s*)?{_IDENTIFIER})?",
    re.IGNORECASE,
)

_QUALIFIED = re.compile(rf"(?:({_IDENTIFIER})\s*\.\s*)?({_IDENTIFIER})")
_DROP = re.compile(
    r"\bDROP\s+INDEX\s+CONCURRENTLY\s+(?:IF\s+EXISTS\s+)?([^;]+?)(?:\s+(?:RESTRICT|CASCADE))?\s*(?:;|$)",
    re.IGNORECASE,
)
_REINDEX = re.compile(
    rf"\bREINDEX\s+(?:\([^)]*\)\s*)?(INDEX|TABLE)\s+(?:CONCURRENTLY\s+)?(?:({_IDENTIFIER})\s*\.\s*)?({_IDENTIFIER})",
    re.IGNORECASE,
)
_DETACH = re.compile(
    r"^(\s*ALTER\s+TABLE\b.*\bDETACH\s+PARTITION\s+(.+?))\s+CONCURRENTLY\s*;?\s*$",
    re.IGNORECASE | re.DOTALL,
)
_COPY_SUFFIX = re.compile(r"_cc(?:new|old)\d*$")  # what REINDEX CONCURRENTLY names its copies
_SELECT_PENDING = "SELECT inhdetachpending FROM pg_inherits WHERE inhrelid = to_regclass(%s)"

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
    statements: Collection[str],
) -> frozenset[IndexName]:
    """The INVALID indexes that appeared since `before`, or that `statements` name.

    Those that they drop are left to the next attempt, which finds them by their names.
    """
    dropped = _dropped_indexes(statements)
    names = concurrent_indexes(statements)
    return frozenset(
        (schema, name)
        for schema, name, on_path, _ in lock_connection.execute(_SELECT_INVALID).fetchall()
        if not _names(dropped, schema, name, on_path)
        and ((schema, name) not in before or _names(names, schema, name, on_path))
    )


def _names(known: frozenset[tuple[str | None, str]], schema: str, name: str, on_path: bool) -> bool:
    return (schema, name) in known or (on_path and (None, name) in known)


def _dropped_indexes(statements: Iterable[str]) -> frozenset[tuple[str | None, str]]:
    """(schema, name) of the indexes that these statements drop concurrently."""
    return frozenset(
        (_fold(name[1]) if name[1] else None, _fold(name[2]))
        for statement in statements
        for match in _DROP.finditer(statement)
        for name in _QUALIFIED.finditer(match[1])
    )


def stale_copies(
    lock_connection: psycopg.Connection[Any], statements: Iterable[str]
) -> frozenset[IndexName]:
    """The INVALID copies (`_ccnew`, `_ccold`) of the indexes that these statements REINDEX.

    An earlier REINDEX CONCURRENTLY that failed left them; no statement names them.
    """
    targets = {
        (match[1].upper(), _fold(match[2]) if match[2] else None, _fold(match[3]))
        for statement in statements
        for match in _REINDEX.finditer(statement)
    }
    return frozenset(
        (schema, name)
        for schema, name, on_path, table in lock_connection.execute(_SELECT_INVALID).fetchall()
        if _COPY_SUFFIX.search(name)
        for kind, wanted, target in targets
        if target == (table if kind == "TABLE" else _COPY_SUFFIX.sub("", name))
        and (schema == wanted or (wanted is None and on_path))
    )


def finalized(lock_connection: psycopg.Connection[Any], statement: str) -> str | None:
    """`… DETACH PARTITION p FINALIZE`, if its CONCURRENTLY is pending already; else None."""
    found = _DETACH.match(statement)
    if found is None:
        return None
    row = lock_connection.execute(_SELECT_PENDING, [found[2].strip()]).fetchone()
    return f"{found[1].strip()} FINALIZE" if row and row[0] else None


def pending_detaches(
    lock_connection: psycopg.Connection[Any], statements: Iterable[str]
) -> tuple[str, ...]:
    """The statements that finalize what these DETACH … CONCURRENTLY left pending."""
    return tuple(filter(None, (finalized(lock_connection, each) for each in statements)))


def drop_index(lock_connection: psycopg.Connection[Any], index: IndexName) -> None:
    lock_connection.execute(
        sql.SQL("DROP INDEX CONCURRENTLY IF EXISTS {}").format(sql.Identifier(*index))
    )
