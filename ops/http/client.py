"""Probe pages and API paths as the runbook's section 5 does: status, media type, body.

A timeout here covers everything: name resolution, connection, redirects and every byte of the
response. Each request runs in a thread that is abandoned when its time is up, since a server that
sends a byte now and then satisfies every per-read timeout.
"""

from __future__ import annotations

import ssl
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ops.core.errors import ConfigError
from ops.core.redaction.redact import one_line
from ops.http import errors, redirects
from ops.http.assertions import cause, check_expressions, differences
from ops.http.facts import Answer

if TYPE_CHECKING:
    from ops.core.config.settings import Endpoint

_BODY_LIMIT = 1024 * 1024  # bytes that are read of a body
_REDIRECTS = 5
AT_ONCE = 32  # connections of one set of requests
_SLACK_S = 0.02  # for a request to report its own timeout
_RETRY_SLOW_FOR_S = 5.0  # longest time for repeating slow requests
# no compression: a small answer can't grow into a huge one
HEADERS = {"user-agent": "ecs-runbook", "accept": "*/*", "accept-encoding": "identity"}


@dataclass(frozen=True)
class HttpExchange:
    """A response, or in `problem` the reason why none (or only a part) arrived."""

    status: int = 0
    content_type: str = ""
    body: bytes = b""
    whole: bool = True
    charset: str = "utf-8"
    problem: str = ""
    cause: str = ""


@dataclass
class HttpRequest:
    """A request to an endpoint. `page` is replaced as more is known, for use after a timeout.

    The clock starts when the request starts: time in the queue does not count. `host` is the host
    name to request when it differs from the address.
    """

    url: str
    endpoint: Endpoint
    timeout: float
    host: str | None = None
    began: float | None = None
    page: HttpExchange = HttpExchange(
        problem=f"not asked: {AT_ONCE} others had no answer yet", cause="not_asked"
    )
    took: float | None = None

    @property
    def deadline(self) -> float:
        return (self.began if self.began is not None else time.monotonic()) + self.timeout

    def run(self, client: Any, ended: threading.Condition) -> None:
        try:
            self.page = _follow(client, self)
        except Exception as error:  # in a thread: any error belongs to this endpoint
            self.page = replace(self.page, problem=errors.problem(error), cause=errors.cause(error))
        with ended:
            self.took = time.monotonic() - (self.began or 0.0)
            ended.notify()

    def to_answer(self, endpoint: Endpoint | None = None) -> Answer:
        """The answer, checked against the expectations of `endpoint` (default: its own)."""
        return answer(self, endpoint or self.endpoint)


def probe(base: str, endpoint: Endpoint, timeout: float = 10.0) -> Answer:
    """Probe `endpoint` below `base` (an http:// or https:// address), within `timeout` seconds."""
    return probe_all(base, [endpoint], timeout)[0]


def probe_all(
    base: str,
    endpoints: Sequence[Endpoint],
    timeout: float = 10.0,
    *,
    authority: str | None = None,
) -> tuple[Answer, ...]:
    """Probe all endpoints at once, in order; a failure is the `problem` of its answer.

    `authority` is a CA bundle. Raises ConfigError for an invalid base address or expectation.
    """
    requests = fetch_all(base, endpoints, timeout, authority=authority)
    return tuple(request.to_answer() for request in requests)


def fetch_all(
    base: str,
    endpoints: Sequence[Endpoint],
    timeout: float = 10.0,
    *,
    within: float | None = None,
    again: float | None = None,
    host: str | None = None,
    authority: str | None = None,
) -> tuple[HttpRequest, ...]:
    """Request all endpoints, 32 at a time, each within `timeout` seconds of its start.

    `within` is the number of seconds for all of them together. With `again`, a response that took
    longer is requested once more after all others have finished, and the faster one counts, since
    the first time includes this machine's own load. `host` is the host to request at `base` (Host
    header and TLS server name) if it differs from the address. `authority` is a CA bundle. Raises
    ConfigError for an invalid base address or expectation.
    """
    import httpx

    root = checked(base)
    for endpoint in endpoints:
        check_expressions(endpoint)
    if not endpoints:
        return ()
    ends = time.monotonic() + (within if within is not None else timeout * len(endpoints))
    local = errors.is_loopback(
        urlsplit(root).hostname or ""
    )  # a proxy does not apply to loopback addresses
    limits = httpx.Limits(
        max_connections=None, max_keepalive_connections=AT_ONCE
    )  # counted here, without abandoned ones
    client = httpx.Client(
        headers=HEADERS,
        timeout=timeout,
        trust_env=not local,
        follow_redirects=False,
        verify=context(authority),
        limits=limits,
    )
    requests = [
        HttpRequest(root + endpoint.path, endpoint, timeout, endpoint.host or host)
        for endpoint in endpoints
    ]
    left = _run_bounded(client, requests, ends, AT_ONCE)
    if again is not None:
        left |= _retry_slow(client, requests, again, ends)
    if not left:
        client.close()
    return tuple(requests)


def _run_bounded(client: Any, requests: Sequence[HttpRequest], ends: float, at_once: int) -> bool:
    """Run requests, `at_once` at a time, starting none after `ends` (monotonic).

    Returns True if one had to be abandoned.
    """
    ended = threading.Condition()
    pending, running, left = deque(requests), list[HttpRequest](), False
    with ended:
        while (pending or running) and time.monotonic() < ends:
            late = [
                request
                for request in running
                if request.took is None and time.monotonic() >= request.deadline
            ]
            left = left or bool(late)
            running = [
                request for request in running if request.took is None and request not in late
            ]
            while pending and len(running) < at_once:
                running.append(request := pending.popleft())
                request.page, request.began = (
                    HttpExchange(problem="no answer in time", cause="page_hangs"),
                    time.monotonic(),
                )
                threading.Thread(target=request.run, args=(client, ended), daemon=True).start()
            if running:
                ended.wait(
                    max(
                        0.0,
                        min(ends, *(request.deadline for request in running)) - time.monotonic(),
                    )
                    + _SLACK_S
                )
    return left or any(request.took is None for request in requests)


