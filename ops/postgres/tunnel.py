"""Reach an environment's database from this machine, or through the bastion.

Reads use the tunnel in `remote` mode too: starting a process on the bastion costs more than two
round trips. TLS is verified against the database's own name (`host`), while the bytes go to the
tunnel (`hostaddr`, `port`), so `verify-full` keeps its meaning.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ops.ssh import connection
from ops.ssh.connection import Host

if TYPE_CHECKING:
    from ops.core.config.settings import Settings


@dataclass(frozen=True)
class Route:
    """libpq's parameters that work from here, and the connection that they lead through, if any."""

    parameters: Mapping[str, Any]
    bastion: Host | None = None


@contextmanager
def open_route(
    settings: Settings, parameters: Mapping[str, Any], *, relay: bool = True
) -> Iterator[Route]:
    """The way to the database, while the context is open. Raises bastion errors.

    `relay`: whether a process on the bastion may replace a forbidden forwarding.
    """
    if settings.environment.database_run == "local":
        yield Route(parameters)
        return
    with (
        connection.connect(settings, relay=relay) as bastion,
        forward(bastion, parameters) as from_here,
    ):
        yield Route(from_here, bastion)


@contextmanager
def forward(bastion: Host, parameters: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The same through an open connection to the bastion."""
    with bastion.forward(str(parameters["host"]), int(parameters["port"])) as port:
        yield {**parameters, "hostaddr": "127.0.0.1", "port": port}
