"""Faults injected at the edge: pages that fail, are slow, hang, or have a wrong type.

Layer `target` changes what a target answers (seen through the load balancer and the CDN alike),
`cdn` what the distribution does with an answer. Emulates an application's or a distribution's
mistake. Differs from it: the task itself is unaffected and writes no log line.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from ops.sandbox.edge.http_server import Response

Serve = Callable[[], Response]
Middleware = Callable[[Serve], Response]
_PAGE = b"<!doctype html>\n<title>Error</title><h1>Internal Server Error</h1>\n"


@dataclass
class EdgeFaults:
    """The active faults by layer and path; thread-safe.

    `extra_latency`: seconds added to every answer of the edge.
    """

    extra_latency: float = 0.0
    _handlers: dict[tuple[str, str], Middleware] = field(default_factory=dict)
    _delays: dict[str, float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def set(self, layer: str, path: str, handler: Middleware | None) -> None:
        """Set the fault for `path`; None removes it."""
        with self._lock:
            if handler is None:
                self._handlers.pop((layer, path), None)
            else:
                self._handlers[layer, path] = handler

    def set_delay(self, path: str, seconds: float) -> None:
        """Answer `path` of every target late by so many seconds; 0 ends that."""
        self.set("target", path, slow(seconds) if seconds else None)
        with self._lock:
            self._delays = {**self._delays, path: seconds}

    def delay(self, path: str) -> float:
        """Return the seconds by which targets answer `path` late."""
        return self._delays.get(path, 0.0)

    def apply(self, layer: str, path: str, serve: Serve) -> Response:
        with self._lock:
            handler = self._handlers.get((layer, path))
        return serve() if handler is None else handler(serve)


def failing(serve: Serve) -> Response:
    """Answer with the application's own 500."""
    headers = (
        ("Content-Type", "text/html; charset=utf-8"),
        ("Content-Length", str(len(_PAGE))),
        ("Cache-Control", "no-store"),
    )
    return Response(500, "Internal Server Error", headers, (_PAGE,))


def slow(seconds: float) -> Middleware:
    """Return the right answer late, uncached."""

    def handler(serve: Serve) -> Response:
        time.sleep(seconds)
        return _with_header(serve(), "Cache-Control", "no-store")

    return handler


def hanging(seconds: float, over: threading.Event) -> Middleware:
    """Do not answer for `seconds` or until `over` is set. Raises TimeoutError."""

    def handler(serve: Serve) -> Response:
        if over.wait(seconds):
            return serve()
        raise TimeoutError("no answer")

    return handler


def with_content_type(kind: str) -> Middleware:
    """Return the right body with another content type."""

    def handler(serve: Serve) -> Response:
        return _with_header(serve(), "Content-Type", kind)

    return handler


def _with_header(answer: Response, name: str, value: str) -> Response:
    """Return the answer with this header replaced."""
    kept = tuple(each for each in answer.headers if each[0].lower() != name.lower())
    return replace(answer, headers=(*kept, (name, value)))
