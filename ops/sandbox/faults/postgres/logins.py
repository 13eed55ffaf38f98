"""Faults of logins: a password rotated while tasks run, TLS required, TLS not offered."""

from __future__ import annotations

import json
import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ops.core.errors import Refused
from ops.sandbox.database.schema import connect
from ops.sandbox.faults import probes
from ops.sandbox.faults.base import FaultInjector, FaultState, SandboxHandles
from ops.sandbox.faults.database import backend_healthy
from ops.sandbox.faults.postgres.instance import end_sessions
from ops.sandbox.faults.services import ServiceFault

if TYPE_CHECKING:
    from ops.sandbox.database import Server


_SHALLOW = ("/", "200-499")  # path and matcher of a check that needs no database


class RotatedPassword(ServiceFault):
    """The password is changed in PostgreSQL and in the secret; running tasks keep the old one.

    The new password stays: the fault is mended by new tasks, as on AWS. Meanwhile the
    load balancer checks a path without the database, else ECS itself would replace the tasks.
    """

    def prepare(self, handles: SandboxHandles) -> FaultState:
        group = probes.target_group(handles, self.spec)
        return {
            "group": group["TargetGroupArn"],
            "path": group["HealthCheckPath"],
            "matcher": group["Matcher"]["HttpCode"],
        }

    def inject(self, handles: SandboxHandles, state: FaultState) -> FaultState:
        from ops.sandbox.database import schema
        from ops.sandbox.seed.names import SECRET

        _check(handles, state["group"], *_SHALLOW)
        handles.database.store_password(secrets.token_urlsafe(18))
        login = handles.database.login
        schema.create(handles.database.admin, login)
        client = handles.clients.secrets
        value = json.loads(client.get_secret_value(SecretId=SECRET)["SecretString"])
        text = json.dumps({**value, "password": login.password})
        client.put_secret_value(SecretId=SECRET, SecretString=text)
        end_sessions(handles)
        return {"changed": datetime.now(UTC).isoformat()}

    def is_present(self, handles: SandboxHandles, state: FaultState) -> bool:
        """Whether a running task is older than the change."""
        changed = datetime.fromisoformat(state["changed"]) if "changed" in state else None
        return changed is None or any(
            each["startedAt"] < changed for each in probes.running_tasks(handles, self.spec)
        )

    def is_visible(self, handles: SandboxHandles, state: FaultState) -> bool:
        return probes.status(handles, "/api/health") == 503

    def remove(self, handles: SandboxHandles, state: FaultState) -> None:
        _check(handles, state["group"], state["path"], state["matcher"])
        if self.is_present(handles, state):
            self._update(handles, forceNewDeployment=True)

    def remove_leftovers(self, database: Server, state: FaultState) -> None:
        from ops.sandbox.database import schema

        schema.create(database.admin, database.login)


def _check(handles: SandboxHandles, group: str, path: str, matcher: str) -> None:
    handles.clients.elb.modify_target_group(
        TargetGroupArn=group, HealthCheckPath=path, Matcher={"HttpCode": matcher}
    )


class RequiredTls(FaultInjector):
    """PostgreSQL accepts only connections with TLS, as RDS does with rds.force_ssl."""

    def prepare(self, handles: SandboxHandles) -> FaultState:
        with connect(handles.database.admin) as connection:
            [library] = connection.execute("SHOW ssl_library").fetchone()
        if not library:
            raise Refused(
                "fault database-tls-required",
                "this machine's PostgreSQL has no TLS: it was built without an SSL library",
                "install your system's postgresql package, then: inv sandbox.up",
            )
        return {}

    def inject(self, handles: SandboxHandles, state: FaultState) -> FaultState:
        handles.database.require_tls(True)
        end_sessions(handles)
        return {}

    def is_visible(self, handles: SandboxHandles, state: FaultState) -> bool:
        from ops.sandbox.seed.names import BACKEND

        return probes.none_healthy(handles, BACKEND)

    def is_present(self, handles: SandboxHandles, state: FaultState) -> bool:
        import psycopg

        try:
            with connect(handles.database.login, sslmode="disable"):
                return False
        except psycopg.OperationalError as error:
            return "pg_hba.conf" in str(error)

    def remove(self, handles: SandboxHandles, state: FaultState) -> None:
        self.remove_leftovers(handles.database, state)

    def is_healthy(self, handles: SandboxHandles, state: FaultState) -> bool:
        return not self.is_present(handles, state) and backend_healthy(handles)

    def remove_leftovers(self, database: Server, state: FaultState) -> None:
        database.require_tls(False)
