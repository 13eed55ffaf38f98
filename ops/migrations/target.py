"""One environment's database together with the project's revisions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from ops.aws import rds, session
from ops.aws.session import AwsSession
from ops.core import ui
from ops.core.errors import OpsError, Unreachable
from ops.core.text import format_error
from ops.postgres import access
from ops.postgres.access import DatabaseAccess, MigrationOutcome
from ops.postgres.server import likeness
from ops.postgres.server.likeness import SessionSettings
from ops.ssh.errors import BeyondBastion

if TYPE_CHECKING:
    from ops.core.config.settings import Settings

_STOPPED = ("stopping", "stopped")  # DBInstanceStatus
BASE = "base"  # Alembic's name for the state before the first revision


class RunRoute(Protocol):
    """Another place that runs plans, such as a task of ECS."""

    def run(self, plan: Any, options: Any, progress: Callable[[str], None]) -> Any:
        """Run a MigrationPlan with RunOptions, and return its RunResult.

        Raises the engine's errors.
        """
        ...

    def adopt(
        self, revision: str, digest: str, wait_s: float | None, progress: Callable[[str], None]
    ) -> MigrationOutcome:
        """Record a revision, if the schema has the digest. Raises the engine's errors."""
        ...


@dataclass(frozen=True)
class MigrationTarget:
    """The settings of an environment and an open way to its database."""

    settings: Settings
    database: DatabaseAccess
    route: RunRoute | None = None  # what runs a plan, where this machine can't

    @classmethod
    @contextmanager
    def opened(cls, settings: Settings, *, relay: bool = True) -> Iterator[MigrationTarget]:
        """Open the environment's database.

        `relay`: whether a process on the bastion may replace a forbidden forwarding.

        Raises ConfigError (no database configured), Refused (no such secret), and the errors of
        the bastion.
        """
        where = ""
        try:
            with access.open_database(
                settings, lambda: session.connect(settings), relay=relay
            ) as database:
                where = database.target.where
                yield cls(settings, database)
        except Unreachable as error:
            if not (isinstance(error, BeyondBastion) or (where and where in error.what)):
                raise
            raise explain_stopped(error, settings, lambda: session.connect(settings)) from None

    @property
    def where(self) -> str:
        """The database in words, as messages name it."""
        return self.database.target.where


def explain_stopped(
    error: Unreachable, settings: Settings, cloud: Callable[[], AwsSession]
) -> Unreachable:
    """The error of a failed connection, or that the RDS instance is stopped, if it is."""
    configured = settings.environment.database
    name = configured.instance if configured else None
    if name is None:
        return error
    try:
        status = rds.instance(cloud(), name).status
    except OpsError:
        return error
    if status not in _STOPPED:
        return error
    why = f"RDS instance {name} is {status} ({error.why})"
    return Unreachable(error.what, why, "inv db.start, then run it again")


def read_session_settings(
    settings: Settings, progress: Callable[[str], None] = ui.progress
) -> SessionSettings | None:
    """Read the settings of sessions in the environment's database, for a scratch server.

    If the database can't be read, that is printed, and only its configured name counts; None if
    there is none.
    """
    configured = settings.environment.database
    if configured is None:
        return None
    if not (configured.host or configured.secret or configured.instance):
        return _named_alone(configured.name)
    try:
        with MigrationTarget.opened(settings) as target:
            return likeness.read_settings(target.database)
    except OpsError as problem:
        progress(
            "what the database sets for its sessions (search_path …) is unknown, so PostgreSQL's "
            f"defaults count: {format_error(problem)}"
        )
        return _named_alone(configured.name)


def _named_alone(name: str | None) -> SessionSettings | None:
    return SessionSettings(name, "", (), ()) if name else None
