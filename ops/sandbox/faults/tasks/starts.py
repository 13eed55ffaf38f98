"""The base of faults that take away what new tasks need: tasks that run are not touched.

The change is made to the account, then new tasks are started (UpdateService with
forceNewDeployment). The fault is visible once ECS says so of the new deployment, in a stopped task
or in an event.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ops.sandbox.faults import probes
from ops.sandbox.faults.base import FaultState, SandboxHandles
from ops.sandbox.faults.services import ServiceFault


@dataclass(frozen=True)
class FailingStarts(ServiceFault):
    """New tasks fail with `sign` in a stop reason or an event."""

    sign: str

    @abstractmethod
    def change(self, handles: SandboxHandles, state: FaultState) -> FaultState:
        """Take away what new tasks need; return any further state needed to give it back."""

    def inject(self, handles: SandboxHandles, state: FaultState) -> FaultState:
        changed = self.change(handles, state)
        self.start_tasks(handles)
        return changed

    def start_tasks(self, handles: SandboxHandles, **fields: Any) -> None:
        """Start new tasks, with these fields of the service changed."""
        self._update(handles, forceNewDeployment=True, **fields)

    def is_visible(self, handles: SandboxHandles, state: FaultState) -> bool:
        return any(self.sign in text for text in self._texts(handles))

    def place(self, handles: SandboxHandles) -> dict[str, Any]:
        """The network configuration of the service (`awsvpcConfiguration`)."""
        found: dict[str, Any] = probes.service(handles, self.spec)["networkConfiguration"]
        placed: dict[str, Any] = found["awsvpcConfiguration"]
        return placed

    def _texts(self, handles: SandboxHandles) -> Iterator[str]:
        """What ECS says of the newest deployment: its events, and reasons of stopped tasks."""
        service = probes.service(handles, self.spec)
        newest = service["deployments"][0]
        for event in service["events"]:
            if event["createdAt"] >= newest["createdAt"]:
                yield event["message"]
        for task in probes.stopped_tasks(handles, self.spec):
            if task.get("startedBy") == newest["id"]:
                yield task.get("stoppedReason", "")
