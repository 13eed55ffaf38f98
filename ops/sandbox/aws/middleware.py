"""What stands before the AWS endpoint: a counter of calls, and latency and throttling on demand.

Emulates the distance to AWS (`latency` seconds added to every call) and its rate limits (`throttle(n)`: the next n calls answer
ThrottlingException, HTTP 400, which every SDK retries). A call that fails inside the emulation is a 500 with a JSON body instead of a
debugger's page.
"""

from __future__ import annotations

import json
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

THROTTLED = json.dumps({"__type": "ThrottlingException", "message": "Rate exceeded"}).encode()


class Gate:
    """WSGI middleware around moto. `calls` counts by action (`AmazonEC2Container...DescribeServices` is `DescribeServices`)."""

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

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        action = str(environ.get("HTTP_X_AMZ_TARGET", "")).rpartition(".")[2] or str(environ.get("REQUEST_METHOD"))
        with self._lock:
            self.calls[action] += 1
            throttled = self._to_throttle > 0
            self._to_throttle -= throttled
        if self.latency:
            time.sleep(self.latency)
        if throttled:
            start_response("400 Bad Request", [("Content-Type", "application/x-amz-json-1.1"), ("x-amzn-errortype", "ThrottlingException")])
            return [THROTTLED]
        try:
            return self.application(environ, start_response)
        except Exception as failure:
            traceback.print_exc()
            start_response("500 Internal Server Error", [("Content-Type", "application/x-amz-json-1.1")])
            return [json.dumps({"__type": "InternalFailure", "message": f"sandbox: {failure!r}"}).encode()]
