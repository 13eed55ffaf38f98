"""The load balancer of the sandbox, over real sockets: whom it asks, and with which code it
fails.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from ops.sandbox.contracts import TargetState
from ops.sandbox.edge.alb import LoadBalancer
from ops.sandbox.edge.http_server import HttpServer
from tests.factories import free_port


@dataclass
class Backend:
    """A load balancer's configuration that a test writes by hand."""

    groups: dict[str, tuple[TargetState, ...]] = field(default_factory=dict)
    chosen: str | None = "group"

    def route(self, path: str) -> str | None:
        return self.chosen

    def targets(self, target_group: str) -> tuple[TargetState, ...]:
        return self.groups.get(target_group, ())

    def cached(self, path: str) -> bool:
        return False

    def invalidations(self) -> tuple[tuple[str, float], ...]:
        return ()


class Target:
    """A real HTTP server on a port of its own; `respond` answers each request."""

    def __init__(self, respond: Callable[[BaseHTTPRequestHandler, bytes], None]) -> None:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def serve(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                body = self.rfile.read(length) if length else b""
                respond(self, body)

            do_GET = do_HEAD = do_POST = serve

            def log_message(self, *args: Any) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_port
        threading.Thread(
            target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        ).start()

    def state(self, state: str = "healthy") -> TargetState:
        return TargetState("127.0.0.1", self.port, state)


def saying(text: str) -> Callable[[BaseHTTPRequestHandler, bytes], None]:
    def respond(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        said = f"{text} {handler.command} {handler.path} {body.decode()}".encode()
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(said)))
        handler.end_headers()
        if handler.command != "HEAD":
            with contextlib.suppress(BrokenPipeError):
                handler.wfile.write(said)

    return respond


