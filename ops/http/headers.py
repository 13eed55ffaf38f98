"""Headers of a page's answer, without its body: who answered, from which cache, leading where.

No redirect is followed. The values of cookies are dropped: only their names are facts.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from ops.http import errors
from ops.http.client import HEADERS, checked, context

_WANTED = (
    "age",
    "cache-control",
    "content-type",
    "date",
    "expires",
    "keep-alive",
    "location",
    "server",
    "vary",
    "via",
    "x-amz-cf-pop",
    "x-cache",
)
_COOKIE = "set-cookie"


@dataclass(frozen=True)
class HeaderAnswer:
    """The status and headers of one GET; `problem` is why there was no answer.

    `status` is 0 without an answer. Names of headers are in lower case; `set-cookie` holds the
    names of the cookies. `took_s`: seconds until the headers arrived.
    """

    url: str
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    took_s: float = 0.0
    problem: str = ""
    cause: str = ""


@contextmanager
def header_client(base: str, timeout: float, authority: str | None = None) -> Iterator[Any]:
    """A client for `read_headers` at one address; `authority` is a CA bundle.

    Raises ConfigError for an invalid base address.
    """
    import httpx

    local = errors.is_loopback(urlsplit(checked(base)).hostname or "")
    with httpx.Client(
        headers=HEADERS, timeout=timeout, trust_env=not local, verify=context(authority)
    ) as client:
        yield client


def read_headers(client: Any, base: str, path: str, host: str | None = None) -> HeaderAnswer:
    """GET `path` below `base` and return its headers; an error is the answer's `problem`.

    `host` is the host to request at `base` if it differs from the address.
    """
    import httpx

    url, began = checked(base) + path, time.monotonic()
    try:
        with client.stream("GET", url, **_for_host(host)) as answer:
            found, took = _facts(answer.headers), round(time.monotonic() - began, 3)
            return HeaderAnswer(url, answer.status_code, found, took)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        took = round(time.monotonic() - began, 3)
        return HeaderAnswer(
            url, took_s=took, problem=errors.problem(error), cause=errors.cause(error)
        )


def _for_host(host: str | None) -> dict[str, Any]:
    if host is None:
        return {}
    return {
        "headers": {"host": host},
        "extensions": {"sni_hostname": host.partition(":")[0]},
    }


def _facts(headers: Any) -> dict[str, str]:
    found = {name: str(headers[name]) for name in _WANTED if name in headers}
    cookies = [each.partition("=")[0].strip() for each in headers.get_list(_COOKIE)]
    return {**found, _COOKIE: ", ".join(cookies)} if cookies else found
