"""The rows of a scratch database, to verify that a revision preserves them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from ops.core.errors import ConfigError, OpsError
from ops.core.redaction.redact import one_line
from ops.postgres.access import DatabaseAccess, translate_errors
from ops.postgres.dump import session

_SELECT_TABLES = """
SELECT format('%I.%I', n.nspname, c.relname), c.relforcerowsecurity
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence = 'p' AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'ops_migrations')
  AND c.relname <> 'alembic_version' ORDER BY 1
"""


def keeps_data(door: DatabaseAccess, revision: str) -> bool | str:
    """The revision's `keeps_data`: True, False, or SQL that inserts rows. Raises ConfigError."""
    with translate_errors(door.target):
        said = getattr(door.scripts.directory.get_revision(revision).module, "keeps_data", False)
    if not isinstance(said, bool | str):
        what = f"revision {revision}: keeps_data is {said!r}"
        raise ConfigError(
            what, "it is True, False, or SQL that plants rows", 'keeps_data = "INSERT INTO …"'
        )
    return said


def insert_rows(door: DatabaseAccess, statements: str) -> None:
    """Insert the rows that a revision preserves. Raises OpsError if its SQL fails."""
    import psycopg

    with session(door) as opened:
        try:
            opened.execute(statements.encode())
        except psycopg.Error as error:
            raise OpsError(
                "keeps_data", one_line(door.target.clean(error)), "correct the SQL that plants rows"
            ) from None


def read_rows(door: DatabaseAccess) -> Mapping[str, Counter[str]]:
    """Every table's rows, as JSON.

    Policies forced on the owner are lifted in a transaction that is rolled back.
    """
    from ops.migrator.connections import UNFILTERED

    with session(door) as opened, opened.transaction(force_rollback=True):
        opened.execute(UNFILTERED)
        found = opened.execute(_SELECT_TABLES).fetchall()
        for name, forced in found:
            if forced:
                opened.execute(f"ALTER TABLE {name} NO FORCE ROW LEVEL SECURITY")
        names = [str(name) for name, _ in found]
        read = {
            name: opened.execute(f"SELECT to_jsonb(t)::text FROM {name} t").fetchall()  # noqa: S608
            for name in names
        }
    return {name: Counter(str(row[0]) for row in found) for name, found in read.items()}
