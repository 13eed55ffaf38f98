"""One environment's database together with the project's revisions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ops.aws import session
from ops.postgres import access
from ops.postgres.access import DatabaseAccess

if TYPE_CHECKING:
    from ops.core.config.settings import Settings

BASE = "base"  # Alembic's name for the state before the first revision


@dataclass(frozen=True)
class MigrationTarget:
    """The settings of an environment and an open way to its database."""

    settings: Settings
    database: DatabaseAccess

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
