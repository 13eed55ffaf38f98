"""`inv health.endpoints` on servers that do all that a server should not: each look is bounded, and
each fault has its own name.
"""

from __future__ import annotations

import json
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from tests.checkout import Checkout

pytestmark = pytest.mark.timeout(120)
TIMEOUT, DEADLINE = (
    2,
    60,
)  # health.timeout is what must end a look, long before the deadline of the sweep
HTML, JSON = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n",
)
JSON_PAGE = {"content_type": "application/json", "expect": {"status": "ok"}}
ENDPOINTS = [
    {"path": "/well", "content_type": "text/html"},
    {"path": "/hung"},
    {"path": "/drip"},
    {"path": "/round"},
    {"path": "/broken"},
    {"path": "/endless", **JSON_PAGE},
    {"path": "/prose", **JSON_PAGE},
    {"path": "/other", **JSON_PAGE},
]


class Bad(socketserver.StreamRequestHandler):
    """One connection, one answer, by the path that is asked for."""

    def handle(self) -> None:
        first = self.connection.recv(1, socket.MSG_PEEK)
        if first == b"\x16":  # a TLS handshake, which this server does not speak
            self.wfile.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            return
        path = self.rfile.readline(4096).split(b" ")[1:2]
        while self.rfile.readline(4096).strip():
            continue
        {
            b"/hung": self.hung,
            b"/drip": self.drip,
            b"/round": self.round,
            b"/endless": self.endless,
            b"/prose": lambda: self.whole(JSON, b"<p>Bad Gateway</p>"),
            b"/other": lambda: self.whole(JSON, b'{"status": "error"}'),
            b"/broken": lambda: self.wfile.write(HTML + b"Content-Length: 1000\r\n\r\nhalf"),
        }.get(path[0] if path else b"", lambda: self.whole(HTML, b"well"))()

    def whole(self, head: bytes, body: bytes) -> None:
        self.wfile.write(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)

    def hung(self) -> None:
        self.server.over.wait(DEADLINE)  # type: ignore[attr-defined]

    def drip(self) -> None:
        self.wfile.write(HTML + b"\r\n")
        while not self.server.over.wait(0.1):  # type: ignore[attr-defined]
            self.wfile.write(b"x")

    def endless(self) -> None:
        self.wfile.write(JSON + b"\r\n")
        while not self.server.over.is_set():  # type: ignore[attr-defined]
            self.wfile.write(b"[" * 65536)

    def round(self) -> None:
        self.wfile.write(
            b"HTTP/1.1 301 Moved Permanently\r\nLocation: /round\r\nContent-Length: 0\r\n\r\n"
        )


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address, daemon_threads, request_queue_size = True, True, 100

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Bad)
        self.over = threading.Event()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Whoever asks has hung up, as it should."""


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with Server() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.over.set()
        server.shutdown()


@pytest.fixture(scope="module")
def checkout(new_checkout: Callable[[str], Checkout]) -> Checkout:
    return new_checkout("pages")


def look(checkout: Checkout, *words: str, **where: str) -> tuple[dict[str, Any], float]:
    """The document of `inv WORDS --json` where the site (and `alb`, `site_tls`) is there, and how
    long the command took.
    """
    (checkout.root / "overlay.yaml").write_text(
        yaml.safe_dump(
            {
                "aws": {"endpoint": "http://127.0.0.1:9", "access_key": "a", "secret_key": "b"},
                **where,
            }
        )
    )
    environment = {
        "account": "123456789012",
        "region": "us-east-1",
        "cluster": "c",
        "overlay": "overlay.yaml",
        "services": {},
        "health": {"timeout": f"{TIMEOUT}s", "deadline": f"{DEADLINE}s", "endpoints": ENDPOINTS},
    }
    values = {"tasks": {"dedupe": False}, "env": "odd", "environments": {"odd": environment}}
    (checkout.root / "invoke.yaml").write_text(yaml.safe_dump(values))
    began = time.monotonic()
    done = checkout.inv(*words, "--json")
    taken = time.monotonic() - began
    assert done.returncode == 1, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found, taken


def test_pages_that_go_wrong_in_every_way(checkout: Checkout, port: int) -> None:
    """Silence, a byte now and then, a circle of 301s, a body without end, half a body, JSON that is
    none or says something else.
    """
    found, taken = look(checkout, "health.endpoints", site=f"http://127.0.0.1:{port}")
    told = {
        check["name"].split(" ")[1]: check
        for check in found["checks"]
        if check["name"].startswith("GET ")
    }
    assert {path: (check["status"], check["value"]) for path, check in told.items()} == {
        "/well": ("ok", "200"),
        "/hung": ("failed", "no answer page_hangs"),
        "/drip": ("failed", "200 page_hangs"),
        "/round": ("failed", "301 redirect_loop"),
        "/broken": ("failed", "200 no_answer"),
        "/endless": ("failed", "200 wrong_body"),
        "/prose": ("failed", "200 wrong_body"),
        "/other": ("failed", "200 wrong_body"),
    }
    assert "in time" in told["/hung"]["detail"] and "in time" in told["/drip"]["detail"]
    assert "/round → " in told["/round"]["detail"] and "broke off" in told["/broken"]["detail"]
    assert (
        "too long" in told["/endless"]["detail"]
        and "<p>Bad Gateway</p>" in told["/prose"]["detail"]
    )
    assert 'status: "error", expected "ok"' in told["/other"]["detail"]
    assert found["took_s"] < taken < DEADLINE / 2


def test_names_and_handshakes_that_fail(checkout: Checkout, port: int) -> None:
    """A server that speaks no TLS at an https address, and a name that no DNS server knows: told
    apart, for pages and certificates.
    """
    found, taken = look(
        checkout,
        "health.all",
        "--only",
        "endpoints,certificates",
        site=f"https://127.0.0.1:{port}",
        alb="http://nobody.invalid",
    )
    layers = {
        layer: {each["value"] for each in found["checks"] if each["name"].endswith(f" via {layer}")}
        for layer in ("cdn", "alb")
    }
    assert layers["cdn"] == {"no answer tls_failed"}
    assert layers["alb"] <= {
        "no answer name_unresolved",
        "no answer page_hangs",
    }  # a resolver that takes its time is bounded too
    handshake = next(each for each in found["checks"] if each["group"] == "certificates")
    assert handshake["status"] in ("failed", "unknown") and "TLS" in handshake["detail"]
    assert found["took_s"] < taken < DEADLINE / 2
