"""Give a session back as a revision found it, for the bookkeeping and for the next revision.

A revision may change its role, its settings (a dump empties `search_path`), and more that outlives
its transaction: temporary tables, prepared statements, cursors, LISTEN. Without a reset, the
version row would be written by another role or not be found, and one run of two revisions could
make another schema than two runs.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
import sqlalchemy

from ops.migrator import connections, transactions
from ops.migrator.model import Limits

RESET_STATEMENTS = ("RESET SESSION AUTHORIZATION", "RESET ROLE", "RESET ALL")
_CHANGES_SESSION = re.compile(r"^\s*(?:SET|RESET)\b|;\s*SET\b|\bset_config\s*\(", re.I | re.M)
_SELECT_LEFTOVERS = """
pg_my_temp_schema() <> 0 OR EXISTS (SELECT FROM pg_listening_channels())
 OR EXISTS (SELECT FROM pg_prepared_statements WHERE from_sql)
 OR EXISTS (SELECT FROM pg_cursors WHERE is_holdable)
"""
_SET_ALL = (
    "SELECT set_config(name, value, false) FROM unnest(%s::text[], %s::text[]) s (name, value)"
)
_SELECT_CHECK_INTERVAL = "SELECT current_setting('client_connection_check_interval', true)"


def changes_session(sql: str) -> bool:
    """Whether the SQL may change settings or the role; false positives are harmless."""
    return bool(_CHANGES_SESSION.search(sql))


@dataclass(frozen=True)
class StartSettings:
    """The settings that every session of a run starts with, which RESET ALL would undo."""

    check_interval: str

    @classmethod
    def of(cls, opened: psycopg.Connection[Any]) -> StartSettings:
        """Read them in another session of the same run."""
        row = opened.execute(_SELECT_CHECK_INTERVAL).fetchone()
        return cls(str(row[0]) if row and row[0] else "")

    def values(self, limits: Limits) -> tuple[list[str], list[str]]:
        """Names and values, with these limits."""
        found = dict(connections.limits_by_name(limits))
        if self.check_interval:
            found["client_connection_check_interval"] = self.check_interval
        return [*found, transactions.SESSION_MARK], [*found.values(), "open"]


def reset_and_record(
    connection: sqlalchemy.Connection,
    record: str,
    parameters: Sequence[Any],
    settings: tuple[list[str], list[str]],
) -> tuple[bool, bool]:
    """Reset role and settings in the revision's transaction, and run `record`; one round trip.

    Returns whether the transaction that was marked has ended, and whether anything is left that
    only `discard` removes.
    """
    cursor = psycopg.ClientCursor(transactions.driver_of(connection))
    cursor.execute(
        f"SELECT {transactions.MARKS}, {_SELECT_LEFTOVERS}; {'; '.join(RESET_STATEMENTS)}; "
        f"{record}; {_SET_ALL}",
        (*parameters, *settings),
    )
    transaction, session, leaves = cursor.fetchone() or ("", "", False)
    return transactions.mark_lost((transaction, session)), bool(leaves)


def discard(connection: sqlalchemy.Connection, settings: tuple[list[str], list[str]]) -> None:
    """Drop temporary tables and whatever else the session still has, between two transactions."""
    driver = transactions.driver_of(connection)
    if not transactions.is_idle(driver) or driver.autocommit:
        return
    driver.autocommit = True
    try:
        driver.execute("DISCARD ALL")
        driver.execute(_SET_ALL, settings)
    finally:
        driver.autocommit = False
