"""Read a page at the edge and at its origin, to compare the two (runbook 3, step 7).

Both are asked as a browser asks, since the cache keeps one object for each encoding.
"""

from __future__ import annotations

import hashlib
import time
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ops.cdn import cloudfront
from ops.cdn.facts import Distribution, EdgeProof, PageCopy
from ops.cdn.invalidate import find
from ops.cdn.rules import edge_proof
from ops.cdn.rules.edge_proof import PageCopies
from ops.core.errors import OpsError, Unreachable
from ops.core.findings import Unknown
from ops.core.parallel import try_call, with_timeout
from ops.http import assertions, errors
from ops.http import client as http_client

if TYPE_CHECKING:
    from ops.core.config.settings import Endpoint
    from ops.platform import Platform

_BODY_LIMIT = 1024 * 1024  # bytes of a body, as sent and as decoded, that are compared
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS


@dataclass(frozen=True)
class Site:
    """Where a page is asked for: at the edge, and at the origin under the site's host name."""

    edge: str
    origin: str | Unknown
    authority: str | None = None  # CA bundle
    timeout_s: float = 10.0

    @property
    def host(self) -> str:
        return urlsplit(self.edge).netloc


def read_site(platform: Platform, timeout_s: float = 10.0) -> Site:
    """The site and its origin: `alb`, else the only origin of the distribution."""
    environment = platform.settings.environment
    edge = environment.site or ""
    origin: str | Unknown | None = environment.alb
    if origin is None:
        origin = try_call(lambda: _distribution_origin(platform, edge))
    return Site(edge, origin, environment.site_ca, timeout_s)


def _distribution_origin(platform: Platform, edge: str) -> str:
    found = find(platform)
    if not found.origins:  # only its configured id is known so far
        found = cloudfront.distribution(platform.cloud, found.id)
    return origin_address(found, urlsplit(edge).scheme)


def origin_address(distribution: Distribution, scheme: str) -> str:
    """The address of the distribution's only origin, asked as CloudFront asks it.

    Raises OpsError if there are several, or it cannot be asked for the site's own paths.
    """
    hosts = sorted({each.rsplit(" ", 1)[0] for each in distribution.origins})
    policies = {each.rsplit(" ", 1)[1] for each in distribution.origins}
    problem = (
        f"it has {len(hosts)} origins"
        if len(hosts) != 1
        else "its origin is an S3 bucket"
        if "s3" in policies
        else f"its origin has the path {distribution.origin_paths[0]}"
        if distribution.origin_paths
        else ""
    )
    if problem:
        what = f"origin of distribution {distribution.id}"
        raise OpsError(what, problem, "set alb of this environment in invoke.yaml")
    schemes = {"http-only": "http", "https-only": "https"}
    return f"{schemes.get(policies.pop(), scheme)}://{hosts[0]}"


def prove_page(site: Site, endpoint: Endpoint) -> EdgeProof:
    """Compare the page at the edge with the origin's, unless it is not cached.

    Raises Unreachable if the site does not answer.
    """
    answer = cloudfront.probe_cache(site.edge, endpoint.path, site.timeout_s, site.authority)
    return edge_proof.missed(answer) or edge_proof.compare(read_copies(site, endpoint))


def read_copies(
    site: Site, endpoint: Endpoint, *, rolling_out: bool = False, released: str | None = None
) -> PageCopies:
    """Ask the origin, the edge, and the origin again; what does not answer is unknown."""

    def ask(address: str) -> PageCopy | Unknown:
        return try_call(lambda: read_copy(site, address, endpoint))

    first = site.origin if isinstance(site.origin, Unknown) else ask(site.origin)
    edge = ask(site.edge)
    if isinstance(first, Unknown) or isinstance(site.origin, Unknown):
        unknown = first if isinstance(first, Unknown) else Unknown("no origin")
        return PageCopies(edge, unknown, rolling_out, released)
    second = ask(site.origin)
    origin = second if isinstance(second, Unknown) else (first, second)
    return PageCopies(edge, origin, rolling_out, released)


def read_copy(site: Site, address: str, endpoint: Endpoint) -> PageCopy:
    """GET the endpoint's page at an address, under the site's host name; follows no redirect.

    Raises Unreachable if it does not answer completely within the site's timeout.
    """
    url = http_client.checked(address) + endpoint.path
    return with_timeout(lambda: _get(site, url, endpoint), site.timeout_s, f"GET {url}")


def _get(site: Site, url: str, endpoint: Endpoint) -> PageCopy:
    import httpx

    local = errors.is_loopback(urlsplit(url).hostname or "")
    ends = time.monotonic() + site.timeout_s
    try:
        with (
            httpx.Client(
                headers={**cloudfront.BROWSER_HEADERS, "host": site.host},
                timeout=site.timeout_s,
                trust_env=not local,
                verify=http_client.context(site.authority),
            ) as client,
            client.stream(
                "GET", url, extensions={"sni_hostname": site.host.partition(":")[0]}
            ) as response,
        ):
            raw = bytearray()
            for chunk in response.iter_raw():
                raw += chunk
                if len(raw) > _BODY_LIMIT:
                    break
                if time.monotonic() > ends:
                    raise Unreachable(f"GET {url}", "the answer did not end in time")
            return page_copy(response, bytes(raw), endpoint.text or "")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise Unreachable(f"GET {url}", errors.problem(error)) from None


def page_copy(response: Any, raw: bytes, text: str) -> PageCopy:
    """The facts of an httpx response with this undecoded body.

    `text`: the text in the page that names its version, with `{tag}` in its place.
    """
    headers = response.headers
    encoding = headers.get("content-encoding", "identity").strip().lower()
    body = decoded(raw, encoding)
    version = assertions.find_tag(body.decode("utf-8", "replace"), text) if body else None
    location = headers.get("location", "").encode() if response.is_redirect else b""
    return PageCopy(
        status=response.status_code,
        etag=headers.get("etag", ""),
        last_modified=headers.get("last-modified", ""),
        digest=None if body is None else hashlib.sha256(location + body[:_BODY_LIMIT]).hexdigest(),
        whole=body is not None and len(body) <= _BODY_LIMIT,
        version=version,
        encoding=encoding if body is None else "",
        encoded=hashlib.sha256(location + raw).hexdigest()
        if body is None and len(raw) <= _BODY_LIMIT
        else None,
    )


def decoded(raw: bytes, encoding: str) -> bytes | None:
    """The body without its content encoding, cut after the limit; None if that is unknown here."""
    if encoding in ("", "identity"):
        return raw
    if encoding not in ("gzip", "x-gzip", "deflate"):
        return None
    try:
        return zlib.decompressobj(_GZIP_OR_ZLIB).decompress(raw, _BODY_LIMIT + 1)
    except zlib.error:
        return None
