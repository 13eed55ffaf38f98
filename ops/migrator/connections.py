"""Connections to the database: limits for every session, and errors with advice.

A session without limits can wait for a lock forever while others queue behind it, or hold its own
locks for minutes after its client is gone. libpq's parameters are passed as keywords, never as a
URL, because a password may contain any character.
"""

from __future__ import annotations

import weakref
from contextlib import suppress
from typing import Any

import psycopg
import sqlalchemy
from psycopg import errors

from ops.migrator import libpq
from ops.migrator.model import Limits, MigrateError, TargetDatabase
from ops.migrator.transactions import MARK_SESSION

_CHECK_INTERVAL = "2s"  # how soon a server notices that its client is gone while it works
_NAME_LIMIT = 63  # bytes of application_name (NAMEDATALEN - 1)
_CONNECTION_LOST = "closed the connection unexpectedly"  # libpq's words
_KEEPALIVE = {
    "keepalives": 1,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
}
_ADVICE = (
    (
        "password authentication failed",
        "the secret does not match the database's password: update one of them",
    ),
    (
        "no password supplied",
        "name a secret under database.secret in invoke.yaml, or put it into ~/.pgpass of the "
        "account that connects (database.run: remote: on the bastion)",
    ),
    (
        "no pg_hba.conf entry",
        "set database.sslmode: require (or stricter) in invoke.yaml; the server wants TLS",
    ),
    (
        "certificate",
        "name the authority's bundle under database.sslrootcert in invoke.yaml (for RDS: "
        "global-bundle.pem)",
    ),
    (
        "does not support SSL",
        "set database.sslmode in invoke.yaml: this server does not support TLS",
    ),
    ("permission denied to set role", "GRANT that role TO the user, or correct database.role"),
    ("database", "correct database.name in invoke.yaml"),
    ("role", "correct the secret's username"),
)
ROLE_OPTION = "-c role="  # at the beginning of libpq's `options`, for database.role
UNFILTERED = "SET row_security = off"  # a query that policies would filter fails (42501) instead
SET_LIMITS = (
    "SELECT set_config('lock_timeout', %s, false), set_config('statement_timeout', %s, false),"
    " set_config('idle_in_transaction_session_timeout', %s, false)"
)


class _UncutCursor(psycopg.Cursor[Any]):
    """Refuses SQL with a NUL byte, which the server would silently read up to there only."""

    def execute(self, query: Any, *arguments: Any, **options: Any) -> _UncutCursor:
        nul = b"\0" if isinstance(query, bytes) else "\0"
        if isinstance(query, bytes | str) and (at := query.find(nul)) >= 0:  # type: ignore[arg-type]
            unit = "byte" if isinstance(query, bytes) else "character"
            raise psycopg.DataError(f"the SQL has a NUL byte ({unit} {at}): remove it")
        super().execute(query, *arguments, **options)
        return self


_pooled: weakref.WeakSet[psycopg.Connection[Any]] = weakref.WeakSet()


def connect(
    target: TargetDatabase, name: str, limits: Limits | None = None
) -> psycopg.Connection[Any]:
    """Open an autocommit session named `name` with limits. Raises MigrateError (unreachable)."""
    always = {"connect_timeout": libpq.CONNECT_TIMEOUT, **_KEEPALIVE}
    words: dict[str, Any] = {**always, **target.parameters, "application_name": name[:_NAME_LIMIT]}
    try:
        opened = _connect_with_retry(words)
    except psycopg.Error as error:
        raise _unreachable(target, error) from None
    opened.cursor_factory = _UncutCursor
    try:
        settings = limit_settings(limits or Limits())
        row = opened.execute(f"{SET_LIMITS}, {MARK_SESSION}, pg_backend_pid()", settings).fetchone()
        if row and row[-1] != opened.info.backend_pid:
            _pooled.add(opened)
        _detect_lost_clients(opened)
        _check_role(opened, target)
    except psycopg.Error as error:
        opened.close()
        raise _unreachable(target, error) from None
    except MigrateError:
        opened.close()
        raise
    return opened


def is_pooled(opened: psycopg.Connection[Any]) -> bool:
    """Whether a pooler is in between: it gives the client a process id of its own."""
    return opened in _pooled


def close(opened: psycopg.Connection[Any]) -> None:
    """Close a session; behind a pooler, take the limits back from its server process first."""
    if is_pooled(opened) and not opened.closed:
        with suppress(psycopg.Error):
            opened.execute("RESET ALL")
    opened.close()


def _check_role(opened: psycopg.Connection[Any], target: TargetDatabase) -> None:
    """Raise MigrateError if the session does not have the configured role, as behind a pooler."""
    if not str(target.parameters.get("options", "")).startswith(ROLE_OPTION):
        return
    row = opened.execute("SELECT current_setting('role')").fetchone()
    if row and row[0] == "none":
        raise MigrateError(
            "refused",
            target.where,
            "the session does not have the role of database.role: a pooler dropped it",
            "connect past the pooler: set database.host and database.port to the server's own",
        )


def _connect_with_retry(words: dict[str, Any]) -> psycopg.Connection[Any]:
    """Connect, and retry once if the tunnel breaks before anything was sent."""
    try:
        return libpq.connect(words, autocommit=True)
    except psycopg.OperationalError as error:
        if _CONNECTION_LOST not in str(error):
            raise
        return libpq.connect(words, autocommit=True)


def limit_settings(limits: Limits) -> tuple[str, ...]:
    return tuple(limits_by_name(limits).values())


def limits_by_name(limits: Limits) -> dict[str, str]:
    """PostgreSQL's settings for these limits, in the order of SET_LIMITS."""
    seconds = {
        "lock_timeout": limits.lock_timeout_s,
        "statement_timeout": limits.statement_timeout_s,
        "idle_in_transaction_session_timeout": limits.idle_in_transaction_s,
    }
    return {name: f"{round(value * 1000)}ms" for name, value in seconds.items()}


def _detect_lost_clients(opened: psycopg.Connection[Any]) -> None:
    """Set client_connection_check_interval (PostgreSQL 14+ on Linux or macOS)."""
    if opened.info.server_version < 140000:
        return
    try:
        opened.execute(
            "SELECT set_config('client_connection_check_interval', %s, false)", [_CHECK_INTERVAL]
        )
    except errors.InvalidParameterValue:
        return


def _unreachable(target: TargetDatabase, error: psycopg.Error) -> MigrateError:
    what, why = f"cannot connect to {target.where}", target.clean(error)
    missing = "does not exist" in why
    for part, advice in _ADVICE:
        if part in why and (missing or part not in ("database", "role")):
            return MigrateError("unreachable", what, why, advice)
    return MigrateError("unreachable", what, why, "check host, port, security group and VPN")


def create_engine(target: TargetDatabase, name: str, limits: Limits) -> sqlalchemy.Engine:
    """A SQLAlchemy engine over `connect`: no URL holds the password, no connection is pooled."""

    def creator() -> psycopg.Connection[Any]:
        opened = connect(target, name, limits)
        opened.autocommit = False
        return opened

    return sqlalchemy.create_engine(
        "postgresql+psycopg://", creator=creator, poolclass=sqlalchemy.NullPool
    )
