"""What makes a migration impossible, read before the operator is asked anything."""

from __future__ import annotations

from collections.abc import Iterable

from ops.core.errors import Refused
from ops.migrator.model import ID_LIMIT
from ops.postgres import access
from ops.postgres.access import DatabaseAccess, Revision

_SELECT_ID_LIMIT = """
SELECT CASE WHEN atttypmod > 4 THEN atttypmod - 4 END FROM pg_attribute
WHERE attrelid = to_regclass('alembic_version') AND attname = 'version_num'
"""
_SELECT_TABLES = """
SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND n.nspname !~ '^pg_' AND c.relname <> 'alembic_version'
  AND n.nspname NOT IN ('information_schema', 'ops_migrations')
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass
                  AND d.objid = c.oid AND d.deptype = 'e')
"""


def refuse_impossible(door: DatabaseAccess, revisions: Iterable[Revision]) -> None:
    """Raise Refused for a read-only database, a pooler in transaction mode, and ids too long."""
    from ops.migrator import writable

    with access.translate_errors(door.target), access.read_session(door) as opened:
        writable.refuse_read_only(opened, door.target)
        writable.refuse_pooler(opened, door.target)
        row = opened.execute(_SELECT_ID_LIMIT).fetchone()
    limit = row[0] if row else ID_LIMIT
    for each in revisions if limit else ():
        if len(each.id) > limit:
            raise Refused(
                f"revision {each.id}",
                f"its id has {len(each.id)} characters, and alembic_version takes {limit}",
                "give it a shorter id, and correct the down_revision that names it",
            )


def has_tables(door: DatabaseAccess) -> bool:
    """Whether the database has tables of its own."""
    with access.read_session(door) as opened:
        row = opened.execute(_SELECT_TABLES).fetchone()
    return bool(row and row[0])
