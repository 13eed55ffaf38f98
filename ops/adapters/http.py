"""Asking a page or an API path what the runbook's section 5 asks: the status, the media type, and what the body says.

A time limit here is for everything together (name, connection, redirects, every byte of the answer): each look runs in a thread that is
left behind when its time is over, since a server that drips a byte now and then satisfies every per-read timeout.
"""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ops.adapters import network
from ops.adapters.expectations import cause, check_expressions, differences
from ops.errors import ConfigError
from ops.model import Answer
from ops.redact import one_line

if TYPE_CHECKING:
    from ops.settings import Endpoint

BODY_LIMIT = 1024 * 1024  # bytes that are read of a body
REDIRECTS = 5
AT_ONCE = 32      # connections of one set of looks
# no compression: a small answer can't grow into a huge one
HEADERS = {"user-agent": "ecs-runbook", "accept": "*/*", "accept-encoding": "identity"}


@dataclass(frozen=True)
class Page:
    """What came back, or `problem`: why nothing (more) did."""

    status: int = 0
    content_type: str = ""
    body: bytes = b""
    whole: bool = True
    charset: str = "utf-8"
    problem: str = ""
    cause: str = ""


@dataclass
class Look:
    """One endpoint being looked at. `page` is replaced as more is known, so that a limit reached still tells how far it got."""

    url: str
    endpoint: Endpoint
    deadline: float
    host: str | None = None
    began: float = field(default_factory=time.monotonic)
    page: Page = Page(problem="no answer in time", cause="page_hangs")
    took: float | None = None

    def run(self, client: Any) -> None:
        try:
            self.page = follow(client, self)
        except Exception as error:  # in a thread: whatever it is, it is this endpoint's problem
            self.page = replace(self.page, problem=network.problem(error), cause=network.cause(error))
        self.took = time.monotonic() - self.began


def probe(base: str, endpoint: Endpoint, timeout: float = 10.0) -> Answer:
    """How `endpoint` answers below `base` (an http:// or https:// address), within `timeout` seconds altogether."""
    return probe_all(base, [endpoint], timeout)[0]


def probe_all(
    base: str, endpoints: Sequence[Endpoint], timeout: float = 10.0, *, host: str | None = None, authority: str | None = None
) -> tuple[Answer, ...]:
    """All endpoints at once, in their order; what is not right is the answer's `problem`. Raises ConfigError (base, expectation).

    `host`: what is asked for at `base` (Host header, and TLS's server name), where `base` is not its own address. `authority`: CA bundle.
    """
    import httpx

    root = checked(base)
    for endpoint in endpoints:
        check_expressions(endpoint)
    if not endpoints:
        return ()
    deadline = time.monotonic() + timeout
    local = network.is_loopback(urlsplit(root).hostname or "")  # this machine's proxy has no business there
    limits = httpx.Limits(max_connections=AT_ONCE)
    client = httpx.Client(
        headers=HEADERS, timeout=timeout, trust_env=not local, follow_redirects=False, verify=context(authority), limits=limits
    )
    looks = [Look(root + endpoint.path, endpoint, deadline, host) for endpoint in endpoints]
    threads = [threading.Thread(target=look.run, args=(client,), daemon=True) for look in looks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(deadline - time.monotonic(), 0.0) + 0.05)
    if not any(thread.is_alive() for thread in threads):
        client.close()
    return tuple(answer(look, timeout) for look in looks)


@cache
def context(authority: str | None) -> ssl.SSLContext:
    """What certificates are checked with: a bundle, or the system's authorities. Raises ConfigError for a bundle that can't be read."""
    try:
        return ssl.create_default_context(cafile=authority)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"CA bundle {authority}", one_line(error), "correct `site_ca` in invoke.yaml") from None


def checked(base: str) -> str:
    parts = urlsplit(base)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(
            f"address {base!r}", "it must start with http:// or https:// and name a host", "correct `site` or `alb` in invoke.yaml"
        )
    return base.rstrip("/")


def follow(client: Any, look: Look) -> Page:
    """The page at the end of the redirects; a loop, or more than five, is a problem that shows the way."""
    way = [look.url]
    while True:
        page, location = get(client, way[-1], look)
        if location is None or page.problem or page.status == look.endpoint.status:
            return page
        shown = " → ".join([*way, location])
        if urlsplit(location).scheme not in ("http", "https"):
            return replace(page, problem=f"redirected to an address that is no web page: {shown}", cause="wrong_status")
        if location in way:
            return replace(page, problem=f"redirect loop: {shown}", cause="redirect_loop")
        if len(way) > REDIRECTS:
            return replace(page, problem=f"more than {REDIRECTS} redirects: {shown}", cause="redirect_loop")
        way.append(location)


def get(client: Any, url: str, look: Look) -> tuple[Page, str | None]:
    """One exchange: the page, and where it redirects to."""
    left = max(look.deadline - time.monotonic(), 0.001)
    with client.stream("GET", url, timeout=left, **addressed(look, url)) as response:
        page = Page(
            response.status_code,
            media_type(response),
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
            if len(body) > BODY_LIMIT:
                return replace(page, body=bytes(body[:BODY_LIMIT]), whole=False, problem="", cause=""), None
            if time.monotonic() > look.deadline:
                return page, None
    return replace(page, body=bytes(body), problem="", cause=""), None


def addressed(look: Look, url: str) -> dict[str, Any]:
    """The asked host, at the look's own address only: a redirect elsewhere says itself whom it means."""
    if look.host is None or urlsplit(url).netloc != urlsplit(look.url).netloc:
        return {}
    return {"headers": {"host": look.host}, "extensions": {"sni_hostname": look.host.partition(":")[0]}}


def media_type(response: Any) -> str:
    """`application/json` of `application/json; charset=utf-8` (RFC 9110, section 8.3)."""
    return str(response.headers.get("content-type", "")).partition(";")[0].strip().lower()


def answer(look: Look, timeout: float) -> Answer:
    page = look.page
    problem, why = page.problem, page.cause
    if problem.endswith("in time"):
        problem = f"{problem} ({timeout:g} s)"
    if not problem:
        problem = "; ".join(differences(look.endpoint, page.status, page.content_type, text(page), page.whole))
        why = cause(look.endpoint, page.status, page.content_type) if problem else ""
    took = look.took if look.took is not None else time.monotonic() - look.began
    return Answer(look.endpoint.path, page.status, page.content_type, round(took, 3), problem, why)


def text(page: Page) -> str:
    try:
        return page.body.decode(page.charset, "replace")
    except LookupError:
        return page.body.decode("utf-8", "replace")
