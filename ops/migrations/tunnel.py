"""`inv db.tunnel`: a local port that leads to the database, for psql and other tools."""

from __future__ import annotations

import shlex
import threading
import time
from dataclasses import dataclass
from typing import Any, ClassVar

from ops.core import ui
from ops.core.errors import Interrupted, Refused
from ops.migrations.target import MigrationTarget
from ops.postgres import facts

_POLL_S = 1.0  # seconds between two looks at the tunnel
_PSQL_PARAMETERS = (
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "sslmode",
    "sslrootcert",
    "options",
)


@dataclass(frozen=True)
class Tunnel:
    """A port that leads to the database `where`; `parameters` are libpq's, without the password.

    `way`: what it leads through, in words.
    """

    environment: str
    where: str
    parameters: dict[str, Any]
    way: str = ""

    exit_code: ClassVar[int] = 0

    @property
    def psql(self) -> str:
        """The psql command line; the password comes from a prompt, PGPASSWORD or ~/.pgpass.

        It unsets other PG* variables of this shell.
        """
        from psycopg.conninfo import make_conninfo

        unset = [word for name in facts.hidden_variables(self.parameters) for word in ("-u", name)]
        known = {key: self.parameters[key] for key in _PSQL_PARAMETERS if key in self.parameters}
        words = make_conninfo("", **known)
        return shlex.join([*(["env", *unset] if unset else []), "psql", words])

    @property
    def document(self) -> dict[str, Any]:
        """The document that `db.tunnel --json` prints."""
        return {
            "environment": self.environment,
            "host": "127.0.0.1",
            "port": self.parameters["port"],
            "database": self.where,
            "way": self.way,
            "psql": self.psql,
        }

    @property
    def text(self) -> str:
        return (
            f"127.0.0.1:{self.parameters['port']} leads to {self.where} {self.way}, until Ctrl-C\n"
            f"{self.psql}"
        )


def open_tunnel(target: MigrationTarget) -> Tunnel:
    """Return the tunnel that the target was opened with.

    Raises Refused if the database is reached without a tunnel.
    """
    database = target.database
    if database.mode == "local":
        why = f"{target.where} is reached from here (database.run: local)"
        raise Refused("there is no tunnel", why, "use psql with the same parameters")
    parameters = {
        key: value for key, value in database.target.parameters.items() if key != "password"
    }
    way = database.route.way if database.route else ""
    return Tunnel(target.settings.name, target.where, parameters, way)


def wait(target: MigrationTarget, seconds: float | None) -> None:
    """Wait until Ctrl-C, or for `seconds`; SIGTERM and SIGHUP raise.

    Raises Unreachable if the tunnel ends by itself.
    """
    deadline = None if seconds is None else time.monotonic() + seconds
    try:
        while deadline is None or time.monotonic() < deadline:
            rest = _POLL_S if deadline is None else min(_POLL_S, deadline - time.monotonic())
            threading.Event().wait(max(rest, 0))
            ended = target.database.route.end() if target.database.route else None
            if ended:
                raise ended
    except Interrupted as interruption:
        if interruption.signal_name != "SIGINT":
            raise
        ui.progress("the tunnel is closed")
        return
    ui.progress("the time is up: the tunnel is closed")
