"""What the edge is made to do wrong for a while: one page that fails, is slow, hangs, or comes with
another content type.

`target` is what a target does (seen through the load balancer and the CDN alike), `cdn` what the
distribution does with an answer. Emulates an application's or a distribution's mistake. Differs
from it: the task itself knows nothing of it and writes no log line."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from ops.sandbox.edge.http_server import Response

Serve = Callable[[], Response]
Middleware = Callable[[Serve], Response]
PAGE = b"<!doctype html>\n<title>Error</title><h1>Internal Server Error</h1>\n"


@dataclass
class EdgeFaults:
    """Ways by layer and path; safe to use from any thread. `distance`: seconds that every answer of
    the edge takes longer.
    """

    extra_latency: float = 0.0
    _handlers: dict[tuple[str, str], Middleware] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def set(self, layer: str, path: str, handler: Middleware | None) -> None:
        """From now on `path` goes this way; None: as it should."""
        with self._lock:
            if handler is None:
                self._handlers.pop((layer, path), None)
            else:
                self._handlers[layer, path] = handler

    def apply(self, layer: str, path: str, serve: Serve) -> Response:
        with self._lock:
            handler = self._handlers.get((layer, path))
        return serve() if handler is None else handler(serve)


def failing(serve: Serve) -> Response:
    """The application's own 500."""
    headers = (
        ("Content-Type", "text/html; charset=utf-8"),
        ("Content-Length", str(len(PAGE))),
        ("Cache-Control", "no-store"),
    )
    return Response(500, "Internal Server Error", headers, (PAGE,))


def slow(seconds: float) -> Middleware:
    """The right answer, late, and made anew for every viewer."""

    def handler(serve: Serve) -> Response:
        time.sleep(seconds)
        return with_header(serve(), "Cache-Control", "no-store")

    return handler


def hanging(seconds: float, over: threading.Event) -> Middleware:
    """No answer for `seconds`, or until it is over. Raises TimeoutError."""

    def handler(serve: Serve) -> Response:
        if over.wait(seconds):
            return serve()
        raise TimeoutError("no answer")

    return handler


def with_content_type(kind: str) -> Middleware:
    """The right body, called something else."""

    def handler(serve: Serve) -> Response:
        return with_header(serve(), "Content-Type", kind)

    return handler


def with_header(answer: Response, name: str, value: str) -> Response:
    """The answer with this header in place of its own."""
    kept = tuple(each for each in answer.headers if each[0].lower() != name.lower())
    return replace(answer, headers=(*kept, (name, value)))
