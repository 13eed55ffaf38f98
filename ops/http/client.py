"""Asking a page or an API path what the runbook's section 5 asks: the status, the media type, and
what the body says.

A time limit here is for everything together (name, connection, redirects, every byte of the
answer): each look runs in a thread that is left behind when its time is over, since a server that
drips a byte now and then satisfies every per-read timeout."""

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
AT_ONCE = 32  # connections of one set of looks
_SLACK_S = 0.02  # for a look to tell by itself that its time is over
_RETRY_SLOW_FOR_S = 5.0  # longest time for asking once more
# no compression: a small answer can't grow into a huge one
HEADERS = {"user-agent": "ecs-runbook", "accept": "*/*", "accept-encoding": "identity"}


@dataclass(frozen=True)
class HttpExchange:
    """What came back, or `problem`: why nothing (more) did."""

    status: int = 0
    content_type: str = ""
    body: bytes = b""
    whole: bool = True
    charset: str = "utf-8"
    problem: str = ""
    cause: str = ""


@dataclass
class HttpRequest:
    """One endpoint being looked at. `page` is replaced as more is known, so that a limit reached
    still tells how far it got.

    The clock starts when it has its turn: waiting for others is not the page's time. `host`: who is
    asked for at another's address."""

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
        except Exception as error:  # in a thread: whatever it is, it is this endpoint's problem
            self.page = replace(self.page, problem=errors.problem(error), cause=errors.cause(error))
        with ended:
            self.took = time.monotonic() - (self.began or 0.0)
            ended.notify()

    def judged(self, endpoint: Endpoint | None = None) -> Answer:
        """As it answered, against `endpoint`'s expectations (default: its own)."""
        return answer(self, endpoint or self.endpoint)


def probe(base: str, endpoint: Endpoint, timeout: float = 10.0) -> Answer:
    """How `endpoint` answers below `base` (an http:// or https:// address), within `timeout`
    seconds altogether.
    """
    return probe_all(base, [endpoint], timeout)[0]


def probe_all(
    base: str, endpoints: Sequence[Endpoint], timeout: float = 10.0
) -> tuple[Answer, ...]:
    """All endpoints at once, in their order; what is not right is the answer's `problem`. Raises
    ConfigError (base, expectation).
    """
    return tuple(look.judged() for look in fetch_all(base, endpoints, timeout))


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
    """All endpoints, 32 at a time, each within `timeout` seconds of its turn, to be judged. Raises
    ConfigError (base, expectation).

    `within`: seconds for all together. `again`: whatever took longer is asked once more when all
    the others are done, and the better time counts, since the first is also this machine's. `host`:
    what is asked for at `base` (Host header, and TLS's server name), where that is not its own
    address. `authority`: CA bundle."""
    import httpx

    root = checked(base)
    for endpoint in endpoints:
        check_expressions(endpoint)
    if not endpoints:
        return ()
    ends = time.monotonic() + (within if within is not None else timeout * len(endpoints))
    local = errors.is_loopback(
        urlsplit(root).hostname or ""
    )  # this machine's proxy has no business there
    limits = httpx.Limits(
        max_connections=None, max_keepalive_connections=AT_ONCE
    )  # we count ourselves, those left behind not
    client = httpx.Client(
        headers=HEADERS,
        timeout=timeout,
        trust_env=not local,
        follow_redirects=False,
        verify=context(authority),
        limits=limits,
    )
    looks = [HttpRequest(root + endpoint.path, endpoint, timeout, host) for endpoint in endpoints]
    left = _run_bounded(client, looks, ends, AT_ONCE)
    if again is not None:
        left |= _retry_slow(client, looks, again, ends)
    if not left:
        client.close()
    return tuple(looks)


def _run_bounded(client: Any, looks: Sequence[HttpRequest], ends: float, at_once: int) -> bool:
    """Run them, so many at a time, none after `ends` (monotonic). True where one had to be left
    behind.
    """
    ended = threading.Condition()
    waiting, running, left = deque(looks), list[HttpRequest](), False
    with ended:
        while (waiting or running) and time.monotonic() < ends:
            late = [
                look for look in running if look.took is None and time.monotonic() >= look.deadline
            ]
            left = left or bool(late)
            running = [look for look in running if look.took is None and look not in late]
            while waiting and len(running) < at_once:
                running.append(look := waiting.popleft())
                look.page, look.began = (
                    HttpExchange(problem="no answer in time", cause="page_hangs"),
                    time.monotonic(),
                )
                threading.Thread(target=look.run, args=(client, ended), daemon=True).start()
            if running:
                ended.wait(
                    max(0.0, min(ends, *(look.deadline for look in running)) - time.monotonic())
                    + _SLACK_S
                )
    return left or any(look.took is None for look in looks)


