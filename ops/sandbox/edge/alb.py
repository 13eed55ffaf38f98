"""An Application Load Balancer: the choice of a target, and the code of a failure.

Emulated (Elastic Load Balancing user guide, "Troubleshoot your Application Load Balancers"): round
robin over healthy targets; none healthy: fail open, all registered ones get requests; none
registered, or only draining ones: 503; connection refused, reset or a malformed answer: 502; no
connection or no answer in time: 504. A draining target gets no new request, one in flight
completes. `X-Forwarded-*` are set as AWS sets them. A redirect action is answered with its status,
with `#{host}`, `#{path}` and `#{query}` replaced; a fixed response with its body. Differs from AWS:
one listener, no stickiness, no cross-zone weights, no retries (as AWS); a redirect to port 443
leads to the port that the viewer used.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from http.client import HTTPException, responses

from ops.sandbox.contracts import (
    FIXED,
    REDIRECT,
    EdgeConfiguration,
    LoadBalancerBackend,
    TargetState,
)
from ops.sandbox.edge.fault_injection import EdgeFaults
from ops.sandbox.edge.http_server import Headers, Request, Response, plain
from ops.sandbox.edge.origin import NoConnectionInTimeError, Timeouts, exchange


def _eligible(targets: Sequence[TargetState]) -> tuple[TargetState, ...]:
    """Return targets that may get a request: healthy ones, else all that are not draining."""
    registered = tuple(target for target in targets if target.state != "draining")
    return tuple(target for target in registered if target.state == "healthy") or registered


def _forwarded(request: Request) -> Headers:
    """Return the headers for the target: the client's, with `X-Forwarded-*` added.

    `X-Forwarded-For` is appended to; port and proto are set unless present.
    """
    ours = {"x-forwarded-for"}
    kept = tuple((name, value) for name, value in request.headers if name.lower() not in ours)
    before = request.header("X-Forwarded-For")
    added: list[tuple[str, str]] = [
        ("X-Forwarded-For", f"{before}, {request.client}" if before else request.client)
    ]
    for name, value in (
        ("X-Forwarded-Proto", "http"),
        ("X-Forwarded-Port", "80"),
        ("X-Forwarded-Host", request.header("Host") or ""),
    ):
        if request.header(name) is None and value:
            added.append((name, value))
    return (*kept, *added)


def _redirected(action: str, request: Request) -> Response:
    """Return the response of a redirect action, `STATUS HOST PATH QUERY` with placeholders."""
    code, host, path, query = action.split(" ", 3)
    asked_host, (asked_path, _, asked_query) = (
        request.header("Host") or "",
        request.target.partition("?"),
    )
    known = {"#{host}": asked_host, "#{path}": asked_path.lstrip("/"), "#{query}": asked_query}
    for name, value in known.items():
        host, path, query = (
            host.replace(name, value),
            path.replace(name, value),
            query.replace(name, value),
        )
    scheme = request.header("CloudFront-Forwarded-Proto") or "http"
    location = f"{scheme}://{host}{path}" + (f"?{query}" if query else "")
    answer = plain(
        int(code), {301: "Moved Permanently", 302: "Found"}[int(code)], "redirect action"
    )
    return replace(answer, headers=(*answer.headers, ("Location", location)))


def _fixed(action: str) -> Response:
    """Return a fixed response, `STATUS CONTENT-TYPE BODY`."""
    code, kind, body = action.split(" ", 2)
    answer = plain(int(code), responses.get(int(code), ""), "fixed response")
    sent = body.encode()
    headers = (
        *(each for each in answer.headers if each[0] == "Server"),
        ("Content-Type", kind),
        ("Content-Length", str(len(sent))),
    )
    return replace(answer, headers=headers, body=(sent,))


class LoadBalancer:
    """The handler of the ALB's listener."""

    def __init__(
        self,
        backend: LoadBalancerBackend,
        connect_timeout: float,
        target_timeout: float,
        edge_faults: EdgeFaults | None = None,
        configuration: EdgeConfiguration | None = None,
    ) -> None:
        self._backend = backend
        self._configuration = configuration or EdgeConfiguration()
        self._edge_faults = edge_faults or EdgeFaults()
        self._timeouts = Timeouts(connect_timeout, target_timeout)
        self._turns: defaultdict[str, Iterator[int]] = defaultdict(itertools.count)
        self._lock = threading.Lock()

    def __call__(self, request: Request) -> Response | None:
        group = self._backend.route(request.path)
        if group is None:
            return None  # no listener accepts the connection
        if group.startswith(FIXED):
            return _fixed(group.removeprefix(FIXED))
        if group.startswith(REDIRECT):
            return _redirected(group.removeprefix(REDIRECT), request)
        candidates = _eligible(self._backend.targets(group))
        if not candidates:
            return plain(503, "Service Temporarily Unavailable", "no registered targets")
        target = candidates[self._turn(group) % len(candidates)]
        return self._ask(target, request)

    def _turn(self, group: str) -> int:
        with self._lock:
            return next(self._turns[group])

    def _ask(self, target: TargetState, request: Request) -> Response:
        where = f"{target.address}:{target.port}"
        idle, late = self._configuration.idle_timeout(), self._edge_faults.delay(request.path)
        if idle is not None and late > idle:
            time.sleep(idle)
            return plain(504, "Gateway Time-out", f"{where} no answer within {idle:g} s")
        try:
            answer = self._edge_faults.apply(
                "target", request.path, lambda: self._exchange(target, request)
            )
        except TimeoutError as exc:
            return plain(504, "Gateway Time-out", f"{where} {exc}")
        except (OSError, HTTPException) as exc:
            return plain(502, "Bad Gateway", f"{where} {type(exc).__name__} {exc}")
        return Response(
            answer.status, answer.reason, answer.headers, answer.body, answer.close, where
        )

    def _exchange(self, target: TargetState, request: Request) -> Response:
        if (
            not target.reachable
        ):  # a security group drops packets, it refuses nothing: the time-out tells
            time.sleep(self._timeouts.connect)
            raise NoConnectionInTimeError("no connection in time")
        idle = self._configuration.idle_timeout()
        timeouts = replace(
            self._timeouts, read=min(self._timeouts.read, idle or self._timeouts.read)
        )
        return exchange(target.address, target.port, request, _forwarded(request), timeouts)
