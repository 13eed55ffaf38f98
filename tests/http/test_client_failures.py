"""Pages that answer late, without end, broken off, or not at all: every look ends in time and says
why. Raw servers on loopback.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from pytest_httpserver import HTTPServer

from ops.core.config.settings import Endpoint
from ops.http import client
from tests.factories import stop_listening

Served = Callable[[Callable[[socket.socket], None]], str]
Heard = Callable[[Callable[[socket.socket, bytes], None]], str]


@pytest.fixture
def served(heard: Heard) -> Served:
    """A raw TCP server: the handler gets each connection after its request has been read."""
    return lambda handle: heard(lambda connection, request: handle(connection))


@pytest.fixture
def heard() -> Iterator[Heard]:
    """The same, and the handler is told the request."""
    listeners: list[socket.socket] = []

    def serve(handle: Callable[[socket.socket, bytes], None]) -> str:
        listener = socket.create_server(("127.0.0.1", 0), backlog=200)
        listeners.append(listener)

        def one(connection: socket.socket) -> None:
            with connection:
                try:
                    handle(connection, connection.recv(65536))
                except OSError:
                    return

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=one, args=(connection,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}"

    yield serve
    for listener in listeners:
        stop_listening(listener)


def drip(connection: socket.socket, head: bytes, byte: bytes = b"x") -> None:
    connection.sendall(head)
    while True:
        connection.sendall(byte)
        time.sleep(0.05)


@pytest.mark.parametrize(
    "head", [b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: "]
)
def test_a_slow_drip_ends_at_the_limit(served: Served, head: bytes) -> None:
    """A byte now and then, in body or header, does not hold the look up."""
    base = served(lambda connection: drip(connection, head))
    began = time.monotonic()
    found = client.probe(base, Endpoint(path="/"), timeout=1.0)
    assert time.monotonic() - began < 2
    assert found.problem.endswith("in time (1 s)")
    assert found.status == (200 if b"text/html" in head else 0)


def test_an_endless_body_is_read_to_the_bound(served: Served) -> None:
    """A megabyte is enough to judge a page; JSON that long is refused."""

    def flood(connection: socket.socket) -> None:
        connection.sendall(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n" + b"the start "
        )
        while True:
            connection.sendall(b"[" * 65536)

    base = served(flood)
    assert client.probe(base, Endpoint(path="/", text="the start")).healthy
    assert (
        client.probe(base, Endpoint(path="/", expect={"a": 1})).problem
        == "body: too long to be read as JSON"
    )


def test_an_answer_that_breaks_off(served: Served) -> None:
    """Half an answer is a problem."""
    base = served(
        lambda connection: connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
    )
    found = client.probe(base, Endpoint(path="/"))
    assert "broke off" in found.problem and found.status == 200


def test_what_is_no_http_is_said(served: Served) -> None:
    """An SSH server behind the address is not a page."""
    found = client.probe(
        served(lambda connection: connection.sendall(b"SSH-2.0-OpenSSH\r\n")), Endpoint(path="/")
    )
    assert (found.status, found.healthy) == (0, False)
    assert "is no HTTP" in found.problem


def test_silence_is_a_timeout(served: Served) -> None:
    """A server that accepts and says nothing."""
    began = time.monotonic()
    found = client.probe(served(lambda connection: time.sleep(5)), Endpoint(path="/"), timeout=0.5)
    assert time.monotonic() - began < 2
    assert found.status == 0 and found.problem == "connected, but no answer in time (0.5 s)"


def silent_here_and_there(connection: socket.socket, request: bytes) -> None:
    if request.startswith(b"GET /hangs"):
        time.sleep(10)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")


def test_pages_that_hang_take_no_time_from_the_others(heard: Heard) -> None:
    """More hang than may be asked at once: each has its own time, from its turn on, and the rest
    are well.
    """
    pages = [Endpoint(path=f"/hangs/{number}") for number in range(client.AT_ONCE + 4)] + [
        Endpoint(path=f"/{number}") for number in range(9)
    ]
    found = client.probe_all(heard(silent_here_and_there), pages, timeout=1.0)
    assert {answer.cause for answer in found[: client.AT_ONCE + 4]} == {"page_hangs"}
    assert [answer.problem for answer in found[client.AT_ONCE + 4 :]] == [""] * 9
    assert all(answer.took_s < 1.0 for answer in found[client.AT_ONCE + 4 :])


def test_what_had_no_turn_was_not_asked(heard: Heard) -> None:
    """The time for all is over before: that is said, and no page is called silent that was never
    asked.
    """
    pages = [Endpoint(path=f"/hangs/{number}") for number in range(client.AT_ONCE)] + [
        Endpoint(path="/")
    ]
    began = time.monotonic()
    found = [
        look.to_answer()
        for look in client.fetch_all(heard(silent_here_and_there), pages, 30.0, within=0.5)
    ]
    assert time.monotonic() - began < 20
    assert (found[-1].cause, found[-1].took_s) == ("not_asked", 0.0) and found[
        0
    ].cause == "page_hangs"


def test_nobody_listens() -> None:
    """A closed port is a refused connection."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    found = client.probe(f"http://127.0.0.1:{port}", Endpoint(path="/"))
    assert found.problem == "connection refused: nothing listens there"
    assert found.status == 0


def test_a_name_that_does_not_resolve() -> None:
    """DNS is named as the cause (RFC 6761: .invalid never resolves)."""
    found = client.probe("http://nobody.invalid", Endpoint(path="/"), timeout=5)
    assert "DNS" in found.problem or "in time" in found.problem
    assert found.status == 0


def test_tls_to_a_plain_server_is_said(httpserver: HTTPServer) -> None:
    """https:// to a server without TLS names TLS."""
    found = client.probe(httpserver.url_for("/").replace("http:", "https:"), Endpoint(path="/"))
    assert found.problem.startswith("TLS: ")
