"""A deploy that was killed, and left its lock in the state bucket."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from datetime import UTC, datetime

from ops.core import host_identity
from ops.sandbox.faults.account import read_lock
from ops.sandbox.faults.base import FaultInjector, FaultState, SandboxHandles

_KEY = "ops/locks/sandbox/backend.json"  # as ops/state/lock.py has it


class LeftDeployLock(FaultInjector):
    """A lock whose process, on this machine, has ended without releasing it."""

    def prepare(self, handles: SandboxHandles) -> FaultState:
        return {"id": secrets.token_hex(8)}

    def inject(self, handles: SandboxHandles, state: FaultState) -> FaultState:
        from ops.sandbox.seed.names import STATE_BUCKET

        ended = subprocess.Popen([sys.executable, "-c", ""])
        ended.wait()
        lock = {
            "id": state["id"],
            "owner": host_identity.owner(),
            "host": host_identity.host(),
            "commit": "",
            "reason": "backend.deploy",
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "process": f"{host_identity.here()}/{ended.pid}",
            "released": False,
            "beat": 3,
        }
        handles.clients.s3.put_object(
            Bucket=STATE_BUCKET,
            Key=_KEY,
            Body=json.dumps(lock),
            ContentType="application/json",
        )
        return {}

    def is_visible(self, handles: SandboxHandles, state: FaultState) -> bool:
        found = read_lock(handles, _KEY) or {}
        return found.get("id") == state["id"] and not found["released"]

    def is_present(self, handles: SandboxHandles, state: FaultState) -> bool:
        return self.is_visible(handles, state)

    def remove(self, handles: SandboxHandles, state: FaultState) -> None:
        from ops.sandbox.seed.names import STATE_BUCKET

        if self.is_visible(handles, state):
            handles.clients.s3.delete_object(Bucket=STATE_BUCKET, Key=_KEY)
