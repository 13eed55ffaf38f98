"""Access to the application's PostgreSQL: connect, run revisions, and read.

Errors of the engine (`ops.migrator`) are converted to `OpsError`. The database is reached from this
machine or through the bastion (`tunnel`). With a secret, user and password come from Secrets
Manager; otherwise libpq finds them (PG* variables, ~/.pgpass), which an environment with an overlay
never allows.
"""

from __future__ import annotations

import secrets as random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ops.aws.session import AwsSession
from ops.core import host_identity
from ops.core.errors import ConfigError, Unreachable, error_of_kind
from ops.core.redaction.redact import one_line, redacted
from ops.migrator.model import (
    Applied,
    Direction,
    Limits,
    MigrateError,
    MigrationOutcome,
    Revision,
    RunIdentity,
    TargetDatabase,
    split_heads,
)
from ops.postgres import credentials, tunnel
from ops.postgres import facts as database
from ops.postgres.tunnel import Route
from ops.ssh.connection import Host

if TYPE_CHECKING:
    from psycopg import Error

    from ops.core.config.database import Database
    from ops.core.config.settings import Settings
    from ops.migrator.revisions.scripts import Scripts
    from ops.postgres.model import Relations, StoredFunction

READ_TIMEOUT_S = 5.0  # of one query

__all__ = [
    "Applied",
    "DatabaseAccess",
    "Direction",
    "MigrationOutcome",
    "Ping",
    "Revision",
    "current",
    "history",
    "migrate",
    "offline",
    "open_database",
    "ping",
    "split_heads",
]


@dataclass(frozen=True)
class DatabaseAccess:
    """One database and the project's revisions.

    `mode`: local, tunnel, remote, task, offline or scratch.
    """

    target: TargetDatabase
    limits: Limits
    mode: str = "local"
    own: Mapping[str, Any] = field(
        default_factory=dict, repr=False
    )  # libpq's parameters as the bastion would use them
    bastion: Host | None = field(default=None, repr=False)  # the connection that leads to it
    route: Route | None = field(default=None, repr=False)  # None: offline, or a scratch server
    # opens a session elsewhere (in a task), where this machine can't connect
    remote_session: Callable[[], AbstractContextManager[Any]] | None = field(
        default=None, repr=False
    )

    @property
    def scripts(self) -> Scripts:
        """The revisions as they are now. Raises ConfigError."""
        from ops.migrator.revisions.scripts import Scripts

        if not self.has_revisions:
            raise ConfigError(
                "this environment has no revisions",
                "there is no folder alembic/versions, or database.migrations is none",
                "set database.migrations in invoke.yaml to the folder of the revisions",
            )
        with translate_errors(self.target):
            return Scripts(self.target.folder, self.target.hide)

    @property
    def has_revisions(self) -> bool:
        """Whether there are any; without them the database can only be read."""
        return bool(self.target.folder)

    def named(self, database: str) -> DatabaseAccess:
        """Another database of the same server, with the same user."""
        return replace(
            self,
            target=replace(self.target, parameters={**self.target.parameters, "dbname": database}),
        )


def offline(root: Path, configured: str | None = None) -> DatabaseAccess:
    """The project's revisions, without a database. Raises ConfigError (no revisions).

    `configured`: the environment's database.migrations.
    """
    folder = database.require_scripts(root, configured)
    return DatabaseAccess(TargetDatabase(str(folder), {}, redact=redacted), Limits(), "offline")


@contextmanager
def translate_errors(target: TargetDatabase) -> Iterator[None]:
    """Convert MigrateError to OpsError, redacted again."""
    try:
        yield
    except MigrateError as error:
        hidden = [str(target.parameters.get("password") or "")]
        raise error_of_kind(
            error.kind,
            one_line(error.what, hidden),
            one_line(error.why, hidden, 700),
            one_line(error.next, hidden),
        ) from None


