"""Read the application's PostgreSQL: its revision, and whether it is reachable. Read-only.

psycopg gets its parameters as keywords, never as a URL: a password may contain any character, and
none must appear in an error.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ops.core.errors import ConfigError, Unreachable
from ops.core.redaction.redact import one_line

if TYPE_CHECKING:
    from psycopg import Connection

    from ops.core.config.database import Database

ConnectionProblem = Literal[
    "database_unreachable", "database_password_rejected", "database_tls", "connections_exhausted"
]
NO_REVISIONS = "none"  # of database.migrations
_CONNECT_TIMEOUT = 5  # seconds
_STATEMENT_TIMEOUT = 5  # seconds
_SELECT_VITALS = """SELECT current_setting('server_version'),
  (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),
  current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int,
  to_regclass('alembic_version') IS NOT NULL"""
GRANT_ALL_ROWS = (
    "let the user see all rows: ALTER ROLE … BYPASSRLS, or ALTER TABLE … NO FORCE ROW LEVEL "
    "SECURITY"
)
_EXHAUSTED = (
    "too many clients already",
    "remaining connection slots are reserved",
    "too many connections for",
)
_ADVICE = (
    *((part, "inv troubleshoot.database says who holds them") for part in _EXHAUSTED),
    (
        "password authentication failed",
        "the secret does not match the database's password: update one of them",
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
    ("does not exist", "correct database.name in invoke.yaml"),
    ("permission denied", "grant the user SELECT on alembic_version"),
    ("row-level security", GRANT_ALL_ROWS),
)


def revision(database: Database, secret: Mapping[str, str]) -> str | None:
    """The content of alembic_version (several heads joined by commas); None if empty or missing.

    Raises ConfigError (host or name not configured) and Unreachable.
    """
    return revision_at(connection_parameters(database, secret))


def revision_at(parameters: Mapping[str, Any]) -> str | None:
    """The same, by libpq's parameters."""
    import psycopg

    where = f"database {parameters['dbname']} on {parameters['host']}:{parameters['port']}"
    try:
        with _read_session(parameters) as opened:
            try:
                rows = opened.execute(
                    "SELECT version_num FROM alembic_version ORDER BY version_num"
                ).fetchall()
            except psycopg.errors.UndefinedTable:
                return None
    except psycopg.Error as error:
        raise _unreachable(where, error, parameters) from None
    return ",".join(str(row[0]) for row in rows) or None


@dataclass(frozen=True)
class Vitals:
    """The state of a server: alembic_version (None: none), connected clients, and their limit.

    `read_only`: why nothing can be written there; empty if it can.
    """

    server: str
    revision: str | None
    connections: int
    limit: int
    read_only: str = ""


def read_vitals(parameters: Mapping[str, Any]) -> Vitals:
    """Read the vitals (the runbook's SELECT 1, and more). Raises Unreachable."""
    import psycopg

    from ops.migrator import writable

    where = (
        f"database {parameters.get('dbname', '')} on "
        f"{parameters.get('host', '')}:{parameters.get('port', '')}"
    )
    try:
        with _read_session(parameters) as opened:
            server, connections, limit, there = opened.execute(_SELECT_VITALS).fetchone() or (
                "",
                0,
                0,
                False,
            )
            rows = (
                opened.execute(
                    "SELECT version_num FROM alembic_version ORDER BY version_num"
                ).fetchall()
                if there
                else []
            )
            reason = writable.read_only_reason(opened)
    except psycopg.Error as error:
        raise _unreachable(where, error, parameters) from None
    return Vitals(
        str(server),
        ",".join(str(row[0]) for row in rows) or None,
        int(connections),
        int(limit),
        reason[0] if reason else "",
    )


def _read_session(parameters: Mapping[str, Any]) -> Connection[Any]:
    """A read-only connection without row-level security filters. Raises psycopg.Error."""
    from ops.migrator import libpq

    opened = libpq.connect({"connect_timeout": _CONNECT_TIMEOUT, **parameters})
    opened.read_only = True
    opened.execute(f"SET statement_timeout = '{_STATEMENT_TIMEOUT}s'; SET row_security = off")
    return opened


class DatabaseUnreachable(Unreachable):
    """PostgreSQL does not answer, or refuses the connection, for a known `cause`."""

    cause: ConnectionProblem = "database_unreachable"


def connection_problem(why: str) -> ConnectionProblem:
    """Classify libpq's message: a failed connection has no SQLSTATE."""
    if "password authentication failed" in why:
        return "database_password_rejected"
    if any(part in why for part in _EXHAUSTED):
        return "connections_exhausted"
    if any(part in why for part in ("certificate", "SSL", "no encryption")):
        return "database_tls"
    return "database_unreachable"