def _retry_slow(
    client: Any, requests: Sequence[HttpRequest], longer_than: float, ends: float
) -> bool:
    """Repeat slow responses, the slowest first; the faster of two complete responses counts."""
    slow = [
        request
        for request in requests
        if request.took is not None and request.took > longer_than and not request.page.problem
    ]
    slow = sorted(slow, key=lambda request: -(request.took or 0.0))
    second = [
        HttpRequest(request.url, request.endpoint, request.timeout, request.host)
        for request in slow
    ]
    left = (
        _run_bounded(client, second, min(ends, time.monotonic() + _RETRY_SLOW_FOR_S), AT_ONCE // 2)
        if second
        else False
    )
    for request, better in zip(slow, second, strict=True):
        if (
            better.took is not None
            and not better.page.problem
            and better.took < (request.took or 0.0)
        ):
            request.page, request.took = better.page, better.took
    return left


@cache
def context(authority: str | None) -> ssl.SSLContext:
    """The TLS context for a CA bundle, or for the system's authorities.

    Raises ConfigError if the bundle can't be read.
    """
    try:
        return ssl.create_default_context(cafile=authority)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"CA bundle {authority}", one_line(error), "correct `site_ca` in invoke.yaml"
        ) from None


def checked(base: str) -> str:
    parts = urlsplit(base)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(
            f"address {base!r}",
            "it must start with http:// or https:// and name a host",
            "correct `site` or `alb` in invoke.yaml",
        )
    return base.rstrip("/")


def _follow(client: Any, request: HttpRequest) -> HttpExchange:
    """The page at the end of the redirects; a loop, or more than five, is a problem."""
    url, visited, hops = request.url, [request.url], [request.url]
    while True:
        page, location = _get(client, url, request)
        if location is None or page.problem or page.status == request.endpoint.status:
            return page
        hops.append(location)
        route = " → ".join(hops)
        if urlsplit(location).scheme not in ("http", "https"):
            return replace(
                page,
                problem=f"redirected to an address that is no web page: {route}",
                cause="wrong_status",
            )
        target = redirects.own_address(request.url, request.host, location)
        if target is None:
            return replace(
                page,
                problem=f"it leaves this address for another: {route}",
                cause="redirected_away",
            )
        if target in visited:
            return replace(page, problem=f"redirect loop: {route}", cause="redirect_loop")
        if len(visited) > _REDIRECTS:
            return replace(
                page, problem=f"more than {_REDIRECTS} redirects: {route}", cause="redirect_loop"
            )
        visited.append(url := target)


def _get(client: Any, url: str, request: HttpRequest) -> tuple[HttpExchange, str | None]:
    """Send one request; returns the page, and the location it redirects to."""
    left = max(request.deadline - time.monotonic(), 0.001)
    method, options = request.endpoint.method, _own_headers(request, url)
    with client.stream(method, url, timeout=left, **options) as response:
        page = HttpExchange(
            response.status_code,
            _media_type(response),
            charset=response.charset_encoding or "utf-8",
            problem="the answer did not end in time",
            cause="page_hangs",
        )
        request.page = page
        location = response.headers.get("location") if response.is_redirect else None
        if location is not None:
            return replace(page, problem="", cause=""), str(response.url.join(location))
        body = bytearray()
        for chunk in response.iter_bytes():
            body += chunk
            if len(body) > _BODY_LIMIT:
                return replace(
                    page, body=bytes(body[:_BODY_LIMIT]), whole=False, problem="", cause=""
                ), None
            if time.monotonic() > request.deadline:
                return page, None
    return replace(page, body=bytes(body), problem="", cause=""), None


def _own_headers(request: HttpRequest, url: str) -> dict[str, Any]:
    """The endpoint's headers and the overridden host name, at the request's own address only.

    A redirect to another address names its own host, and gets no headers of this one.
    """
    if urlsplit(url).hostname != urlsplit(request.url).hostname:
        return {}
    headers = {**request.endpoint.headers}
    if request.host is None:
        return {"headers": headers}
    return {
        "headers": {**headers, "host": request.host},
        "extensions": {"sni_hostname": request.host.partition(":")[0]},
    }


def _media_type(response: Any) -> str:
    """`application/json` from `application/json; charset=utf-8` (RFC 9110, section 8.3)."""
    return str(response.headers.get("content-type", "")).partition(";")[0].strip().lower()


def answer(request: HttpRequest, endpoint: Endpoint) -> Answer:
    page = request.page
    problem, why = page.problem, page.cause
    if problem.endswith("in time"):
        problem = f"{problem} ({request.timeout:.3g} s)"
    if not problem:
        problem = "; ".join(
            differences(endpoint, page.status, page.content_type, _text(page), page.whole)
        )
        why = cause(endpoint, page.status, page.content_type) if problem else ""
    took = (
        request.took
        if request.took is not None
        else time.monotonic() - request.began
        if request.began is not None
        else 0.0
    )
    return Answer(
        endpoint.label,
        page.status,
        page.content_type,
        round(took, 3),
        problem,
        why,
        unexpected_status=not page.problem and page.status != endpoint.status,
    )


def _text(page: HttpExchange) -> str:
    try:
        return page.body.decode(page.charset, "replace")
    except LookupError:
        return page.body.decode("utf-8", "replace")
