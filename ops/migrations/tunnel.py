"""`inv db.tunnel`: a local port that leads to the database, for psql and other tools."""

from __future__ import annotations

import shlex
import threading
from dataclasses import dataclass
from typing import Any, ClassVar

from ops.core import ui
from ops.core.errors import Interrupted, Refused
from ops.migrations.target import MigrationTarget
from ops.postgres import facts

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
    """A port that leads to the database `where`; `parameters` are libpq's, without the password."""

    environment: str
    where: str
    parameters: dict[str, Any]

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
            "psql": self.psql,
        }

    @property
    def text(self) -> str:
        return (
            f"127.0.0.1:{self.parameters['port']} leads to {self.where}, until Ctrl-C\n{self.psql}"
        )


def open_tunnel(target: MigrationTarget) -> Tunnel:
    """Return the tunnel that the target was opened with.

    Raises Refused if the database is reached without a bastion.
    """
    database = target.database
    if database.mode == "local":
        why = f"{target.where} is reached from here (database.run: local)"
        raise Refused("there is no tunnel", why, "use psql with the same parameters")
    parameters = {
        key: value for key, value in database.target.parameters.items() if key != "password"
    }
    return Tunnel(target.settings.name, target.where, parameters)


def wait(seconds: float | None) -> None:
    """Wait until Ctrl-C, or for `seconds`; SIGTERM and SIGHUP raise."""
    try:
        threading.Event().wait(seconds)
    except Interrupted as interruption:
        if interruption.signal_name != "SIGINT":
            raise
        ui.progress("the tunnel is closed")
        return
    ui.progress("the time is up: the tunnel is closed")
