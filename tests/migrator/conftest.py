"""A PostgreSQL server for each file of tests, and a project with a database of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.sandbox.database import Server
from tests.migrator.migrating import Project, served


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    yield from served(tmp_path_factory.mktemp("server"))


@pytest.fixture
def project(server: Server, tmp_path: Path) -> Project:
    return Project.make(server, tmp_path / "alembic")