@contextmanager
def open_database(
    settings: Settings,
    cloud: Callable[[], AwsSession],
    secret: Callable[[], Mapping[str, str]] | None = None,
    *,
    relay: bool = True,
) -> Iterator[DatabaseAccess]:
    """The environment's database, while the context is open.

    `secret`: reads the secret's values, if the caller has them already; `relay`: whether a process
    on the bastion may replace a forbidden forwarding. Raises ConfigError (no
    database, or no folder of revisions), and errors of the bastion or of Session Manager.
    """
    settings.refuse_none("database", "database")
    configured = settings.environment.database
    key = f"environments.{settings.name}.database"
    if configured is None:
        raise ConfigError(
            f"environment {settings.name} has no database",
            "no connection is configured",
            f"add {key} to invoke.yaml",
        )
    tunnel.refuse_task(settings)
    folder = revisions_of(settings)
    parameters: Mapping[str, Any]
    values = _secret_values(cloud, configured, secret)
    if values or configured.secret:
        parameters = database.connection_parameters(configured, values)
    elif settings.environment.overlay:
        why = "with an overlay it never uses this machine's PG* variables or ~/.pgpass"
        if configured.instance:
            why += f", and RDS manages no secret for {configured.instance}"
        raise ConfigError(f"{key}.secret is missing", why, f"set {key}.secret")
    else:
        known = {
            "host": configured.host,
            "port": configured.port,
            "dbname": configured.name,
            "sslmode": configured.sslmode,
        }
        parameters = {name: value for name, value in known.items() if value}
        parameters |= database.root_certificates(configured) | database.role_option(configured)
        if configured.host:
            parameters["hostaddr"] = ""  # else PGHOSTADDR would replace its address
    limits = Limits(configured.lock_timeout, configured.statement_timeout, wait_s=configured.wait)
    with tunnel.open_route(settings, cloud, parameters, relay=relay) as route:
        own_port = int(parameters["port"]) if "port" in parameters else None
        yield DatabaseAccess(
            TargetDatabase(folder, route.parameters, own_port, redacted),
            limits,
            settings.environment.database_run,
            parameters,
            route.bastion,
            route,
        )


def _secret_values(
    cloud: Callable[[], AwsSession],
    configured: Database,
    secret: Callable[[], Mapping[str, str]] | None,
) -> Mapping[str, str]:
    """The completed values of the database's secret; empty if it has none.

    A configured secret without values is read as one, so that what is missing is named.
    """
    if not (configured.secret or configured.instance):
        return {}
    values = secret() if secret else credentials.stored(cloud(), configured)
    if not values and not configured.secret:
        return {}
    return credentials.complete(cloud(), configured, values)


def revisions_of(settings: Settings) -> str:
    """The folder of the environment's revisions; empty if it has none."""
    return str(database.scripts_folder(settings.root, settings.environment.migrations) or "")


@contextmanager
def through_bastion(door: DatabaseAccess, bastion: Host) -> Iterator[DatabaseAccess]:
    """The same database through another connection to the bastion, as the first one may be lost."""
    with tunnel.forward(bastion, door.own) as from_here:
        yield replace(door, target=replace(door.target, parameters=from_here))


def server_processes(door: DatabaseAccess, run: str) -> tuple[int, ...]:
    """The pids of the server processes that work for a run."""
    from ops.migrator.lock import SELECT_RUN_PIDS

    with read_session(door) as opened:
        return tuple(row[0] for row in opened.execute(SELECT_RUN_PIDS, [run]))


def effective_limits(door: DatabaseAccess, timeout_s: float | None, wait_s: float | None) -> Limits:
    """The configured limits, with the limits of this call."""
    wait = door.limits.wait_s if wait_s is None else wait_s
    return replace(
        door.limits, total_s=timeout_s, wait_s=wait if timeout_s is None else min(wait, timeout_s)
    )


def run_identity(direction: Direction) -> RunIdentity:
    """The identity of this call, for the audit and pg_stat_activity."""
    return RunIdentity(
        host_identity.owner(), host_identity.host(), f"db.{direction}", random.token_hex(4)
    )


def migrate(
    door: DatabaseAccess,
    direction: Direction,
    to: str | None,
    *,
    shown: str | None,
    say: Callable[[str], None],
    timeout_s: float | None = None,
    wait_s: float | None = None,
    accepted: str | None = None,
    scripts: Scripts | None = None,
) -> MigrationOutcome:
    """Run revisions. Raises OpsError.

    `shown`: the revision at which the operator confirmed; `scripts`: the revisions that were
    confirmed.
    """
    from ops.migrator.runner import migrate as run

    limits = effective_limits(door, timeout_s, wait_s)
    with translate_errors(door.target):
        return run(
            door.target,
            direction,
            to,
            run_identity(direction),
            limits,
            say=say,
            accept_edit=accepted,
            expected_heads=split_heads(shown),
            scripts=scripts,
        )


@contextmanager
def read_session(door: DatabaseAccess) -> Iterator[Any]:
    """A read-only session without row-level security filters."""
    from ops.migrator import connections

    if door.remote_session is not None:
        with door.remote_session() as opened, translate_query_errors(door):
            yield opened
        return
    with translate_errors(door.target):
        opened = connections.connect(
            door.target,
            "inv db (reading)",
            replace(door.limits, statement_timeout_s=READ_TIMEOUT_S),
        )
    try:
        with translate_query_errors(door):
            opened.execute(connections.UNFILTERED)
            opened.read_only = True
            yield opened
    finally:
        connections.close(opened)


