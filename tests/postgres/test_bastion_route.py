"""The route to a database through a bastion, when the bastion goes away."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ops.postgres import tunnel
from ops.sandbox.bastion import Bastion
from tests.factories import free_port
from tests.ssh.test_connection import DATABASE, echo, settings
from tests.waiting import until

__all__ = ["echo"]
pytestmark = pytest.mark.timeout(60)


def test_a_route_whose_connection_was_lost_has_ended(tmp_path: Path, echo: int) -> None:
    """`db.tunnel` asks for that: a port that leads nowhere is not kept open in silence."""
    server = Bastion(tmp_path, free_port(), DATABASE, ("127.0.0.1", echo))
    part = server.start()
    found: Any = settings(server)
    found.environment = SimpleNamespace(
        bastion=found.environment.bastion, database_run="tunnel", database=None
    )
    none: Any = None
    with tunnel.open_route(found, none, {"host": "db.example", "port": 5432}) as route:
        assert route.end() is None
        part.stop()
        until(lambda: route.end() is not None)
        problem = route.end()
    assert problem and "the connection was lost" in problem.why and "db.tunnel" in problem.next
