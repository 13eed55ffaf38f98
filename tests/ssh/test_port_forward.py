"""What lies behind a bastion and does not answer it, told apart from a bastion that is away."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from ops.sandbox.bastion import Bastion
from ops.ssh import connection
from ops.ssh.errors import BeyondBastion
from ops.ssh.port_forward import Forwarder
from tests.factories import free_port
from tests.ssh.test_connection import DATABASE, settings

pytestmark = pytest.mark.timeout(60)


def test_a_database_that_does_not_answer_the_bastion(tmp_path: Path) -> None:
    """The way there is well, and closed at its end: told apart from a bastion that is away, each
    time, however quick the two are.
    """
    made = Bastion(tmp_path, free_port(), DATABASE, ("127.0.0.1", free_port()))
    part = made.start()
    try:
        with connection.connect(settings(made)) as host:
            for _ in range(5):
                try:
                    with (
                        host.forward(*DATABASE) as port,
                        socket.create_connection(("127.0.0.1", port), 5) as client,
                    ):
                        assert client.recv(1) == b""
                except BeyondBastion as problem:
                    assert (
                        "can't be reached from there" in problem.why
                        and "db.example:5432" in problem.what
                    )
    finally:
        part.stop()


def test_a_closed_forwarder_no_longer_listens() -> None:
    """A thread that waits in accept() would keep the port open, and take one more client."""
    channels = iter([socket.socket()])  # for the first look; then the bastion opens none

    forwarder = Forwarder(lambda _: next(channels))
    with socket.create_connection(("127.0.0.1", forwarder.port), 5) as client:
        assert client.recv(1) == b""
    forwarder.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", forwarder.port), 5)