def _unreachable(
    where: str, error: Exception, parameters: Mapping[str, Any]
) -> DatabaseUnreachable:
    why = one_line(error, secrets=[str(parameters.get("password", ""))])
    problem = DatabaseUnreachable(
        where,
        why,
        next(
            (advice for part, advice in _ADVICE if part in why),
            "check host, port, security group and VPN",
        ),
    )
    problem.cause = connection_problem(why)
    return problem


def connection_parameters(database: Database, secret: Mapping[str, str]) -> dict[str, Any]:
    """libpq's parameters; the configuration overrides the secret.

    An RDS-managed secret contains only username and password.
    """
    parameters: dict[str, Any] = {
        "host": database.host or secret.get("host"),
        "port": database.port or secret.get("port") or 5432,
        "dbname": database.name or secret.get("dbname"),
        "user": secret.get("username"),
    }
    for name, value in parameters.items():
        if not value:
            key = {"dbname": "name", "user": "secret"}.get(name, name)
            raise ConfigError(
                f"the database's {name} is not known",
                f"neither invoke.yaml nor the secret ({', '.join(secret) or 'empty'}) contains it",
                f"set database.{key} in invoke.yaml",
            )
    options = {
        "password": secret.get("password", ""),
        "sslmode": database.sslmode,
        "connect_timeout": _CONNECT_TIMEOUT,
        "application_name": "ecs-runbook",
    }
    return {**parameters, **options, **role_option(database), **root_certificates(database)}


def role_option(database: Database) -> dict[str, str]:
    """libpq's `options` for database.role; RESET ROLE in a revision returns to it."""
    from ops.migrator.connections import ROLE_OPTION

    if not database.role:
        return {}
    escaped = database.role.replace("\\", "\\\\").replace(" ", "\\ ")
    return {"options": f"{ROLE_OPTION}{escaped}"}


def hidden_variables(parameters: Mapping[str, Any]) -> tuple[str, ...]:
    """The PG* variables of this process that a child's libpq must not see.

    PGPASSWORD and PGPASSFILE are not included: they are how an operator passes the password.
    """
    from ops.migrator import libpq

    if not libpq.configured(parameters):
        return ()
    kept = ("PGPASSWORD", "PGPASSFILE")
    return tuple(name for name in libpq.variables(os.environ) if name not in kept)


def root_certificates(database: Database) -> dict[str, str]:
    """The configured CA bundle, or the system's (libpq would use ~/.postgresql)."""
    if database.sslmode not in ("verify-ca", "verify-full"):
        return {}
    bundle = database.sslrootcert or ssl.get_default_verify_paths().cafile
    return (
        {"sslrootcert": bundle}
        if bundle
        else {"sslrootcert": "system"}
        if database.sslmode == "verify-full"
        else {}
    )


def scripts_folder(directory: Path, configured: str | None = None) -> Path | None:
    """The folder with the revisions, which has versions/; None if there are no revisions.

    `configured` is database.migrations; without it, the folder that alembic.ini names, else
    alembic/. Raises ConfigError for a configured folder without revisions.
    """
    if configured == NO_REVISIONS:
        return None
    if configured:
        folder = directory / configured
        if not (folder / "versions").is_dir():
            raise ConfigError(
                f"database.migrations: {configured}",
                f"there is no folder {folder}/versions",
                "create it (inv db.revision adds the rest), or correct database.migrations in "
                "invoke.yaml (none if it has no revisions)",
            )
        return folder
    folder = directory / _script_location(directory)
    return folder if (folder / "versions").is_dir() else None


def _script_location(directory: Path) -> str:
    from configparser import ConfigParser, Error

    found = ConfigParser({"here": str(directory).replace("%", "%%")})
    try:
        found.read(directory / "alembic.ini", encoding="utf-8")
        return found.get("alembic", "script_location", fallback="alembic")
    except Error as error:
        raise ConfigError(f"{directory / 'alembic.ini'}", one_line(error), "correct it") from None


def require_scripts(directory: Path, configured: str | None = None) -> Path:
    """The same folder. Raises ConfigError if there are no revisions."""
    folder = scripts_folder(directory, configured)
    if folder is None and configured:
        raise ConfigError(
            f"database.migrations: {configured}",
            "this environment has no revisions",
            "set database.migrations in invoke.yaml to their folder",
        )
    if folder is None:
        raise ConfigError(
            f"{directory}",
            "there is no folder alembic/versions",
            "check out the project with its revisions, or set database.migrations in invoke.yaml",
        )
    return folder
