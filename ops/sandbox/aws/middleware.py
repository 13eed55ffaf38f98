"""The middleware of the AWS endpoint: call counts, latency, throttling and denials.

Emulates the distance to AWS (`latency` seconds added to every call), its rate limits
(`throttle(n)`: the next n calls are rejected with HTTP 400, which every SDK retries), a key of
another account (`move`), and IAM's denial of one action to one key (`deny`). A call that moto does
not know is `NotImplemented`, one that fails inside the emulation an `InternalFailure`, in the
format of the call's protocol. Differs from AWS: those two codes are the sandbox's own, and a
rejection depends only on the count, or on key and action.
"""

from __future__ import annotations

import io
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qs

from ops.sandbox.aws.refusals import Start, refuse, target
from ops.sandbox.aws.signature import ACCESS_KEY
from ops.sandbox.contracts import ACCOUNT


class Gate:
    """WSGI middleware around moto.

    `calls` counts by action for JSON protocols (`DescribeServices`), else by HTTP method.
    """

    def __init__(self, application: Callable[..., Iterable[bytes]], latency: float = 0.0) -> None:
        self.application = application
        self.latency = latency
        self.calls: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._to_throttle = 0
        self._moved: dict[str, str] = {}
        self._denied: set[tuple[str, str]] = set()

    def throttle(self, calls: int) -> None:
        """Reject the next `calls` calls."""
        with self._lock:
            self._to_throttle = calls

    def move(self, key: str, account: str | None) -> None:
        """Assign the access key `key` to `account`; None restores the sandbox's own."""
        with self._lock:
            self._moved = (
                {**self._moved, key: account}
                if account
                else {each: to for each, to in self._moved.items() if each != key}
            )

    def deny(self, key: str, action: str) -> None:
        """Deny `action` (`service:Name`, as IAM writes it) to the access key `key`."""
        with self._lock:
            self._denied = {*self._denied, (key, action)}

    def allow(self, key: str, action: str) -> None:
        """Remove a denial."""
        with self._lock:
            self._denied = self._denied - {(key, action)}

    def __call__(self, environ: dict[str, Any], start_response: Start) -> Iterable[bytes]:
        if self.latency:
            time.sleep(self.latency)
        if self._counted(environ):
            return refuse(environ, start_response, 400, "ThrottlingException", "Rate exceeded")
        key = str(environ.get(ACCESS_KEY, ""))
        if key in self._moved:
            environ["HTTP_X_MOTO_ACCOUNT_ID"] = self._moved[key]
        denied = {action for each, action in self._denied if each == key}
        if denied and (refused := denied & _actions(environ, denied)):
            return refuse(
                environ, start_response, 403, "AccessDenied", _not_authorized(refused.pop())
            )
        try:
            return self.application(environ, start_response)
        except NotImplementedError as missing:
            return refuse(
                environ,
                start_response,
                501,
                "NotImplemented",
                f"Not emulated by the sandbox: {missing}",
            )
        except Exception as failure:
            traceback.print_exc()
            return refuse(
                environ, start_response, 500, "InternalFailure", f"The sandbox failed: {failure!r}"
            )

    def _counted(self, environ: dict[str, Any]) -> bool:
        """Count the call; return whether to reject it."""
        action = target(environ).rpartition(".")[2] or str(environ.get("REQUEST_METHOD"))
        with self._lock:
            self.calls[action] += 1
            refused = self._to_throttle > 0
            self._to_throttle -= refused
            return refused


def _actions(environ: dict[str, Any], known: set[str]) -> set[str]:
    """Return which of the `known` actions the call may be, in any service.

    Read from its header (JSON), else from its form's `Action` (query).
    """
    name = target(environ).rpartition(".")[2]
    if not name and str(environ.get("CONTENT_TYPE", "")).startswith(
        "application/x-www-form-urlencoded"
    ):
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        name = parse_qs(body.decode(errors="replace")).get("Action", [""])[0]
    return {action for action in known if action.partition(":")[2] == name}


def _not_authorized(action: str) -> str:
    who = f"User: arn:aws:iam::{ACCOUNT}:user/operator is not authorized to perform: {action}"
    return f"{who} because no identity-based policy allows the {action} action"