def _retry_slow(client: Any, looks: Sequence[HttpRequest], longer_than: float, ends: float) -> bool:
    """Once more what answered and took longer, the slowest first; the faster of two whole answers
    counts.
    """
    slow = [
        look
        for look in looks
        if look.took is not None and look.took > longer_than and not look.page.problem
    ]
    slow = sorted(slow, key=lambda look: -(look.took or 0.0))
    second = [HttpRequest(look.url, look.endpoint, look.timeout, look.host) for look in slow]
    left = (
        _run_bounded(client, second, min(ends, time.monotonic() + _RETRY_SLOW_FOR_S), AT_ONCE // 2)
        if second
        else False
    )
    for look, better in zip(slow, second, strict=True):
        if better.took is not None and not better.page.problem and better.took < (look.took or 0.0):
            look.page, look.took = better.page, better.took
    return left


@cache
def context(authority: str | None) -> ssl.SSLContext:
    """What certificates are checked with: a bundle, or the system's authorities. Raises ConfigError
    for a bundle that can't be read.
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


def _follow(client: Any, look: HttpRequest) -> HttpExchange:
    """The page at the end of the redirects; a loop, or more than five, is a problem that shows the
    way.
    """
    url, asked, way = look.url, [look.url], [look.url]
    while True:
        page, location = _get(client, url, look)
        if location is None or page.problem or page.status == look.endpoint.status:
            return page
        way.append(location)
        shown = " → ".join(way)
        if urlsplit(location).scheme not in ("http", "https"):
            return replace(
                page,
                problem=f"redirected to an address that is no web page: {shown}",
                cause="wrong_status",
            )
        there = redirects.own_address(look.url, look.host, location)
        if there is None:
            return replace(
                page,
                problem=f"it leaves this address for another: {shown}",
                cause="redirected_away",
            )
        if there in asked:
            return replace(page, problem=f"redirect loop: {shown}", cause="redirect_loop")
        if len(asked) > _REDIRECTS:
            return replace(
                page, problem=f"more than {_REDIRECTS} redirects: {shown}", cause="redirect_loop"
            )
        asked.append(url := there)


def _get(client: Any, url: str, look: HttpRequest) -> tuple[HttpExchange, str | None]:
    """One exchange: the page, and where it redirects to."""
    left = max(look.deadline - time.monotonic(), 0.001)
    with client.stream("GET", url, timeout=left, **_host_override(look, url)) as response:
        page = HttpExchange(
            response.status_code,
            _media_type(response),
            charset=response.charset_encoding or "utf-8",
            problem="the answer did not end in time",
            cause="page_hangs",
        )
        look.page = page
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
            if time.monotonic() > look.deadline:
                return page, None
    return replace(page, body=bytes(body), problem="", cause=""), None


def _host_override(look: HttpRequest, url: str) -> dict[str, Any]:
    """The asked host, at the look's own address only: a redirect elsewhere says itself whom it
    means.
    """
    if look.host is None or urlsplit(url).hostname != urlsplit(look.url).hostname:
        return {}
    return {
        "headers": {"host": look.host},
        "extensions": {"sni_hostname": look.host.partition(":")[0]},
    }


def _media_type(response: Any) -> str:
    """`application/json` of `application/json; charset=utf-8` (RFC 9110, section 8.3)."""
    return str(response.headers.get("content-type", "")).partition(";")[0].strip().lower()


def answer(look: HttpRequest, endpoint: Endpoint) -> Answer:
    page = look.page
    problem, why = page.problem, page.cause
    if problem.endswith("in time"):
        problem = f"{problem} ({look.timeout:.3g} s)"
    if not problem:
        problem = "; ".join(
            differences(endpoint, page.status, page.content_type, _text(page), page.whole)
        )
        why = cause(endpoint, page.status, page.content_type) if problem else ""
    took = (
        look.took
        if look.took is not None
        else time.monotonic() - look.began
        if look.began is not None
        else 0.0
    )
    return Answer(endpoint.path, page.status, page.content_type, round(took, 3), problem, why)


def _text(page: HttpExchange) -> str:
    try:
        return page.body.decode(page.charset, "replace")
    except LookupError:
        return page.body.decode("utf-8", "replace")