@contextmanager
def translate_query_errors(door: DatabaseAccess) -> Iterator[None]:
    import psycopg

    try:
        yield
    except psycopg.Error as error:
        advice = (
            "grant the user SELECT on it"
            if error.sqlstate == "42501"
            else "check the database's log, then run it again"
        )
        if is_filtered(error):
            advice = database.GRANT_ALL_ROWS
        raise Unreachable(door.target.where, one_line(door.target.clean(error)), advice) from None


def is_filtered(error: Error) -> bool:
    """Whether a query failed because a policy would have filtered it (`row_security = off`)."""
    return error.sqlstate == "42501" and "row-level security" in str(error)


def current(door: DatabaseAccess) -> str | None:
    """The content of alembic_version (several heads joined by commas); None if it is empty."""
    from ops.migrator.version_table import heads_of

    with read_session(door) as opened:
        return ",".join(heads_of(opened)) or None


def pending(
    door: DatabaseAccess, scripts: Scripts, at: str | None, to: str | None = None
) -> tuple[Revision, ...]:
    """The revisions after `at` up to `to` (default: all), oldest first.

    Both may be several, joined by commas. Raises Refused for a database at a revision unknown to
    this checkout.
    """
    with translate_errors(door.target):
        goal = to if to and "," in to else scripts.known(to or "heads")
        found = scripts.between("upgrade", goal, at)
    return tuple(_redacted(each) for each in found)


def sql(
    door: DatabaseAccess, scripts: Scripts, direction: Direction, to: str, at: str | None
) -> tuple[tuple[Revision, str, str | None], ...]:
    """Each revision with its SQL, and the reason if the SQL can't be printed."""
    with translate_errors(door.target):
        found = tuple(scripts.sql(direction, to, at))
    return tuple(
        (_redacted(each), text, problem and one_line(door.target.clean(problem)))
        for each, text, problem in found
    )


def _redacted(revision: Revision) -> Revision:
    return replace(revision, says=redacted(revision.says))


def statements(text: str) -> tuple[str, ...]:
    """Split SQL into single statements without comments, and without functions' inner ones."""
    from ops.migrator.revisions.sql_tokens import whole_statements

    return tuple(whole_statements(text))


def relations(door: DatabaseAccess, names: tuple[str, ...]) -> Relations:
    """The foreign keys, triggers and rules around these tables."""
    from ops.postgres import relations as postgres_relations

    with read_session(door) as opened:
        return postgres_relations.read(opened, names)


def partitioned_relations(door: DatabaseAccess) -> frozenset[str]:
    """The names of all partitioned tables and indexes, with their schemas, quoted as needed."""
    select = "SELECT format('%I.%I', relnamespace::regnamespace::name, relname) FROM pg_class"
    with read_session(door) as opened:
        return frozenset(row[0] for row in opened.execute(f"{select} WHERE relkind IN ('p', 'I')"))


def functions(
    door: DatabaseAccess,
) -> tuple[frozenset[str], tuple[StoredFunction, ...]]:
    """The names of the built-in functions, and all other functions."""
    from ops.postgres import functions as postgres_functions

    with read_session(door) as opened:
        return postgres_functions.read(opened)


def history(door: DatabaseAccess, limit: int) -> list[dict[str, Any]]:
    """The last runs, newest first, from the audit. Texts stored by older versions are redacted."""
    from ops.migrator import audit

    with read_session(door) as opened:
        found = audit.history(opened, limit)
    for entry in (*found, *(step for run in found for step in run["steps"])):
        entry["message"] = entry["message"] and door.target.hide(entry["message"])
    return found


@dataclass(frozen=True)
class Ping:
    """The result of SELECT 1.

    `tls` is the protocol version, empty without TLS; `read_only` is why nothing can be written.
    """

    server: str
    user: str
    tls: str
    took_s: float
    read_only: str | None


def ping(door: DatabaseAccess) -> Ping:
    """Connect and SELECT 1 (the runbook's check). Raises Unreachable."""
    from ops.migrator import writable

    began = time.monotonic()
    with read_session(door) as opened:
        opened.execute("SELECT 1")
        took = time.monotonic() - began
        row = opened.execute("SELECT current_setting('server_version'), current_user").fetchone()
        tls = opened.execute(
            "SELECT coalesce(version, '') FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
        ).fetchone()
        reason = writable.read_only_reason(opened)
    return Ping(row[0], row[1], tls[0] if tls else "", took, reason[0] if reason else None)


def read_only_reason(door: DatabaseAccess) -> str:
    """Why nothing can be written to the database; empty if it can."""
    from ops.migrator import writable

    with read_session(door) as opened:
        found = writable.read_only_reason(opened)
    return found[0] if found else ""
