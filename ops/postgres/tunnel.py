"""Reach an environment's database from this machine, through the bastion, or through a task.

Reads use the tunnel in `remote` mode too: starting a process on the bastion costs more than two
round trips. TLS is verified against the database's own name (`host`), while the bytes go to the
tunnel (`hostaddr`, `port`), so `verify-full` keeps its meaning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ops.core import ui
from ops.core.errors import Unreachable
from ops.ssh import connection
from ops.ssh.connection import ConnectionLost, Host

if TYPE_CHECKING:
    from ops.aws.session import AwsSession
    from ops.core.config.settings import Settings

DIRECT = "from here"


@dataclass(frozen=True)
class Route:
    """libpq's parameters that work from here, and the connection that they lead through, if any.

    `way`: the route in words; `problem`: why a connection through it has failed; `end`: the error
    of a route that has ended by itself. Both are None if that is not known.
    """

    parameters: Mapping[str, Any]
    bastion: Host | None = None
    way: str = DIRECT
    problem: Callable[[], Unreachable | None] = lambda: None
    end: Callable[[], Unreachable | None] = lambda: None


@contextmanager
def open_route(
    settings: Settings,
    cloud: Callable[[], AwsSession],
    parameters: Mapping[str, Any],
    *,
    relay: bool = True,
) -> Iterator[Route]:
    """The way to the database, while the context is open.

    `relay`: whether a process on the bastion may replace a forbidden forwarding. Raises errors of
    the bastion or of Session Manager.
    """
    refuse_task(settings)
    environment = settings.environment
    through = environment.database.tunnel if environment.database else None
    if environment.database_run == "local":
        yield Route(parameters)
    elif through and environment.database_run in ("tunnel", "task"):
        from ops.postgres.routes import session_tunnel

        with session_tunnel.open_tunnel(settings, cloud(), through, parameters) as tunnel:
            way = f"through {tunnel.label}, by Session Manager"
            from_here = tunnel.from_here(parameters)
            yield Route(from_here, None, way, tunnel.problem, tunnel.end)
    else:
        with (
            connection.connect(settings, relay=relay) as bastion,
            forward(bastion, parameters) as from_here,
        ):
            way = f"through the bastion {bastion.where}"
            try:
                yield Route(from_here, bastion, way, end=lambda: _lost(bastion))
            except ConnectionLost:
                raise
            except BaseException:  # a `remote` run has connected again, and says so
                if environment.database_run == "tunnel" and not bastion.is_alive():
                    ui.progress(f"the connection to the bastion {bastion.where} was lost")
                raise


def _lost(bastion: Host) -> Unreachable | None:
    """The error of a tunnel whose connection to the bastion was lost."""
    if bastion.is_alive():
        return None
    return ConnectionLost(
        f"the tunnel through the bastion {bastion.where}",
        "the connection was lost",
        "inv db.tunnel; its port will be another one",
    )


def by_task_only(settings: Settings) -> bool:
    """Whether only ECS tasks reach the database: `run: task`, and no `tunnel`."""
    database = settings.environment.database
    tunnel = database.tunnel if database else None
    return settings.environment.database_run == "task" and tunnel is None


def refuse_task(settings: Settings) -> None:
    """Raise Unreachable where only ECS tasks reach the database."""
    if by_task_only(settings):
        raise Unreachable(
            "the database, from this machine",
            "only ECS tasks reach it (database.run: task)",
            "inv db.current, or inv db.ping: they start a task",
        )


@contextmanager
def forward(bastion: Host, parameters: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The same through an open connection to the bastion."""
    with bastion.forward(str(parameters["host"]), int(parameters["port"])) as port:
        yield {**parameters, "hostaddr": "127.0.0.1", "port": port}
