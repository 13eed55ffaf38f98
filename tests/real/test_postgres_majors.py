"""The project's own revisions on every PostgreSQL that there is: the machine's (Debian's) and the
wheel's, at least two majors in CI.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ops.core.config.settings import Settings
from ops.migrations import verify
from ops.migrations.rules.schema_diff import compare, describe
from ops.migrator.model import Limits, TargetDatabase
from ops.postgres import access, replay
from ops.postgres.server import account as server_account
from ops.postgres.server import binaries
from tests.front_door import ROOT

ENOUGH = 2


@pytest.fixture(scope="module")
def majors(tmp_path_factory: pytest.TempPathFactory) -> list[int]:
    account = server_account.choose()
    wheel = binaries.of_wheel(account, tmp_path_factory.mktemp("wheel"))
    return sorted({found.major for found in [*binaries.of_machine(account), *wheel]})


def test_there_are_enough_majors(majors: list[int]) -> None:
    """One major proves little; where OPS_REQUIRE_REAL names postgres, fewer than two are a
    failure.
    """
    if len(majors) < ENOUGH and "postgres" not in os.environ.get("OPS_REQUIRE_REAL", ""):
        pytest.skip(f"no second PostgreSQL here: {majors}")
    assert len(majors) >= ENOUGH, f"only {majors}"


def test_a_replay_reads_the_same_on_each_major(majors: list[int], tmp_path: Path) -> None:
    """The catalog's objects of the project's own revisions are equal on all of them: no drift where
    only the server's version differs.
    """
    folder = ROOT / "alembic"
    scripts = access.DatabaseAccess(TargetDatabase(str(folder), {}), Limits()).scripts
    every = scripts.between("upgrade", str(scripts.head), None)
    found = [
        replay.replay(folder, tmp_path, every, major, lambda _line: None)[-1] for major in majors
    ]
    assert [each.major for each in found] == majors and len(found[0].schema) > 10
    assert all(describe(compare(found[0].schema, each.schema)) == () for each in found)


def test_the_projects_revisions_go_there_and_back_on_each_major(
    majors: list[int], tmp_path: Path
) -> None:
    """db.verify passes for every revision, schema and rows, and says which server it was."""
    assert majors
    (tmp_path / "alembic").symlink_to(ROOT / "alembic")
    environment = {"account": "123456789012", "region": "us-east-1", "cluster": "c", "services": {}}
    settings = Settings(name="here", root=tmp_path, environment=environment)
    for major in majors:
        found = verify.verify(settings, major, progress=lambda _line: None)
        assert found.ok, found.document
        assert found.server == major and found.revisions
