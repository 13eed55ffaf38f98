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

from ops.sandbox.edge.http_server import Answer

Serve = Callable[[], Answer]
Way = Callable[[Serve], Answer]
PAGE = b"<!doctype html>\n<title>Error</title><h1>Internal Server Error</h1>\n"


@dataclass
class Weather:
    """Ways by layer and path; safe to use from any thread. `distance`: seconds that every answer of
    the edge takes longer.
    """

    distance: float = 0.0
    _ways: dict[tuple[str, str], Way] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def turn(self, layer: str, path: str, way: Way | None) -> None:
        """From now on `path` goes this way; None: as it should."""
        with self._lock:
            if way is None:
                self._ways.pop((layer, path), None)
            else:
                self._ways[layer, path] = way

    def through(self, layer: str, path: str, serve: Serve) -> Answer:
        with self._lock:
            way = self._ways.get((layer, path))
        return serve() if way is None else way(serve)


def failing(serve: Serve) -> Answer:
    """The application's own 500."""
    headers = (
        ("Content-Type", "text/html; charset=utf-8"),
        ("Content-Length", str(len(PAGE))),
        ("Cache-Control", "no-store"),
    )
    return Answer(500, "Internal Server Error", headers, (PAGE,))


def slow(seconds: float) -> Way:
    """The right answer, late, and made anew for every viewer."""

    def way(serve: Serve) -> Answer:
        time.sleep(seconds)
        return labelled(serve(), "Cache-Control", "no-store")

    return way


def hanging(seconds: float, over: threading.Event) -> Way:
    """No answer for `seconds`, or until it is over. Raises TimeoutError."""

    def way(serve: Serve) -> Answer:
        if over.wait(seconds):
            return serve()
        raise TimeoutError("no answer")

    return way


def typed(kind: str) -> Way:
    """The right body, called something else."""

    def way(serve: Serve) -> Answer:
        return labelled(serve(), "Content-Type", kind)

    return way


def labelled(answer: Answer, name: str, value: str) -> Answer:
    """The answer with this header in place of its own."""
    kept = tuple(each for each in answer.headers if each[0].lower() != name.lower())
    return replace(answer, headers=(*kept, (name, value)))
