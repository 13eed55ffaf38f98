"""`inv db.tunnel`: the bastion's way to the database for a person's own tools (runbook: "connect to
the database").
"""

from __future__ import annotations

import shlex
import threading
from dataclasses import dataclass
from typing import Any

from ops.core import ui
from ops.core.errors import Refused
from ops.migrations.plan import MigrationTarget
from ops.postgres import facts

SHOWN = ("host", "hostaddr", "port", "dbname", "user", "sslmode", "sslrootcert")


@dataclass(frozen=True)
class Tunnel:
    """A port that leads to the database, `where` in words; `parameters`: libpq's, without the
    password.
    """

    environment: str
    where: str
    parameters: dict[str, Any]

    @property
    def psql(self) -> str:
        """What to type; psql asks for the password, or finds it in PGPASSWORD or ~/.pgpass.

        Other PG* variables of this shell are unset for it.
        """
        unset = [word for name in facts.hidden_variables(self.parameters) for word in ("-u", name)]
        words = " ".join(f"{key}={self.parameters[key]}" for key in SHOWN if key in self.parameters)
        return shlex.join([*(["env", *unset] if unset else []), "psql", words])

    def as_document(self) -> dict[str, Any]:
        port = self.parameters["port"]
        return {
            "environment": self.environment,
            "host": "127.0.0.1",
            "port": port,
            "database": self.where,
            "psql": self.psql,
        }

    def as_text(self) -> str:
        return (
            f"127.0.0.1:{self.parameters['port']} leads to {self.where}, until Ctrl-C\n{self.psql}"
        )


def open_tunnel(place: MigrationTarget) -> Tunnel:
    """Raises Refused where the database is reached without a bastion."""
    parameters = {
        key: value for key, value in place.door.target.parameters.items() if key != "password"
    }
    if place.door.mode == "local":
        why = f"{place.door.target.where} is reached from here (database.run: local)"
        raise Refused("there is no tunnel", why, "psql, with the same words")
    return Tunnel(place.settings.name, place.door.target.where, parameters)


def wait(seconds: float | None) -> None:
    """Until Ctrl-C (which raises), or for `seconds`."""
    threading.Event().wait(seconds)
    ui.progress("the time is up: the tunnel is closed")
