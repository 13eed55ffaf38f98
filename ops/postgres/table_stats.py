"""Sizes and rows of the tables that a migration touches, and durations of its revisions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ops.core.text import format_count, format_size
from ops.postgres.access import READ_TIMEOUT_S, DatabaseAccess, is_filtered, read_session

_SELECT_SIZES = """
SELECT name, CASE WHEN i.indrelid IS NOT NULL THEN t.oid::regclass::text END, nullif(t.reltuples, -1)::bigint,
       coalesce((SELECT sum(pg_total_relation_size(relid)) FROM pg_partition_tree(t.oid)), pg_total_relation_size(t.oid))::bigint,
       coalesce((SELECT json_object_agg(attname, format_type(atttypid, atttypmod)) FROM pg_attribute
                 WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped), '{}')
FROM unnest(%s::text[]) AS name JOIN pg_class c ON c.oid = to_regclass(name)
LEFT JOIN pg_index i ON i.indexrelid = c.oid JOIN pg_class t ON t.oid = coalesce(i.indrelid, c.oid)
"""
_SELECT_DURATIONS = """
SELECT DISTINCT ON (revision) revision, took_s FROM ops_migrations.steps
WHERE (revision = ANY(%s) OR took_s >= %s) AND direction = %s AND result = 'done' ORDER BY revision, ended_at DESC
"""


@dataclass(frozen=True)
class TableSize:
    """The size of a table or index.

    `rows`: the planner's estimate (None: never analysed); `bytes`: with indexes, TOAST and
    partitions; `of`: an index's table.
    """

    rows: int | None
    bytes: int
    of: str | None = None
    types: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        rows = (
            "rows not known (never analysed)"
            if self.rows is None
            else format_count(self.rows, "row")
        )
        return f"{rows}, {format_size(self.bytes)}"


def read_sizes(
    door: DatabaseAccess, names: tuple[str, ...], revisions: tuple[str, ...], direction: str
) -> tuple[dict[str, TableSize], dict[str, float]]:
    """(Sizes of existing tables and indexes, past durations of `revisions`), in one session.

    Names are as written in SQL.
    """
    with read_session(door) as opened:
        return _read_table_sizes(opened, names), _read_durations(opened, revisions, direction)


def slow_revisions(door: DatabaseAccess, slower_s: float) -> dict[str, float]:
    """Every upgrade whose last run here took `slower_s` seconds or longer."""
    with read_session(door) as opened:
        return _read_durations(opened, (), "upgrade", slower_s)


def _read_table_sizes(opened: Any, names: tuple[str, ...]) -> dict[str, TableSize]:
    rows = opened.execute(_SELECT_SIZES, [list(names)]).fetchall() if names else ()
    return {name: TableSize(count, size, of, types) for name, of, count, size, types in rows}


def split_sizes(
    known: Mapping[str, TableSize],
) -> tuple[frozenset[str], dict[str, Mapping[str, str]], dict[str, str]]:
    """Tables, their columns' types, and the indexes with their tables."""
    tables = {name: size for name, size in known.items() if not size.of}
    indexes = {name: size.of for name, size in known.items() if size.of}
    return frozenset(tables), {name: size.types for name, size in tables.items()}, indexes


def _read_durations(
    opened: Any, revisions: tuple[str, ...], direction: str, slower_s: float = float("inf")
) -> dict[str, float]:
    """Seconds of each revision's last run in this database, from the audit.

    Other revisions are included if they took `slower_s` or longer.
    """
    if opened.execute("SELECT to_regclass('ops_migrations.steps')").fetchone()[0] is None:
        return {}
    return dict(
        opened.execute(_SELECT_DURATIONS, [list(revisions), slower_s, direction]).fetchall()
    )


@dataclass(frozen=True)
class RowCount:
    """The result of a count(*). `rows` None: unknown; `why`: the reason, if known."""

    rows: int | None
    why: str = ""


ABSENT = RowCount(None, "nothing has this name yet")


def count(door: DatabaseAccess, questions: tuple[str | None, ...]) -> tuple[RowCount, ...]:
    """The result of each query; ABSENT if a table or column does not exist."""
    with read_session(door) as opened:
        return tuple(_count_rows(opened, each) if each else RowCount(None) for each in questions)


def _count_rows(opened: Any, question: str) -> RowCount:
    """Unknown, never less, if policies filter, a privilege is missing, or it takes too long."""
    from psycopg import Error, errors

    try:
        with opened.transaction():
            return RowCount(int(opened.execute(question).fetchone()[0]))
    except (errors.UndefinedTable, errors.UndefinedColumn):
        return ABSENT
    except errors.QueryCanceled:
        return RowCount(None, f"not counted within {READ_TIMEOUT_S:g} s")
    except Error as error:
        denied = "no right to read it" if error.sqlstate == "42501" else ""
        return RowCount(None, "row-level security" if is_filtered(error) else denied)
