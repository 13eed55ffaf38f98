"""Whether the edge serves what the origin serves: the rule by table, and copies read from real
HTTP servers.
"""

from __future__ import annotations

import gzip
import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from ops.cdn import edge
from ops.cdn.facts import CacheAnswer, Distribution, PageCopy
from ops.cdn.rules.edge_proof import PageCopies, compare, missed, prove
from ops.core.config.settings import Endpoint
from ops.core.errors import OpsError
from ops.core.findings import Unknown
from ops.platform import Platform

NEW = PageCopy(200, '"n"', "Mon, 30 Nov 2026 10:00:00 GMT", "a" * 64)
OLD = PageCopy(200, '"o"', "Sun, 29 Nov 2026 10:00:00 GMT", "b" * 64)
V1, V2 = replace(OLD, version="v1"), replace(NEW, version="v2")
NONCE = replace(NEW, digest="c" * 64, etag="")
BROTLI = replace(OLD, digest=None)
SENT = PageCopy(200, '"n"', encoding="br", encoded="e" * 64)
HUGE = replace(NEW, whole=False)
BARE = PageCopy(200)
ERROR, LOGIN, MOVED, GONE = (PageCopy(status) for status in (502, 403, 301, 404))
CLOSED = Unknown("connection refused")


@pytest.mark.parametrize(
    ("seen", "origin", "state", "method"),
    [
        (NEW, (NEW, NEW), "fresh", "content"),
        (OLD, (NEW, NEW), "stale", "content"),
        (V1, (V2, V2), "stale", "version"),
        (V2, (V2, V2), "fresh", "version"),
        (replace(V2, digest="d" * 64), (V2, V2), "fresh", "version"),  # a nonce beside the version
        (V1, (V1, V2), "unknown", ""),  # two versions answer
        (V2, (NEW, NEW), "fresh", "content"),  # the origin names none
        # a page that differs at each request
        (OLD, (replace(NEW, etag=""), NONCE), "unknown", ""),
        (NONCE, (NEW, NONCE), "fresh", "content"),
        # equal ETags prove nothing against different bodies
        (replace(OLD, etag='"n"'), (NEW, NEW), "stale", "content"),
        # other ETags at another task, the same body
        (replace(NEW, etag='"other"'), (NEW, NEW), "fresh", "content"),
        # without a decoded body: ETag (weak where the CDN compressed it), else Last-Modified
        (replace(BROTLI, etag='W/"n"'), (NEW, NEW), "fresh", "content"),
        (BROTLI, (NEW, NEW), "stale", "content"),
        (replace(BROTLI, etag=""), (NEW, NEW), "stale", "content"),
        (replace(BROTLI, etag="", last_modified=""), (NEW, NEW), "unknown", ""),
        # Brotli from both: equal as sent is the same; different may be the compression alone
        (SENT, (SENT, SENT), "fresh", "content"),
        (replace(SENT, etag='"o"'), (SENT, SENT), "fresh", "content"),
        (replace(BARE, encoding="br", encoded="f" * 64), (SENT, SENT), "unknown", ""),
        (replace(SENT, encoding="zstd", etag=""), (SENT, SENT), "unknown", ""),
        # the first MiB of a longer body
        (HUGE, (HUGE, HUGE), "fresh", "content"),
        (replace(HUGE, etag='"o"'), (HUGE, HUGE), "stale", "content"),
        (replace(HUGE, digest="e" * 64), (HUGE, HUGE), "stale", "content"),
        (
            replace(HUGE, etag="", last_modified=""),
            (replace(HUGE, etag="", last_modified=""),) * 2,
            "unknown",
            "",
        ),
        (BARE, (BARE, BARE), "unknown", ""),
        # no page to compare
        (ERROR, (NEW, NEW), "unknown", ""),
        (NEW, (ERROR, ERROR), "unknown", ""),
        (NEW, (NEW, ERROR), "unknown", ""),
        (NEW, (LOGIN, LOGIN), "unknown", ""),
        (MOVED, (NEW, NEW), "unknown", ""),
        (replace(NEW, status=301), (replace(NEW, status=301),) * 2, "fresh", "content"),
        (GONE, (NEW, NEW), "stale", "content"),  # a cached 404
        (CLOSED, (NEW, NEW), "unknown", ""),
        (OLD, CLOSED, "unknown", ""),
        (V1, CLOSED, "stale", "version"),
        (V2, CLOSED, "fresh", "version"),
        (replace(V1, status=404), CLOSED, "unknown", ""),
    ],
)
def test_the_edge_against_the_origin(seen: Any, origin: Any, state: str, method: str) -> None:
    """Stale only where a stable origin serves something else; the reason is never empty."""
    proof = compare(PageCopies(seen, origin, released="v2"))
    assert (proof.state, proof.method) == (state, method), proof
    assert proof.why


