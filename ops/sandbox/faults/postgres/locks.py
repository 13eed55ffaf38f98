"""Faults of locks in PostgreSQL: a forgotten transaction, a lost migration, a prepared one."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ops.sandbox.database.schema import connect
from ops.sandbox.faults import probes
from ops.sandbox.faults.base import FaultInjector, FaultState, SandboxHandles
from ops.sandbox.faults.postgres.instance import sessions

if TYPE_CHECKING:
    from ops.sandbox.database import Server

_LOCK = "LOCK TABLE public.projects IN ACCESS EXCLUSIVE MODE"
_RUNNER_LOCK = 0x6F70736D69677261  # as ops.migrator.audit has it
_GID = "checkout-4711"
_PAGE = "/api/projects"


@dataclass(frozen=True)
class OpenTransaction(FaultInjector):
    """A session that locked a table and was forgotten: idle in transaction.

    `migration`: it is a migration's, whose runner is lost; the runner's advisory lock is held, too.
    """

    application: str
    migration: bool = False

    @property
    def _sessions(self) -> str:
        return f"open transaction {self.application}"

    def inject(self, handles: SandboxHandles, state: FaultState) -> FaultState:
        opened = handles.open_resources.setdefault(self._sessions, [])
        login, name = handles.database.login, self.application
        if self.migration:
            since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 1800))
            holder = connect(login, f"{name} since {since} by sam@build-7")
            holder.execute("SELECT pg_try_advisory_lock(%s)", [_RUNNER_LOCK])
            opened.append(holder)
        session = connect(login, name)
        opened.append(session)
        session.execute("BEGIN")
        session.execute(_LOCK)
        return {}

    def is_visible(self, handles: SandboxHandles, state: FaultState) -> bool:
        return _page_hangs(handles) and _blocked(handles) > 0

    def is_present(self, handles: SandboxHandles, state: FaultState) -> bool:
        return bool(
            sessions(
                handles,
                "application_name = %s AND state = 'idle in transaction'",
                self.application,
            )
        )

    def remove(self, handles: SandboxHandles, state: FaultState) -> None:
        for connection in handles.open_resources.pop(self._sessions, []):
            connection.close()

    def is_healthy(self, handles: SandboxHandles, state: FaultState) -> bool:
        return not _page_hangs(handles)


class PreparedTransaction(FaultInjector):
    """PREPARE TRANSACTION without an end: its coordinator died. It survives a restart."""

    def inject(self, handles: SandboxHandles, state: FaultState) -> FaultState:
        with connect(handles.database.login, "orders") as session:
            session.execute("BEGIN")
            session.execute(_LOCK)
            session.execute(f"PREPARE TRANSACTION '{_GID}'")
        return {}

    def is_visible(self, handles: SandboxHandles, state: FaultState) -> bool:
        return _page_hangs(handles) and _blocked(handles) > 0

    def is_present(self, handles: SandboxHandles, state: FaultState) -> bool:
        return _is_prepared(handles.database)

    def remove(self, handles: SandboxHandles, state: FaultState) -> None:
        self.remove_leftovers(handles.database, state)

    def is_healthy(self, handles: SandboxHandles, state: FaultState) -> bool:
        return not _page_hangs(handles)

    def remove_leftovers(self, database: Server, state: FaultState) -> None:
        if _is_prepared(database):
            with connect(database.login) as connection:
                connection.execute(f"ROLLBACK PREPARED '{_GID}'")


def _is_prepared(database: Server) -> bool:
    with connect(database.admin) as connection:
        query = "SELECT count(*) FROM pg_prepared_xacts WHERE gid = %s"
        found: Any = connection.execute(query, [_GID]).fetchone()
        return bool(found[0])


def _page_hangs(handles: SandboxHandles) -> bool:
    """Whether the page that reads the table is not answered."""
    return probes.status(handles, _PAGE, timeout=1.5) is None


def _blocked(handles: SandboxHandles) -> int:
    return sessions(handles, "cardinality(pg_blocking_pids(pid)) > 0")
