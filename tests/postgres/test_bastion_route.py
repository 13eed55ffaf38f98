"""The route to a database through a bastion, when the bastion goes away."""

from __future__ import annotations

from contextlib import AbstractContextManager
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


def open_route(server: Bastion) -> AbstractContextManager[tunnel.Route]:
    found: Any = settings(server)
    found.environment = SimpleNamespace(
        bastion=found.environment.bastion, database_run="tunnel", database=None
    )
    none: Any = None
    return tunnel.open_route(found, none, {"host": "db.example", "port": 5432})


def test_a_route_whose_connection_was_lost_has_ended(tmp_path: Path, echo: int) -> None:
    """`db.tunnel` asks for that: a port that leads nowhere is not kept open in silence."""
    server = Bastion(tmp_path, free_port(), DATABASE, ("127.0.0.1", echo))
    part = server.start()
    with open_route(server) as route:
        assert route.end() is None
        part.stop()
        until(lambda: route.end() is not None)
        problem = route.end()
    assert problem and "the connection was lost" in problem.why and "db.tunnel" in problem.next


def test_a_failure_after_a_lost_connection_names_it(
    tmp_path: Path, echo: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """A migration through the tunnel only learns that the server closed the connection."""
    server = Bastion(tmp_path, free_port(), DATABASE, ("127.0.0.1", echo))
    part = server.start()
    with pytest.raises(ValueError, match="server closed"), open_route(server) as route:
        part.stop()
        until(lambda: route.end() is not None)
        raise ValueError("server closed the connection")
    lost = f"the connection to the bastion operator@127.0.0.1:{server.port} was lost"
    assert lost in capsys.readouterr().err
