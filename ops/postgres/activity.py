"""What a PostgreSQL server is doing: sessions, locks, prepared transactions, migrations.

Each part is read by itself: one that the user may not read does not hide the others. Literals in
statements are replaced by `?`, since they may be personal data.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_RUNS = 20  # the newest runs of migrations
_MAX_STATEMENT = 200  # characters
_SETTINGS = """
SELECT current_setting('server_version') AS server_version, now() AS read_at,
  current_setting('max_connections')::int AS max_connections,
  current_setting('superuser_reserved_connections')::int
    + coalesce(nullif(current_setting('reserved_connections', true), '')::int, 0)
    + coalesce(nullif(current_setting('rds.rds_superuser_reserved_connections', true), '')::int, 0)
    AS reserved_connections,
  current_setting('ssl') AS ssl, current_setting('rds.force_ssl', true) AS force_ssl,
  pg_is_in_recovery() AS in_recovery, current_user AS "user", current_database() AS database,
  coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false) AS encrypted
"""
_SESSIONS = """
SELECT pid, datname AS database, usename AS "user", application_name AS application,
  host(client_addr) AS address, state, wait_event_type,
  extract(epoch FROM clock_timestamp() - xact_start)::float8 AS transaction_s,
  extract(epoch FROM clock_timestamp() - state_change)::float8 AS state_s,
  CASE WHEN wait_event_type = 'Lock' THEN pg_blocking_pids(pid) END AS blocked_by,
  left(query, 2000) AS statement
FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
ORDER BY pid
"""
_LOCKS = """
SELECT l.pid, n.nspname || '.' || c.relname AS relation, l.mode, l.granted
FROM pg_locks l JOIN pg_class c ON c.oid = l.relation JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE l.locktype = 'relation' AND n.nspname NOT IN ('pg_catalog', 'information_schema')
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND l.pid = ANY(%s)
ORDER BY l.pid, relation, l.mode
"""
_PREPARED = """
SELECT p.gid, p.owner, p.database, p.prepared,
  extract(epoch FROM clock_timestamp() - p.prepared)::float8 AS age_s,
  ARRAY(SELECT c.relname || ' ' || l.mode FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
        WHERE l.virtualtransaction = '-1/' || p.transaction::text ORDER BY 1) AS locks
FROM pg_prepared_xacts p ORDER BY p.prepared
"""
_MIGRATION = """
SELECT a.pid, a.usename AS "user", a.application_name AS application,
  host(a.client_addr) AS address, a.backend_start AS since
FROM pg_locks l JOIN pg_stat_activity a USING (pid)
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
  AND ((l.classid::bigint << 32) | l.objid::bigint) = %s
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


def read(opened: Any) -> dict[str, Any]:
    """Read the activity in an open read-only session. Parts that fail are None."""
    from ops.migrator.audit import LOCK_KEY

    sessions = _rows(opened, _SESSIONS)
    for each in sessions or ():
        each["statement"] = hide_literals(each["statement"] or "")
    blockers = {pid for each in sessions or () for pid in each["blocked_by"] or () if pid}
    idle = {each["pid"] for each in sessions or () if str(each["state"]).startswith("idle in")}
    settings = _rows(opened, _SETTINGS)
    return {
        "settings": settings[0] if settings else None,
        "sessions": sessions,
        "locks": None if sessions is None else _rows(opened, _LOCKS, [sorted(blockers | idle)]),
        "prepared": _rows(opened, _PREPARED),
        "migration": _rows(opened, _MIGRATION, [LOCK_KEY]),
        "history": _history(opened),
    }


def _rows(opened: Any, query: str, parameters: list[Any] | None = None) -> Any:
    from psycopg import Error
    from psycopg.rows import dict_row

    try:
        with opened.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(query, parameters).fetchall()
    except Error:
        if opened.closed:  # no later part could be read either
            raise
        return None


def _history(opened: Any) -> list[Mapping[str, Any]] | None:
    from psycopg import Error

    from ops.migrator import audit

    try:
        return [
            {name: each[name] for name in ("run", "verb", "by", "host", "began_at", "result")}
            for each in audit.history(opened, _RUNS)
        ]
    except Error:
        return None


def hide_literals(statement: str) -> str:
    """A statement on one line with its text and number literals replaced by `?`, shortened."""
    text = re.sub(r"\$(\w*)\$.*?\$\1\$|'(?:[^']|'')*(?:'|$)", "'?'", statement, flags=re.DOTALL)
    text = " ".join(re.sub(r"(?<![\w$])\d+(?:\.\d+)?\b", "?", text).split())
    return text if len(text) <= _MAX_STATEMENT else text[:_MAX_STATEMENT] + "…"
