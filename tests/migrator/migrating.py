"""What the tests of migrations share: databases of their own on one real server, and revisions
written for the test.
"""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from ops.migrator.model import Limits, MigrationOutcome, RunIdentity, TargetDatabase
from ops.migrator.runner import migrate
from ops.sandbox.contracts import Paths
from ops.sandbox.database import Server, purge
from tests.factories import free_port

ROOT = Path(__file__).resolve().parents[2]
QUICK = Limits(lock_timeout_s=0.3, statement_timeout_s=20, wait_s=1.0, retries=2, backoff_s=0.05)
runs = itertools.count(1)

FILE = '''"""{says}"""

from alembic import op

revision = "{id}"
down_revision = {down!r}


def upgrade() -> None:
{up}


def downgrade() -> None:
{undo}
'''
TABLE = "    op.execute('CREATE TABLE a (id int)')\n"
TABLES = (
    "SELECT coalesce(string_agg(relname, ', ' ORDER BY relname), '') FROM pg_class WHERE "
    "relname IN ('a', 'b', 'c')"
)
OUTSIDE = "    with op.get_context().autocommit_block():\n        op.execute({!r})"


def served(folder: Path) -> Iterator[Server]:
    """A real PostgreSQL, ended with its data."""
    paths = Paths(folder)
    started = Server(paths, free_port())
    started.start()
    yield started
    started.stop()
    purge(paths)


@dataclass
class Project:
    """A folder of revisions and a database of its own."""

    folder: Path
    target: TargetDatabase
    said: list[str] = field(default_factory=list)

    @classmethod
    def make(cls, server: Server, folder: Path) -> Project:
        login = server.login
        words: dict[str, Any] = {
            "host": login.host,
            "port": login.port,
            "user": login.username,
            "password": login.password,
            "sslmode": "disable",
        }
        name = f"t{next(runs)}"
        with psycopg.connect(autocommit=True, dbname=login.database, **words) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        (folder / "versions").mkdir(parents=True)
        for part in ("env.py", "script.py.mako"):
            shutil.copy(ROOT / "alembic" / part, folder / part)
        return cls(folder, TargetDatabase(str(folder), {**words, "dbname": name}))

    def write(self, id: str, up: str, undo: str = "SELECT 1", *, down: str | None = None) -> Path:
        """A revision of SQL, or of Python where it is indented; it follows the one before by
        number.
        """
        before = (
            f"{int(id) - 1:04}" if id.isdigit() and int(id) > 1 and down is None else down or None
        )
        bodies = {
            key: text if text.startswith(" ") else f"    op.execute({text!r})"
            for key, text in (("up", up), ("undo", undo))
        }
        path = self.folder / "versions" / f"{id}.py"
        path.write_text(FILE.format(id=id, says=f"Revision {id}.", down=before, **bodies))
        return path

    def run(
        self,
        direction: Any = "upgrade",
        to: str | None = None,
        *,
        limits: Limits = QUICK,
        **more: Any,
    ) -> MigrationOutcome:
        who = RunIdentity("ann", "laptop", f"db.{direction}", f"r{next(runs)}")
        return migrate(self.target, direction, to, who, limits, say=self.said.append, **more)

    def connect(self) -> psycopg.Connection[Any]:
        return psycopg.connect(autocommit=True, **self.target.parameters)

    def ask(self, statement: str) -> list[tuple[Any, ...]]:
        with self.connect() as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def at(self) -> list[str]:
        return [row[0] for row in self.ask("SELECT version_num FROM alembic_version")]
