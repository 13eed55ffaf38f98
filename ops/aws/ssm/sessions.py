"""Session Manager: open and end sessions that forward a port (StartSession, TerminateSession)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ops.aws.ecs_tasks import ExecSession
from ops.aws.session import AwsSession
from ops.core.errors import OpsError, Refused
from ops.core.redaction.redact import known

DOCUMENT = "AWS-StartPortForwardingSessionToRemoteHost"


class TargetOffline(Refused):
    """The agent of the task or instance has no connection to Systems Manager."""


def forwarding_request(target: str, host: str, port: int) -> dict[str, Any]:
    """The parameters of StartSession that forward a port to `host:port` as `target` sees it.

    Without `localPortNumber`, the Session Manager plugin listens on a free port.
    """
    return {
        "Target": target,
        "DocumentName": DOCUMENT,
        "Parameters": {"host": [host], "portNumber": [str(port)]},
    }


def start(cloud: AwsSession, request: Mapping[str, Any]) -> ExecSession:
    """Open a session (ssm:StartSession); its token becomes known.

    Raises TargetOffline, Refused if the account lacks the document, and Denied.
    """
    target, document = str(request["Target"]), str(request["DocumentName"])
    what = f"session to {target} (ssm:StartSession)"
    offline = TargetOffline(
        what,
        "its agent has no connection to Systems Manager",
        "check its role's ssmmessages permissions and the network's way to ssmmessages",
    )
    missing = Refused(
        what,
        f"Systems Manager has no usable document {document} in {cloud.region}",
        f"see: {cloud.program} ssm describe-document --name {document}",
    )
    answers: dict[str, OpsError] = {"TargetNotConnected": offline, "InvalidDocument": missing}
    client = cloud.client("ssm")
    with cloud.translated(what, answers):
        answer = client.start_session(**request)
        known.add(str(answer["TokenValue"]))
        response = {name: str(answer[name]) for name in ("SessionId", "TokenValue", "StreamUrl")}
        return ExecSession(response, str(client.meta.endpoint_url))


def terminate(cloud: AwsSession, session_id: str) -> None:
    """End a session (ssm:TerminateSession). Raises Denied."""
    with cloud.translated(f"session {session_id} (ssm:TerminateSession)"):
        _ = cloud.client("ssm").terminate_session(SessionId=session_id)["SessionId"]
