"""What stands before the AWS endpoint: a counter of calls, and latency and throttling on demand.

Emulates the distance to AWS (`latency` seconds added to every call) and its rate limits (`throttle(n)`: the next n calls are refused with
HTTP 400, which every SDK retries). A call that moto does not know is `NotImplemented` by name, one that fails inside the emulation an
`InternalFailure`, both as the protocol of the call has it. Differs from AWS: those two codes are the sandbox's own, and what is refused
depends on the count alone.
"""

from __future__ import annotations

import json
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any
from xml.sax.saxutils import escape

Start = Callable[..., Any]


class Gate:
    """WSGI middleware around moto. `calls` counts by action where the protocol is JSON (`DescribeServices`), by HTTP method elsewhere."""

    def __init__(self, application: Callable[..., Iterable[bytes]], latency: float = 0.0) -> None:
        self.application = application
        self.latency = latency
        self.calls: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._to_throttle = 0

    def throttle(self, calls: int) -> None:
        """Refuse the next `calls` calls."""
        with self._lock:
            self._to_throttle = calls

    def __call__(self, environ: dict[str, Any], start_response: Start) -> Iterable[bytes]:
        if self.latency:
            time.sleep(self.latency)
        if self._counted(environ):
            return _refused(environ, start_response, "400 Bad Request", "ThrottlingException", "Rate exceeded")
        try:
            return self.application(environ, start_response)
        except NotImplementedError as missing:
            return _refused(environ, start_response, "501 Not Implemented", "NotImplemented", f"Not emulated by the sandbox: {missing}")
        except Exception as failure:
            traceback.print_exc()
            return _refused(environ, start_response, "500 Internal Server Error", "InternalFailure", f"The sandbox failed: {failure!r}")

    def _counted(self, environ: dict[str, Any]) -> bool:
        """Count the call; whether it is to be refused."""
        action = _target(environ).rpartition(".")[2] or str(environ.get("REQUEST_METHOD"))
        with self._lock:
            self.calls[action] += 1
            refused = self._to_throttle > 0
            self._to_throttle -= refused
            return refused


def _target(environ: dict[str, Any]) -> str:
    return str(environ.get("HTTP_X_AMZ_TARGET", ""))


def _refused(environ: dict[str, Any], start_response: Start, status: str, code: str, message: str) -> list[bytes]:
    """An error answer in JSON where the call came as JSON, else in XML (the query and REST protocols)."""
    if _target(environ):
        kind, body = "application/x-amz-json-1.1", json.dumps({"__type": code, "message": message})
    else:
        kind = "text/xml"
        body = f"<ErrorResponse><Error><Code>{code}</Code><Message>{escape(message)}</Message></Error></ErrorResponse>"
    start_response(status, [("Content-Type", kind), ("x-amzn-errortype", code), ("Content-Length", str(len(body.encode())))])
    return [body.encode()]
