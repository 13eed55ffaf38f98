"""A scratch database's rows, so that it can be seen whether a revision keeps them: what it says of
that, and what is in each table.
"""

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
    """The revision's own word: `keeps_data = True` (the rows that are there), or SQL that plants
    some first. Raises ConfigError.
    """
    with translate_errors(door.target):
        said = getattr(door.scripts.directory.get_revision(revision).module, "keeps_data", False)
    if not isinstance(said, bool | str):
        what = f"revision {revision}: keeps_data is {said!r}"
        raise ConfigError(
            what, "it is True, False, or SQL that plants rows", 'keeps_data = "INSERT INTO …"'
        )
    return said


def insert_rows(door: DatabaseAccess, statements: str) -> None:
    """The rows that a revision says it keeps. Raises OpsError where its SQL fails: that is the
    revision's own fault.
    """
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

    Policies that are forced on the owner are lifted in a transaction that is rolled back.
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
