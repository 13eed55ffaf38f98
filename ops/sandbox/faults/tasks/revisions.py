"""Faults in a new revision of a task definition: log group, secret's key, variables, containers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ops.sandbox.faults import probes
from ops.sandbox.faults.base import FaultState, SandboxHandles
from ops.sandbox.faults.services import BadRevision

_NEEDS_VARIABLE = """
import os
os.environ["NODE_ENV"]
"""
_PROXY = """
import sys, time
time.sleep(1)
print("proxy: cannot load configuration: /etc/proxy/proxy.yaml: no such file", flush=True)
sys.exit(2)
"""


class NoLogGroup(BadRevision):
    """The log group of the new revision was never created."""

    def changed(self, container: dict[str, Any]) -> dict[str, Any]:
        found = container["logConfiguration"]
        options = {**found["options"], "awslogs-group": "/ecs/never-created"}
        return {"logConfiguration": {**found, "options": options}}


class NoSecretKey(BadRevision):
    """A variable of the new revision is read from a JSON key that the secret does not have."""

    def changed(self, container: dict[str, Any]) -> dict[str, Any]:
        named = [
            {**each, "valueFrom": each["valueFrom"].replace(":password::", ":passwort::")}
            for each in container["secrets"]
        ]
        return {"secrets": named}


class NoVariable(BadRevision):
    """The program needs NODE_ENV at start, and the new revision does not set it."""

    def changed(self, container: dict[str, Any]) -> dict[str, Any]:
        return {
            "environment": [],
            "entryPoint": ["python3", "-c"],
            "command": [_NEEDS_VARIABLE],
        }


@dataclass(frozen=True)
class UnhealthyCheck(BadRevision):
    """The health check of the new revision's container runs a program that the image lacks."""

    program: str = "curl"

    def changed(self, container: dict[str, Any]) -> dict[str, Any]:
        url = f"http://localhost:{self.spec.port}{self.spec.health_path}"
        command = ["CMD-SHELL", f"{self.program} -f {url} || exit 1"]
        return {"healthCheck": {"command": command, "interval": 5, "timeout": 2, "retries": 3}}

    def is_visible(self, handles: SandboxHandles, state: FaultState) -> bool:
        return any(
            task.get("stoppedReason") == "Task failed container health checks"
            for task in probes.stopped_tasks(handles, self.spec, state["made"])
        )

    def is_present(self, handles: SandboxHandles, state: FaultState) -> bool:
        now = self._container(handles)
        return self.program in " ".join((now.get("healthCheck") or {}).get("command") or ())


class ExitingSidecar(BadRevision):
    """The new revision has an essential side container that exits."""

    def inject(self, handles: SandboxHandles, state: FaultState) -> FaultState:
        own = self._container(handles, state["before"])
        side = {
            "name": "proxy",
            "image": own["image"],
            "essential": True,
            "entryPoint": ["python3", "-c"],
            "command": [_PROXY],
            "logConfiguration": own["logConfiguration"],
        }
        made = self._register(handles, state["before"], {}, more=[side])
        self._update(handles, taskDefinition=made)
        return {"made": made}

    def is_present(self, handles: SandboxHandles, state: FaultState) -> bool:
        now = handles.clients.ecs.describe_task_definition(
            taskDefinition=probes.service(handles, self.spec)["taskDefinition"]
        )["taskDefinition"]
        return any(each["name"] == "proxy" for each in now["containerDefinitions"])

    def remove(self, handles: SandboxHandles, state: FaultState) -> None:
        if self.is_present(handles, state):
            self._update(handles, taskDefinition=state["before"])
        if "made" in state:
            handles.clients.ecs.deregister_task_definition(taskDefinition=state["made"])
