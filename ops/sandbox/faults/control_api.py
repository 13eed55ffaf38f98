"""The fault API on the supervisor's control port: list faults, break one, mend one or all.

Requests need a token, created at each `up` in a file that only its owner can read. A web page in a
browser, or another user of this machine, can reach the port but not the file.
"""

from __future__ import annotations

import hmac
import json
import secrets
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ops.core.errors import ConfigError, OpsError, error_kind
from ops.postgres.server.cluster import write_private
from ops.sandbox.contracts import Paths
from ops.sandbox.edge.http_server import Request, Response
from ops.sandbox.faults.active_faults import ActiveFaults

PREFIX = "/faults"
_LONGEST = 4096  # bytes of an order


@dataclass
class ControlApi:
    """Answers requests below /faults. `active_faults` is None until the sandbox is ready."""

    paths: Paths
    active_faults: ActiveFaults | None = None
    token: str = field(default_factory=lambda: secrets.token_urlsafe(32))

    def open(self) -> None:
        """Write the token to its file."""
        write_private(self.paths.token, self.token)

    def close(self) -> None:
        self.paths.token.unlink(missing_ok=True)

    def __call__(self, request: Request) -> Response:
        given = (request.header("Authorization") or "").removeprefix("Bearer ")
        if not hmac.compare_digest(given.encode(), self.token.encode()):
            return _json_answer(
                403,
                {
                    "error": {
                        "what": "the sandbox's control port",
                        "why": "the token is wrong or missing",
                        "next": "",
                    }
                },
            )
        if self.active_faults is None:
            return _json_answer(
                503,
                {
                    "error": {
                        "what": "the sandbox is not ready",
                        "why": "it is still starting",
                        "next": "inv sandbox.status",
                    }
                },
            )
        try:
            return _json_answer(200, self._serve(self.active_faults, request))
        except OpsError as problem:
            return _json_answer(409, {"kind": error_kind(problem), **problem.as_document()})
        except Exception as bug:
            traceback.print_exc()
            log = self.paths.logs / "supervisor.log"
            return _json_answer(
                500,
                OpsError(
                    f"the sandbox failed: {bug!r}", "this is a bug in the sandbox", f"see {log}"
                ).as_document(),
            )

    @staticmethod
    def _serve(active_faults: ActiveFaults, request: Request) -> dict[str, Any]:
        if request.method == "GET":
            return {"faults": active_faults.rows()}
        orders: dict[str, Callable[[str], Any]] = {
            "break": active_faults.break_,
            "mend": active_faults.mend,
            "mend-all": lambda name: active_faults.mend_all(),
        }
        verb = request.path.removeprefix(f"{PREFIX}/")
        if request.method != "POST" or verb not in orders:
            raise ConfigError(
                f"{request.method} {request.path}",
                f"known: POST {PREFIX}/ and one of {', '.join(orders)}",
            )
        done = orders[verb](_requested_fault(request))
        return {
            "done": [each.as_document() for each in (done if isinstance(done, list) else [done])]
        }


def _requested_fault(request: Request) -> str:
    """Return the name of the fault in a request. Raises ConfigError."""
    body = b""
    for block in request.body:
        body += block
        if len(body) > _LONGEST:
            raise ConfigError("a request to the control port", f"longer than {_LONGEST} bytes")
    try:
        return str(json.loads(body or b"{}").get("fault", ""))
    except (ValueError, AttributeError) as exc:
        raise ConfigError("a request to the control port", f"no JSON object: {exc}") from exc


def _json_answer(status: int, document: dict[str, Any]) -> Response:
    body = json.dumps(document).encode()
    headers = (
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store"),
    )
    return Response(
        status,
        {200: "OK", 403: "Forbidden", 409: "Conflict"}.get(status, "Error"),
        headers,
        (body,),
    )