def test_no_page_is_stale_during_a_rollout() -> None:
    """Two versions answer then: what differs is unknown, what is the same is fresh."""
    assert compare(PageCopies(OLD, (NEW, NEW), rolling_out=True)).state == "unknown"
    assert compare(PageCopies(V1, CLOSED, rolling_out=True, released="v2")).state == "unknown"
    assert compare(PageCopies(NEW, (NEW, NEW), rolling_out=True)).state == "fresh"


def test_the_evidence_is_short() -> None:
    """A version, 12 digits of a hash, or an ETag, of both sides."""
    assert compare(PageCopies(OLD, (NEW, NEW))).why == (
        f"sha256 {'b' * 12}, the origin's is sha256 {'a' * 12}"
    )
    assert "version v1, the origin's is v2" in compare(PageCopies(V1, (V2, V2))).why
    document = compare(PageCopies(OLD, (NEW, NEW))).as_document()
    assert document["edge"] == {
        "status": 200,
        "etag": '"o"',
        "last_modified": OLD.last_modified,
        "sha256": "b" * 12,
        "version": None,
    }


@pytest.mark.parametrize(
    ("cache", "copies", "before", "state", "method"),
    [
        ("hit", PageCopies(OLD, CLOSED), False, "fresh", "age"),
        ("none", PageCopies(OLD, CLOSED), False, "fresh", "age"),
        ("hit", PageCopies(OLD, CLOSED), True, "unknown", ""),  # may be unchanged since
        ("hit", PageCopies(OLD, CLOSED), None, "unknown", ""),
        ("hit", PageCopies(ERROR, CLOSED), False, "unknown", ""),
        ("hit", PageCopies(V1, CLOSED), False, "unknown", ""),  # names a version: age is less
        ("hit", PageCopies(OLD, (NEW, NONCE)), False, "unknown", ""),
        ("hit", PageCopies(NEW, (NEW, NEW)), True, "fresh", "content"),  # an unchanged page
        ("hit", PageCopies(OLD, (NEW, NEW)), False, "stale", "content"),  # cached in the rollout
    ],
)
def test_age_decides_only_without_an_origin(
    cache: str, copies: PageCopies, before: bool | None, state: str, method: str
) -> None:
    """A younger copy is fresh, an older one unknown; with an origin its content decides."""
    proof = prove(CacheAnswer("/", 200, cache, 60, "X"), copies, before)
    assert (proof.state, proof.method) == (state, method), proof


def test_a_miss_needs_no_comparison() -> None:
    """It has just come from the origin; an error has not."""
    fresh = missed(CacheAnswer("/", 200, "miss", None, "X"))
    assert fresh and (fresh.state, fresh.method) == ("fresh", "miss")
    assert missed(CacheAnswer("/", 500, "miss", None, "X")) is None
    assert missed(CacheAnswer("/", 200, "hit", 1, "X")) is None


def test_the_address_of_the_origin() -> None:
    """Its only one, as CloudFront asks it; anything else is named with what to configure."""
    one = Distribution("E1", "d", "Deployed", True, (), "", ("alb.aws http-only",))
    assert edge.origin_address(one, "https") == "http://alb.aws"
    for policy, expected in (("https-only", "https"), ("match-viewer", "http")):
        found = edge.origin_address(replace(one, origins=(f"alb.aws {policy}",)), "http")
        assert found == f"{expected}://alb.aws"
    for other in (
        replace(one, origins=("alb.aws http-only", "api.aws https-only")),
        replace(one, origins=("bucket s3",)),
        replace(one, origin_paths=("/v1",)),
    ):
        with pytest.raises(OpsError) as caught:
            edge.origin_address(other, "https")
        assert "set alb" in caught.value.next


@pytest.fixture
def site(httpserver: HTTPServer) -> edge.Site:
    """One server as edge and origin; the host name is the edge's."""
    address = httpserver.url_for("").rstrip("/")
    return edge.Site("http://site.example", address)


def read(site: edge.Site, **expected: Any) -> PageCopy:
    assert isinstance(site.origin, str)
    return edge.read_copy(site, site.origin, Endpoint(path="/", **expected))


