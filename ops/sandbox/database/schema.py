"""The platform's database and role, and the revisions that create its schema."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

DATABASE = "davidshaevel"
ROLE = "davidshaevel"
REVISIONS = Path(__file__).parents[3] / "alembic.ini"

_one_at_a_time = threading.Lock()  # Alembic's context is global to a process


@dataclass(frozen=True)
class Login:
    """The address and credentials of a database; the password never appears in its `repr`."""

    host: str
    port: int
    database: str
    username: str
    password: str = field(repr=False)


def connect(login: Login, application: str = "sandbox", sslmode: str = "prefer") -> Any:
    """Connect, with autocommit."""
    import psycopg

    return psycopg.connect(
        host=login.host,
        port=login.port,
        dbname=login.database,
        user=login.username,
        password=login.password,
        autocommit=True,
        connect_timeout=5,
        application_name=application,
        sslmode=sslmode,
    )


def create(admin: Login, application: Login) -> None:
    """Create the application's role and database if missing.

    The server receives a SCRAM verifier, never the password.
    """
    from psycopg import sql

    with connect(admin) as connection:
        secret, name = application.password.encode(), application.username.encode()
        verifier = connection.pgconn.encrypt_password(secret, name, b"scram-sha-256").decode()
        role, database = sql.Identifier(application.username), sql.Identifier(application.database)
        known = connection.execute(
            "SELECT 1 FROM pg_roles WHERE rolname = %s", [application.username]
        ).fetchone()
        verb = sql.SQL("ALTER ROLE" if known else "CREATE ROLE")
        connection.execute(
            sql.SQL("{} {} LOGIN CREATEDB PASSWORD {}").format(verb, role, sql.Literal(verifier))
        )
        connection.execute(
            sql.SQL("GRANT pg_monitor, pg_signal_backend TO {}").format(role)
        )  # as RDS's master user has
        if not connection.execute(
            "SELECT 1 FROM pg_database WHERE datname = %s", [application.database]
        ).fetchone():
            connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(database, role))


def upgrade(login: Login, revision: str = "", revisions: Path = REVISIONS) -> None:
    """Upgrade `login`'s database to `revision`, as the application's role.

    By default to the second newest revision, so that the newest one can be rehearsed.
    """
    from alembic import command

    with _one_at_a_time:
        command.upgrade(_settings(login, revisions), revision or order(revisions)[-2:][0])


def upgrade_as_far_as_possible(login: Login, say: Callable[[str], None], revisions: Path) -> None:
    """Upgrade a new database; what can't be applied is reported, and does not stop the sandbox."""
    try:
        upgrade(login, revisions=revisions)
    except (Exception, SystemExit) as problem:  # a revision is Python, and may fail in any way
        text = " ".join(f"{type(problem).__name__}: {problem}".split()).removesuffix(":")
        say(
            f"database: not every revision could be applied, it is at {_current_or_base(login)}: "
            f"{text[:300]}; correct the revision, then: inv db.upgrade"
        )


def _current_or_base(login: Login) -> str:
    try:
        return current(login) or "base"
    except Exception:  # there is no alembic_version
        return "base"


def downgrade(login: Login) -> None:
    """Downgrade by one revision."""
    from alembic import command

    with _one_at_a_time:
        command.downgrade(_settings(login), "-1")


def current(login: Login) -> str:
    """Return the database's current revision, or an empty string."""
    import sqlalchemy

    with _engine(login).connect() as connection:
        found = connection.execute(
            sqlalchemy.text("SELECT version_num FROM alembic_version")
        ).scalar()
    return str(found or "")


def order(revisions: Path = REVISIONS) -> list[str]:
    """Return the project's revisions, oldest first."""
    from alembic.script import ScriptDirectory

    from alembic import config

    return [
        each.revision
        for each in ScriptDirectory.from_config(config.Config(str(revisions))).walk_revisions()
    ][::-1]


def _settings(login: Login, revisions: Path = REVISIONS) -> Any:
    from alembic import config

    settings = config.Config(str(revisions))
    settings.attributes["engine"] = _engine(login)
    return settings


def _engine(login: Login) -> Any:
    import sqlalchemy

    url = sqlalchemy.URL.create(
        "postgresql+psycopg", login.username, login.password, login.host, login.port, login.database
    )
    return sqlalchemy.create_engine(
        url, poolclass=sqlalchemy.NullPool, connect_args={"connect_timeout": 5}
    )
