"""What the flows' tests of migrations share: a real server, and a place whose database and
revisions are the test's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ops.core.config.settings import Settings
from ops.migrations import plan as flow
from ops.migrations.run import RunOptions, run_from_here
from ops.migrations.target import MigrationTarget
from ops.postgres import access
from ops.sandbox.database import Server
from tests.migrator.migrating import QUICK, Project, served

PLACE: dict[str, Any] = {
    "account": "123456789012",
    "region": "us-east-1",
    "cluster": "c",
    "services": {},
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    yield from served(tmp_path_factory.mktemp("flows"))


@dataclass
class Here:
    project: Project
    target: MigrationTarget

    def go(
        self, direction: Any = "upgrade", to: str | None = None, *, yes: bool = True
    ) -> dict[str, Any]:
        planned = flow.plan_migration(self.target, direction, to)
        if planned.revisions:
            flow.confirm(self.target, planned, yes=yes)
        return run_from_here(self.target, planned, RunOptions(), self.project.said.append).document


@pytest.fixture
def here(server: Server, tmp_path: Path) -> Here:
    project = Project.make(server, tmp_path / "alembic")
    settings = Settings(name="here", root=tmp_path, environment=PLACE)
    return Here(project, MigrationTarget(settings, access.DatabaseAccess(project.target, QUICK)))


def protected(here: Here) -> MigrationTarget:
    """The same database in an environment that is protected."""
    settings = Settings(name="prod", root=Path(), environment={**PLACE, "protected": True})
    return MigrationTarget(settings, here.target.database)
