"""Session Manager: StartSession and TerminateSession for the tasks of ECS services.

Emulates StartSession with AWS-StartPortForwardingSessionToRemoteHost: the checks of document,
parameters and target, which is a running container whose task has ECS Exec; TerminateSession ends a
session. Differs from AWS: nothing listens at the stream URL, so the real Session Manager plugin
cannot attach; there are no EC2 instances, and other documents are refused.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Any

from moto.core.exceptions import JsonRESTError
from moto.ssm.responses import SimpleSystemManagerResponse

from ops.sandbox.aws.ecs.render import container_view
from ops.sandbox.aws.ecs.store import EcsStore
from ops.sandbox.aws.overrides import answer
from ops.sandbox.contracts import OPERATOR

_DOCUMENT = "AWS-StartPortForwardingSessionToRemoteHost"
_PARAMETERS = {"host", "portNumber", "localPortNumber"}
_NOWHERE = "wss://127.0.0.1:9/v1/data-channel"  # the discard port: nothing of the sandbox


@dataclass
class Sessions:
    """The open sessions: id → target."""

    ecs: EcsStore
    opened: dict[str, str] = field(default_factory=dict)

    def install(self) -> None:
        for action in ("start_session", "terminate_session"):
            answer(SimpleSystemManagerResponse, action, getattr(self, action))

    def start_session(self, response: Any) -> dict[str, Any]:
        target = str(response._get_param("Target") or "")
        document = str(response._get_param("DocumentName") or "")
        given = set(response._get_param("Parameters") or {})
        if document != _DOCUMENT:
            raise JsonRESTError("InvalidDocument", f"Document with name {document} does not exist.")
        if not {"host"} <= given <= _PARAMETERS:
            raise JsonRESTError("InvalidParameters", "Parameters do not match the document's.")
        if not self._is_connected(target):
            raise JsonRESTError("TargetNotConnected", f"{target} is not connected.")
        session = f"{OPERATOR}-{secrets.token_hex(9)}"
        self.opened[session] = target
        return {
            "SessionId": session,
            "TokenValue": secrets.token_urlsafe(48),
            "StreamUrl": f"{_NOWHERE}/{session}?role=publish_subscribe",
        }

    def terminate_session(self, response: Any) -> dict[str, Any]:
        session = str(response._get_param("SessionId") or "")
        self.opened.pop(session, None)
        return {"SessionId": session}

    def _is_connected(self, target: str) -> bool:
        """Whether `target` is `ecs:CLUSTER_TASK_RUNTIME` of a container that ECS Exec enters."""
        cluster, _, rest = target.removeprefix("ecs:").partition("_")
        task_id, _, runtime = rest.partition("_")
        with self.ecs.lock:
            task = self.ecs.tasks.get(task_id)
            if task is None or task.cluster != cluster or not task.enable_execute_command:
                return False
            return any(
                container_view(task, each).get("runtimeId") == runtime
                for each in task.containers
                if each.status == "RUNNING"
            )
