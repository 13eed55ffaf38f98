"""Faults of the RDS instance: a state in which it does not serve, and a closed security group.

The instance has RDS's status and events meanwhile, and PostgreSQL is really stopped. Differs from
RDS: a failover or a maintenance lasts until it is mended.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ops.sandbox.database.schema import connect
from ops.sandbox.faults import probes
from ops.sandbox.faults.base import FaultInjector, FaultState, SandboxHandles
from ops.sandbox.faults.database import backend_healthy, instance_id, instance_status
from ops.sandbox.faults.services import ClosedSecurityGroup


@dataclass(frozen=True)
class InstanceCondition(FaultInjector):
    """The instance has this status and PostgreSQL is stopped; events name the reason.

    `events` and `ends`: (message, category) of RDS's events at begin and end.
    """

    status: str
    events: tuple[tuple[str, str], ...]
    ends: tuple[tuple[str, str], ...] = ()

    def inject(self, handles: SandboxHandles, state: FaultState) -> FaultState:
        from ops.sandbox.aws import rds

        for message, category in self.events:
            rds.add_event(instance_id(), message, category)
        rds.set_condition(instance_id(), self.status)
        return {}

    def is_visible(self, handles: SandboxHandles, state: FaultState) -> bool:
        from ops.sandbox.seed.names import BACKEND

        return not handles.database.alive() and probes.none_healthy(handles, BACKEND)

    def is_present(self, handles: SandboxHandles, state: FaultState) -> bool:
        return instance_status(handles) == self.status

    def remove(self, handles: SandboxHandles, state: FaultState) -> None:
        from ops.sandbox.aws import rds

        if self.is_present(handles, state):
            rds.set_condition(instance_id(), "")
            for message, category in self.ends:
                rds.add_event(instance_id(), message, category)

    def is_healthy(self, handles: SandboxHandles, state: FaultState) -> bool:
        return (
            instance_status(handles) == "available"
            and handles.database.alive()
            and backend_healthy(handles)
        )


class ClosedDatabaseGroup(ClosedSecurityGroup):
    """The same for the database's group, which then allows no task of the service.

    Connections that are open are ended, as by an idle time-out: EC2 lets tracked ones live.
    """

    def _group(self, handles: SandboxHandles) -> str:
        found = handles.clients.rds.describe_db_instances(DBInstanceIdentifier=instance_id())
        return str(found["DBInstances"][0]["VpcSecurityGroups"][0]["VpcSecurityGroupId"])

    def inject(self, handles: SandboxHandles, state: FaultState) -> FaultState:
        super().inject(handles, state)
        end_sessions(handles)
        return {}


def end_sessions(handles: SandboxHandles) -> None:
    """End the application's sessions."""
    query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s"
    with connect(handles.database.admin) as connection:
        connection.execute(query, [handles.database.login.username])


def sessions(handles: SandboxHandles, condition: str, *values: Any) -> int:
    """Count the sessions for which an SQL condition holds."""
    with connect(handles.database.admin) as connection:
        query = f"SELECT count(*) FROM pg_stat_activity WHERE {condition}"  # noqa: S608 - ours
        return int(connection.execute(query, list(values)).fetchone()[0])
