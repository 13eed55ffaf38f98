"""How an environment's database is reached: from this machine, or through the bastion, on a port of
this machine that leads there.

Reads go through the tunnel in `remote` mode too: two round trips are not worth a process on the far
side. TLS is checked against the database's own name (`host`), while the bytes go to the tunnel
(`hostaddr`, `port`), so `verify-full` means what it says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ops.ssh import connection
from ops.ssh.connection import Host

if TYPE_CHECKING:
    from ops.core.config.settings import Settings


@contextmanager
def open_route(settings: Settings, parameters: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """libpq's parameters that work from here, as long as this holds. Raises what stands in the
    bastion's way.
    """
    if settings.environment.database_run == "local":
        yield parameters
        return
    with connection.connect(settings) as bastion, forward(bastion, parameters) as from_here:
        yield from_here


@contextmanager
def forward(bastion: Host, parameters: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The same by a connection that is open already."""
    with bastion.forward(str(parameters["host"]), int(parameters["port"])) as port:
        yield {**parameters, "hostaddr": "127.0.0.1", "port": port}
