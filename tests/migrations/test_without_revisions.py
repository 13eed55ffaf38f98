"""An environment whose `database.migrations` is none, on a real PostgreSQL."""

from __future__ import annotations

from pathlib import Path

import pytest

from ops.core.config.settings import Settings
from ops.core.errors import ConfigError
from ops.migrations import drift, status
from ops.migrations import plan as flow
from ops.migrations.target import MigrationTarget
from ops.postgres import access
from tests.migrations.project import PLACE, Here, here, server

__all__ = ["here", "server"]  # fixtures


def test_a_database_without_revisions_can_be_read_but_not_migrated(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is pending, drift is unknown, and an upgrade says what is not configured."""
    known = here.project.target.parameters
    for name, key in (("PGUSER", "user"), ("PGPASSWORD", "password")):
        monkeypatch.setenv(name, str(known[key]))
    place = {"host": known["host"], "port": known["port"], "name": known["dbname"]}
    database = {**place, "sslmode": "disable", "migrations": "none"}
    settings = Settings(name="here", root=Path(), environment={**PLACE, "database": database})
    with access.open_database(settings, pytest.fail) as door:
        target = MigrationTarget(settings, door)
        assert status.ping(target).exit_code == 0
        assert status.pending(target).revisions == ()
        found = drift.current(target)
        assert (found.document["head"], found.document["drift"]) == (None, None)
        assert "no revisions to compare with" in found.text
        with pytest.raises(ConfigError, match=r"has no revisions\n.*database\.migrations"):
            flow.plan_migration(target, "upgrade", None)
