"""One environment's database together with the project's revisions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from ops.aws import session
from ops.core import ui
from ops.core.errors import OpsError
from ops.core.text import format_error
from ops.postgres import access
from ops.postgres.access import DatabaseAccess, MigrationOutcome
from ops.postgres.server import likeness
from ops.postgres.server.likeness import SessionSettings

if TYPE_CHECKING:
    from ops.core.config.settings import Settings

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
        with access.open_database(
            settings, lambda: session.connect(settings), relay=relay
        ) as database:
            yield cls(settings, database)

    @property
    def where(self) -> str:
        """The database in words, as messages name it."""
        return self.database.target.where


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
