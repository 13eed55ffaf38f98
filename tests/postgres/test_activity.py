"""A part of the server's activity that can't be read is unknown, and hides no other."""

from __future__ import annotations

import pytest

from ops.postgres import access, activity
from tests.migrations.project import Here, here, server

__all__ = ["here", "server"]  # fixtures


@pytest.mark.parametrize("problem", ["SELECT 1/0", "SELECT pg_sleep(9)"])
def test_sessions_that_cannot_be_read_are_unknown(
    here: Here, monkeypatch: pytest.MonkeyPatch, problem: str
) -> None:
    """A refused query and one that takes too long; neither is an empty server."""
    monkeypatch.setattr(activity, "_SESSIONS", problem)
    with access.read_session(here.target.database) as opened:
        opened.execute("SET statement_timeout = '300ms'")
        found = activity.read(opened)
    assert (found["sessions"], found["locks"]) == (None, None)
    assert found["prepared"] == [] and found["settings"]["max_connections"] > 0