@dataclass
class World:
    backend: Backend
    port: int
    started: list[Target]

    def target(self, respond: Callable[[BaseHTTPRequestHandler, bytes], None]) -> Target:
        self.started.append(Target(respond))
        return self.started[-1]

    def ask(
        self,
        method: str = "GET",
        path: str = "/",
        body: Any = None,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        connection.request(
            method,
            path,
            body=body,
            headers=headers or {},
            encode_chunked=not isinstance(body, bytes | None),
        )
        answer = connection.getresponse()
        return answer.status, answer.read()


@pytest.fixture
def stack() -> Iterator[World]:
    backend = Backend()
    front = HttpServer("alb", 0, LoadBalancer(backend, connect_timeout=0.5, target_timeout=0.5))
    made = World(backend, front.port, [])
    yield made
    front.stop()
    for target in made.started:
        target.server.shutdown()
        target.server.server_close()


def test_healthy_targets_take_turns(stack: World) -> None:
    """Requests go round over the healthy targets; an unhealthy one and one that drains get none."""
    states = ("healthy", "healthy", "unhealthy", "draining")
    stack.backend.groups["group"] = tuple(
        stack.target(saying(name)).state(state) for name, state in zip("abcd", states, strict=True)
    )
    assert sorted(stack.ask()[1][:1] for _ in range(6)) == [b"a"] * 3 + [b"b"] * 3


def test_all_unhealthy_fails_open(stack: World) -> None:
    """With no healthy target every registered one gets requests, as at AWS."""
    stack.backend.groups["group"] = tuple(
        stack.target(saying(name)).state("unhealthy") for name in "ab"
    )
    assert {stack.ask()[1][:1] for _ in range(4)} == {b"a", b"b"}


def test_none_registered_is_503_and_no_listener_hangs_up(stack: World) -> None:
    """A group without targets, or with draining ones only, answers 503; without a listener nobody
    answers.
    """
    assert stack.ask()[0] == 503
    stack.backend.groups["group"] = (stack.target(saying("a")).state("draining"),)
    assert stack.ask()[0] == 503
    stack.backend.chosen = None
    with pytest.raises(http.client.RemoteDisconnected):
        stack.ask()


def test_refused_and_broken_targets_are_502(stack: World) -> None:
    """A port nobody listens on and a target that hangs up without an answer are both a bad
    gateway.
    """
    stack.backend.groups["group"] = (TargetState("127.0.0.1", free_port(), "healthy"),)
    assert stack.ask()[0] == 502
    stack.backend.groups["group"] = (
        stack.target(lambda handler, body: handler.connection.shutdown(socket.SHUT_RDWR)).state(),
    )
    assert stack.ask()[0] == 502


def test_a_silent_target_is_504(stack: World) -> None:
    """A target that takes the request and says nothing in time is a gateway time-out."""
    stack.backend.groups["group"] = (stack.target(lambda handler, body: time.sleep(1.5)).state(),)
    status, page = stack.ask()
    assert status == 504
    assert b"504 Gateway Time-out" in page


def test_bodies_pass_with_a_length_and_in_chunks(stack: World) -> None:
    """POST bodies arrive whole, whether framed by length or in chunks that the target sees as
    such.
    """
    seen: list[str | None] = []

    def echo(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        seen.append(handler.headers.get("Transfer-Encoding"))
        while handler.headers.get("Transfer-Encoding") and (
            size := int(handler.rfile.readline(), 16)
        ):
            body += handler.rfile.read(size)
            handler.rfile.readline()
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for part in (body[:10], body[10:]):
            handler.wfile.write(b"%x\r\n%b\r\n" % (len(part), part))
        handler.wfile.write(b"0\r\n\r\n")

    stack.backend.groups["group"] = (stack.target(echo).state(),)
    big = b"x" * 300_000
    assert stack.ask("POST", body=big) == (200, big)
    assert stack.ask("POST", body=iter([b"hello ", b"chunked ", b"world"])) == (
        200,
        b"hello chunked world",
    )
    assert seen == [None, "chunked"]


def test_one_connection_serves_many_requests(stack: World) -> None:
    """A client's keep-alive connection serves GET, HEAD and POST one after another."""
    stack.backend.groups["group"] = (stack.target(saying("a")).state(),)
    connection = http.client.HTTPConnection("127.0.0.1", stack.port, timeout=5)
    sockets = set()
    for method in ("GET", "HEAD", "POST", "GET"):
        connection.request(method, "/x?y=1", body=b"b" if method == "POST" else None)
        answer = connection.getresponse()
        assert answer.status == 200
        assert (answer.read() == b"") is (method == "HEAD")
        assert connection.sock is not None
        sockets.add(connection.sock.getsockname()[1])
    assert len(sockets) == 1


def test_headers_are_the_load_balancers(stack: World) -> None:
    """The target sees X-Forwarded-* and no hop-by-hop header, the ones that Connection names
    included.
    """
    seen: list[dict[str, str]] = []

    def note(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        seen.append({name.lower(): value for name, value in handler.headers.items()})
        saying("a")(handler, body)

    stack.backend.groups["group"] = (stack.target(note).state(),)
    hop = {"Connection": "x-secret, close", "X-Secret": "1", "TE": "trailers"}
    stack.ask(headers={**hop, "X-Forwarded-For": "9.9.9.9", "Host": "davidshaevel.com"})
    (headers,) = seen
    assert headers["x-forwarded-for"] == "9.9.9.9, 127.0.0.1"
    assert (headers["x-forwarded-proto"], headers["x-forwarded-host"], headers["host"]) == (
        "http",
        "davidshaevel.com",
        "davidshaevel.com",
    )
    assert not {"x-secret", "te"} & headers.keys()


def test_a_request_in_flight_ends_though_its_target_drains(stack: World) -> None:
    """A slow request finishes after its target started to drain; the next one goes elsewhere."""

    def slow(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        time.sleep(0.3)
        saying("old")(handler, body)

    old, new = stack.target(slow), stack.target(saying("new"))
    stack.backend.groups["group"] = (old.state(),)
    answers: list[tuple[int, bytes]] = []
    client = threading.Thread(target=lambda: answers.append(stack.ask()))
    client.start()
    time.sleep(0.1)
    stack.backend.groups["group"] = (old.state("draining"), new.state())
    assert stack.ask()[1].startswith(b"new")
    client.join()
    assert answers == [(200, b"old GET / ")]


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "GET /café HTTP/1.1\r\nHost: a\r\n\r\n".encode(),
    ],
)
def test_messages_that_cannot_be_framed_are_400(stack: World, head: bytes) -> None:
    """Two lengths, a negative one, a bad chunk and a raw non-ASCII path are refused, and the
    connection ends.
    """
    stack.backend.groups["group"] = (stack.target(saying("a")).state(),)
    with socket.create_connection(("127.0.0.1", stack.port), timeout=5) as client:
        client.sendall(head)
        answer = b"".join(iter(lambda: client.recv(4096), b""))
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"Connection: close" in answer