def test_a_copy_is_read_as_a_browser_asks(httpserver: HTTPServer, site: edge.Site) -> None:
    """Under the site's host name, compressed, and hashed after decoding; the version is found."""
    asked: list[Request] = []
    body = b"<p>version de34eb9</p>"

    def answer(request: Request) -> Response:
        asked.append(request)
        headers = {"content-encoding": "gzip", "etag": 'W/"1"', "last-modified": "then"}
        return Response(gzip.compress(body), headers=headers)

    httpserver.expect_request("/").respond_with_handler(answer)
    packed = read(site, text="version {tag}")
    assert (packed.version, packed.etag, packed.last_modified) == ("de34eb9", 'W/"1"', "then")
    assert asked[0].host == "site.example"
    assert "br" in asked[0].headers["accept-encoding"]
    httpserver.clear()
    httpserver.expect_request("/").respond_with_data(body)
    plain = read(site)
    assert plain.digest == packed.digest and plain.whole and plain.version is None


def test_odd_bodies(httpserver: HTTPServer, site: edge.Site) -> None:
    """An encoding that cannot be decoded has no hash; a long body and a bomb are cut."""
    bomb = gzip.compress(bytes(50 * 1024 * 1024))
    for body, encoding, digest, whole in (
        (b"x", "br", False, False),
        (b"no gzip", "gzip", False, False),
        (bytes(1024 * 1024 + 1), "identity", True, False),
        (bytes(1024 * 1024), "identity", True, True),
        (bomb, "gzip", True, False),
        (b"", "identity", True, True),
    ):
        httpserver.clear()
        headers = {"content-encoding": encoding}
        httpserver.expect_request("/").respond_with_data(body, headers=headers)
        found = read(site)
        assert (found.digest is not None, found.whole) == (digest, whole), encoding
        assert found.encoding == ("" if digest else encoding)
        assert (found.encoded is None) is digest


def test_a_body_that_is_not_decoded_is_named() -> None:
    """The origin does not compress: neither hash nor headers decide."""
    bare = replace(BARE, digest="a" * 64)
    proof = compare(PageCopies(replace(BARE, encoding="br"), (bare, bare)))
    assert proof.state == "unknown"
    assert "its encoding br is not decoded here" in proof.why


def test_a_redirect_is_compared_by_its_location(httpserver: HTTPServer, site: edge.Site) -> None:
    """It is not followed: another location is another page."""
    digests = set()
    for location in ("/a", "/b"):
        httpserver.clear()
        headers = {"location": location}
        httpserver.expect_request("/").respond_with_data("", status=302, headers=headers)
        found = read(site)
        assert found.status == 302
        digests.add(found.digest)
    assert len(digests) == 2


def test_a_page_that_differs_at_each_request_is_never_stale(httpserver: HTTPServer) -> None:
    """The origin is asked twice, and disagrees with itself."""
    count = itertools.count()
    httpserver.expect_request("/").respond_with_handler(
        lambda request: Response(f"token {next(count)}")
    )
    address = httpserver.url_for("").rstrip("/")
    proof = compare(edge.read_copies(edge.Site(address, address), Endpoint(path="/")))
    assert proof.state == "unknown" and "differs at each request" in proof.why


def test_an_origin_that_does_not_answer_is_unknown(httpserver: HTTPServer) -> None:
    """Not stale, and the address is named."""
    httpserver.expect_request("/").respond_with_data("page")
    address = httpserver.url_for("").rstrip("/")
    copies = edge.read_copies(edge.Site(address, "http://127.0.0.1:9"), Endpoint(path="/"))
    proof = compare(copies)
    assert proof.state == "unknown" and "http://127.0.0.1:9/" in proof.why
    assert proof.edge and proof.edge.status == 200


def test_the_origin_is_alb_or_the_distributions(
    settings: Callable[..., Any], cloud_at: Callable[[str], Any]
) -> None:
    """`alb` needs no lookup; without it, a CloudFront that does not answer leaves it unknown."""
    nowhere = cloud_at("http://127.0.0.1:9")
    known = edge.read_site(Platform(settings(site="https://a.example", alb="http://lb"), nowhere))
    assert (known.origin, known.host) == ("http://lb", "a.example")
    lost = edge.read_site(Platform(settings(site="https://a.example"), nowhere))
    assert isinstance(lost.origin, Unknown)
