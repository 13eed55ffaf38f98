"""The database's functions: names of the built-in ones, and the code of all others."""

from __future__ import annotations

from typing import Any

from ops.postgres.model import StoredFunction

_SELECT_BUILT_IN = (
    "SELECT DISTINCT proname::text FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace"
)
_SELECT_STORED = """
SELECT proname::text, lanname::text, provolatile = 'v',
       CASE WHEN prosrc = '' AND prokind IN ('f', 'p') THEN pg_get_functiondef(pg_proc.oid)
            ELSE prosrc END,
       EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_proc'::regclass
               AND objid = pg_proc.oid AND deptype = 'e')
FROM pg_proc JOIN pg_language ON pg_language.oid = prolang
WHERE pronamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
ORDER BY 1, 4
"""


def read(opened: Any) -> tuple[frozenset[str], tuple[StoredFunction, ...]]:
    """(Names of pg_catalog's functions, all other functions)."""
    built_in = frozenset(row[0] for row in opened.execute(_SELECT_BUILT_IN).fetchall())
    return built_in, tuple(
        StoredFunction(*row) for row in opened.execute(_SELECT_STORED).fetchall()
    )
