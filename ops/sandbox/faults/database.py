"""The database stopped, its password changed, its connections taken. The second outlives the
supervisor: it lies on the disk.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ops.sandbox.faults import probes
from ops.sandbox.faults.base import Ground, Kept, Work

if TYPE_CHECKING:
    from ops.sandbox.database import Login, Server

LEAK = "reports"  # what the connections that are never closed call themselves


class Stopped(Work):
    """StopDBInstance, as an operator who saves money does; PostgreSQL stops with it."""

    def begin(self, ground: Ground, kept: Kept) -> Kept:
        ground.clients.rds.stop_db_instance(DBInstanceIdentifier=instance())
        return {}

    def is_visible(self, ground: Ground, kept: Kept) -> bool:
        from ops.sandbox.seed.names import BACKEND

        return (
            state(ground) == "stopped"
            and not ground.database.alive()
            and probes.none_healthy(ground, BACKEND)
        )

    def there(self, ground: Ground, kept: Kept) -> bool:
        return state(ground) in ("stopping", "stopped")

    def end(self, ground: Ground, kept: Kept) -> None:
        if self.there(ground, kept):
            ground.clients.rds.start_db_instance(DBInstanceIdentifier=instance())

    def well(self, ground: Ground, kept: Kept) -> bool:
        return state(ground) == "available" and ground.database.alive() and backend_well(ground)


class PasswordChanged(Work):
    """Somebody changes the role's password in PostgreSQL and not in the secret, and ends the
    sessions that still have the old one.
    """

    def begin(self, ground: Ground, kept: Kept) -> Kept:
        from ops.sandbox.database import schema

        schema.create(
            ground.database.admin,
            replace(ground.database.login, password=secrets.token_urlsafe(18)),
        )
        with connect(ground.database.admin) as connection:
            ends = (
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s AND "
                "application_name <> %s"
            )
            connection.execute(ends, [ground.database.login.username, LEAK])
        return {}

    def is_visible(self, ground: Ground, kept: Kept) -> bool:
        from ops.sandbox.seed.names import BACKEND

        return self.there(ground, kept) and probes.none_healthy(ground, BACKEND)

    def there(self, ground: Ground, kept: Kept) -> bool:
        return not accepted(ground.database)

    def end(self, ground: Ground, kept: Kept) -> None:
        self.heal(ground.database, kept)

    def well(self, ground: Ground, kept: Kept) -> bool:
        return accepted(ground.database) and backend_well(ground)

    def heal(self, database: Server, kept: Kept) -> None:
        from ops.sandbox.database import schema

        schema.create(database.admin, database.login)


@dataclass(frozen=True)
class Leaked(Work):
    """An application opens connections and never closes them, until `share` of what PostgreSQL
    allows is taken.
    """

    share: float

    def begin(self, ground: Ground, kept: Kept) -> Kept:
        asked = (
            "SELECT current_setting('max_connections')::int, count(*) FROM pg_stat_activity "
            "WHERE backend_type = 'client backend'"
        )
        with connect(ground.database.admin) as connection:
            allowed, taken = connection.execute(asked).fetchone()
        held = ground.held.setdefault(LEAK, [])
        for _ in range(int(self.share * allowed) - taken):
            held.append(connect(ground.database.login, LEAK))
        return {}

    def is_visible(self, ground: Ground, kept: Kept) -> bool:
        return self.there(ground, kept)

    def there(self, ground: Ground, kept: Kept) -> bool:
        with connect(ground.database.admin) as connection:
            asked = "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s"
            return bool(connection.execute(asked, [LEAK]).fetchone()[0])

    def end(self, ground: Ground, kept: Kept) -> None:
        for connection in ground.held.pop(LEAK, []):
            connection.close()

    def well(self, ground: Ground, kept: Kept) -> bool:
        return not self.there(ground, kept) and backend_well(ground)


def connect(login: Login, application: str = "sandbox") -> Any:
    import psycopg

    return psycopg.connect(
        host=login.host,
        port=login.port,
        dbname=login.database,
        user=login.username,
        password=login.password,
        autocommit=True,
        connect_timeout=3,
        application_name=application,
    )


def instance() -> str:
    from ops.sandbox.seed.names import DATABASE_INSTANCE

    return DATABASE_INSTANCE


def state(ground: Ground) -> str:
    """DBInstanceStatus."""
    found = ground.clients.rds.describe_db_instances(DBInstanceIdentifier=instance())["DBInstances"]
    return str(found[0]["DBInstanceStatus"])


def accepted(database: Server) -> bool:
    """Whether PostgreSQL takes the login that the secret holds."""
    import psycopg

    try:
        with connect(database.login):
            return True
    except psycopg.OperationalError:
        return False


def backend_well(ground: Ground) -> bool:
    """Whether the backend has come to rest; its scheduler's waits are cut short."""
    from ops.sandbox.seed.names import BACKEND

    probes.encourage(ground, BACKEND)
    return probes.at_rest(ground, BACKEND)
