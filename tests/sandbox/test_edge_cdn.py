"""CloudFront of the sandbox, over real sockets: what is kept, for how long, and what an
invalidation takes away.
"""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from ops.sandbox.contracts import TargetState
from ops.sandbox.edge import EdgeSettings, start_edge
from ops.sandbox.edge.cdn import covers, lifetime
from ops.sandbox.edge.http_server import HttpServer, plain


@dataclass
class Backend:
    """/api/* goes uncached, everything else is cached; one target answers both."""

    target: TargetState
    done: list[tuple[str, float]] = field(default_factory=list)
    listening: bool = True

    def route(self, path: str) -> str | None:
        return "group" if self.listening else None

    def targets(self, target_group: str) -> tuple[TargetState, ...]:
        return (self.target,)

    def cached(self, path: str) -> bool:
        return not path.startswith("/api/")

    def invalidations(self) -> tuple[tuple[str, float], ...]:
        return tuple(self.done)


@dataclass
class Site:
    backend: Backend
    port: int
    origin: dict[str, Any]

    def get(self, path: str = "/", method: str = "GET") -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        connection.request(method, path)
        answer = connection.getresponse()
        return (
            answer.status,
            {name.lower(): value for name, value in answer.getheaders()},
            answer.read(),
        )

    def cache(self, path: str = "/") -> str:
        return self.get(path)[1]["x-cache"]


def free_ports() -> tuple[int, int]:
    fronts = [HttpServer("probe", 0, lambda request: plain(200, "OK")) for _ in range(2)]
    ports = tuple(front.port for front in fronts)
    for front in fronts:
        front.stop()
    return ports[0], ports[1]


@pytest.fixture
def site() -> Iterator[Site]:
    origin: dict[str, Any] = {"status": 200, "headers": {}, "served": 0}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            origin["served"] += 1
            body = f"{origin['served']} {self.path}".encode()
            self.send_response(origin["status"])
            for name, value in {"Content-Length": str(len(body)), **origin["headers"]}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET

        def log_message(self, *args: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
    ).start()
    backend = Backend(TargetState("127.0.0.1", server.server_port, "healthy"))
    site_port, alb_port = free_ports()
    part = start_edge(backend, site_port, alb_port, EdgeSettings(default_ttl=100))
    assert part.alive()
    yield Site(backend, site_port, origin)
    part.stop()
    assert not part.alive()
    server.shutdown()
    server.server_close()


def test_a_page_is_kept_and_says_so(site: Site) -> None:
    """The first answer is a miss, the second the same page from the cache with its age; HEAD is
    served from it too.
    """
    first, second = site.get("/about"), site.get("/about")
    assert (first[1]["x-cache"], second[1]["x-cache"]) == (
        "Miss from cloudfront",
        "Hit from cloudfront",
    )
    assert first[2] == second[2] == b"1 /about"
    assert int(second[1]["age"]) <= 1
    assert "cloudfront.net" in second[1]["via"]
    assert site.get("/about", "HEAD")[1:] != first[1:]
    assert site.origin["served"] == 1


def test_the_query_is_part_of_the_key(site: Site) -> None:
    """Two queries of one path are two objects."""
    assert site.get("/?a=1")[2] != site.get("/?a=2")[2]


def test_the_api_is_never_kept(site: Site) -> None:
    """A behaviour without caching asks the origin each time."""
    assert [site.cache("/api/health") for _ in range(2)] == ["Miss from cloudfront"] * 2
    assert site.origin["served"] == 2


@pytest.mark.parametrize("said", ["no-store", "private, max-age=60", "no-cache", "max-age=0"])
def test_what_the_origin_forbids_is_not_kept(site: Site, said: str) -> None:
    """Cache-Control decides before the default lifetime."""
    site.origin["headers"] = {"Cache-Control": said}
    assert [site.cache() for _ in range(2)] == ["Miss from cloudfront"] * 2


def test_an_object_grows_old(site: Site) -> None:
    """After its max-age an object is fetched anew."""
    site.origin["headers"] = {"Cache-Control": "public, max-age=1"}
    assert [site.cache() for _ in range(2)] == ["Miss from cloudfront", "Hit from cloudfront"]
    time.sleep(1.05)
    assert site.cache() == "Miss from cloudfront"


def test_an_error_is_marked_and_not_kept(site: Site) -> None:
    """A 503 passes with `Error from cloudfront`, and the next good answer is seen at once."""
    site.origin["status"] = 503
    status, headers, _ = site.get()
    assert (status, headers["x-cache"]) == (503, "Error from cloudfront")
    site.origin["status"] = 200
    assert site.cache() == "Miss from cloudfront"


def test_an_invalidation_counts_from_its_completion(site: Site) -> None:
    """Before completion the old object is served; from then on the new one, and only for the paths
    that the pattern covers.
    """
    for path in ("/about", "/contact"):
        site.cache(path)
    site.backend.done.append(("/about*", time.time() + 0.4))
    assert site.cache("/about") == "Hit from cloudfront"
    time.sleep(0.45)
    assert [site.cache(path).split()[0] for path in ("/about", "/about", "/contact")] == [
        "Miss",
        "Hit",
        "Hit",
    ]


def test_an_origin_that_hangs_up_is_502(site: Site) -> None:
    """An ALB without a listener is CloudFront's own 502, an error of CloudFront's."""
    site.backend.listening = False
    status, headers, page = site.get("/api/health")
    assert (status, headers["x-cache"], headers["server"]) == (
        502,
        "Error from cloudfront",
        "CloudFront",
    )
    assert b"Bad Gateway" in page


@pytest.mark.parametrize(
    ("pattern", "target", "taken"),
    [
        ("/*", "/any/thing?x=1", True),
        ("/about", "/about", True),
        ("/about", "/about?x=1", False),
        ("/about*", "/about?x=1", True),
        ("about", "/about", True),
        ("/About", "/about", False),
        ("*", "/", True),
    ],
)
def test_patterns_of_invalidations(pattern: str, target: str, taken: bool) -> None:
    """A pattern ends in a star or is one exact object; the leading slash may be left out, case
    counts.
    """
    assert covers(pattern, target) is taken


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 100),
        ({"Cache-Control": "s-maxage=7, max-age=60"}, 7),
        ({"Cache-Control": "Max-Age=60"}, 60),
        ({"Set-Cookie": "a=b"}, 0),
        ({"Expires": formatdate(1_000_030, usegmt=True)}, 30),
        ({"Expires": "0"}, 0),
        ({"Cache-Control": "max-age=x"}, 100),
    ],
)
def test_lifetimes(headers: dict[str, str], seconds: float) -> None:
    """s-maxage wins over max-age over Expires over the default."""
    assert lifetime(tuple(headers.items()), 100, 1_000_000) == seconds
