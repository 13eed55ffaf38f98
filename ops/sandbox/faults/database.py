"""Faults of the database: stopped, password changed, connections exhausted.

A changed password is stored in PostgreSQL's data, so it outlives the supervisor.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ops.sandbox.database.schema import connect
from ops.sandbox.faults import probes
from ops.sandbox.faults.base import FaultInjector, FaultState, SandboxHandles

if TYPE_CHECKING:
    from ops.sandbox.database import Server

_LEAK = "reports"  # what the connections that are never closed call themselves


class StoppedDatabase(FaultInjector):
    """StopDBInstance, as an operator may call it to save money; PostgreSQL stops as well."""

    def inject(self, handles: SandboxHandles, state: FaultState) -> FaultState:
        handles.clients.rds.stop_db_instance(DBInstanceIdentifier=instance_id())
        return {}

    def is_visible(self, handles: SandboxHandles, state: FaultState) -> bool:
        from ops.sandbox.seed.names import BACKEND

        return (
            instance_status(handles) == "stopped"
            and not handles.database.alive()
            and probes.none_healthy(handles, BACKEND)
        )

    def is_present(self, handles: SandboxHandles, state: FaultState) -> bool:
        return instance_status(handles) in ("stopping", "stopped")

    def remove(self, handles: SandboxHandles, state: FaultState) -> None:
        if self.is_present(handles, state):
            handles.clients.rds.start_db_instance(DBInstanceIdentifier=instance_id())

    def is_healthy(self, handles: SandboxHandles, state: FaultState) -> bool:
        return (
            instance_status(handles) == "available"
            and handles.database.alive()
            and backend_healthy(handles)
        )


class PasswordChanged(FaultInjector):
    """The role's password is changed in PostgreSQL but not in the secret.

    Sessions opened with the old password are ended.
    """

    def inject(self, handles: SandboxHandles, state: FaultState) -> FaultState:
        from ops.sandbox.database import schema

        schema.create(
            handles.database.admin,
            replace(handles.database.login, password=secrets.token_urlsafe(18)),
        )
        with connect(handles.database.admin) as connection:
            ends = (
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s AND "
                "application_name <> %s"
            )
            connection.execute(ends, [handles.database.login.username, _LEAK])
        return {}

    def is_visible(self, handles: SandboxHandles, state: FaultState) -> bool:
        from ops.sandbox.seed.names import BACKEND

        return self.is_present(handles, state) and probes.none_healthy(handles, BACKEND)

    def is_present(self, handles: SandboxHandles, state: FaultState) -> bool:
        return not _password_accepted(handles.database)

    def remove(self, handles: SandboxHandles, state: FaultState) -> None:
        self.remove_leftovers(handles.database, state)

    def is_healthy(self, handles: SandboxHandles, state: FaultState) -> bool:
        return _password_accepted(handles.database) and backend_healthy(handles)

    def remove_leftovers(self, database: Server, state: FaultState) -> None:
        from ops.sandbox.database import schema

        schema.create(database.admin, database.login)


@dataclass(frozen=True)
class LeakedConnections(FaultInjector):
    """An application leaks connections until `share` of PostgreSQL's limit is used."""

    share: float

    def inject(self, handles: SandboxHandles, state: FaultState) -> FaultState:
        query = (
            "SELECT current_setting('max_connections')::int, count(*) FROM pg_stat_activity "
            "WHERE backend_type = 'client backend'"
        )
        with connect(handles.database.admin) as connection:
            allowed, taken = connection.execute(query).fetchone()
        open_resources = handles.open_resources.setdefault(_LEAK, [])
        for _ in range(int(self.share * allowed) - taken):
            open_resources.append(connect(handles.database.login, _LEAK))
        return {}

    def is_visible(self, handles: SandboxHandles, state: FaultState) -> bool:
        return self.is_present(handles, state)

    def is_present(self, handles: SandboxHandles, state: FaultState) -> bool:
        with connect(handles.database.admin) as connection:
            query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s"
            return bool(connection.execute(query, [_LEAK]).fetchone()[0])

    def remove(self, handles: SandboxHandles, state: FaultState) -> None:
        for connection in handles.open_resources.pop(_LEAK, []):
            connection.close()

    def is_healthy(self, handles: SandboxHandles, state: FaultState) -> bool:
        return not self.is_present(handles, state) and backend_healthy(handles)


def instance_id() -> str:
    """Return the DBInstanceIdentifier."""
    from ops.sandbox.seed.names import DATABASE_INSTANCE

    return DATABASE_INSTANCE


def instance_status(handles: SandboxHandles) -> str:
    """Return the DBInstanceStatus."""
    found = handles.clients.rds.describe_db_instances(DBInstanceIdentifier=instance_id())[
        "DBInstances"
    ]
    return str(found[0]["DBInstanceStatus"])


def _password_accepted(database: Server) -> bool:
    """Whether PostgreSQL accepts the login stored in the secret."""
    import psycopg

    try:
        with connect(database.login):
            return True
    except psycopg.OperationalError:
        return False


def backend_healthy(handles: SandboxHandles) -> bool:
    """Whether the backend is stable; also ends the scheduler's back-off."""
    from ops.sandbox.seed.names import BACKEND

    probes.reset_backoff(handles, BACKEND)
    return probes.at_rest(handles, BACKEND)
