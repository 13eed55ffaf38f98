"""How big the tables are, and how long a revision took before: what an upgrade's duration can be told from."""

from __future__ import annotations

from dataclasses import dataclass

from ops.adapters.postgres import Door, reading

SIZE = """
SELECT name, nullif(c.reltuples, -1)::bigint, pg_total_relation_size(c.oid)
FROM unnest(%s::text[]) AS name JOIN pg_class c ON c.oid = to_regclass(name)
"""
TOOK = """
SELECT DISTINCT ON (revision) revision, took_s FROM ops_migrations.steps
WHERE revision = ANY(%s) AND direction = %s AND result = 'done' ORDER BY revision, ended_at DESC
"""


@dataclass(frozen=True)
class Size:
    """`rows` as the planner estimates them (None: never analysed); `bytes` with indexes and TOAST."""

    rows: int | None
    bytes: int

    def __str__(self) -> str:
        unit, factor = next((pair for pair in (("GB", 1e9), ("MB", 1e6)) if self.bytes >= pair[1]), ("kB", 1e3))
        rows = "rows never counted" if self.rows is None else f"{self.rows} rows"
        return f"{rows}, {self.bytes / factor:.0f} {unit}"


def sizes(door: Door, tables: tuple[str, ...]) -> dict[str, Size]:
    """Of the tables that are there; names as SQL would have them."""
    with reading(door) as opened:
        return {name: Size(rows, size) for name, rows, size in opened.execute(SIZE, [list(tables)])}


def took(door: Door, revisions: tuple[str, ...], direction: str) -> dict[str, float]:
    """Seconds of each revision's last run in this database, from the audit; those that never ran here are not in it."""
    with reading(door) as opened:
        if opened.execute("SELECT to_regclass('ops_migrations.steps')").fetchone()[0] is None:
            return {}
        return dict(opened.execute(TOOK, [list(revisions), direction]).fetchall())
