"""The check that HTTP requests come from programs on this machine.

A web page in the operator's browser can reach loopback as well. Its requests carry another `Host`
if its name resolves to 127.0.0.1 (DNS rebinding), or an `Origin`; both are rejected, and no answer
has CORS headers. The site and the load balancer are exempt: they are public by nature and serve the
tasks' content.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import urlsplit

_NAMES = ("127.0.0.1", "localhost")
_CORS = "access-control-"


def foreign(host: str | None, origin: str | None) -> str | None:
    """Return why a request with these headers is rejected, or None for a local one."""
    try:
        name = urlsplit(f"//{host or ''}").hostname
    except ValueError:
        name = None
    if name not in _NAMES:
        return "Host is not this machine's loopback"
    return "requests of web pages are not answered (Origin)" if origin is not None else None


class LocalOnly:
    """WSGI middleware that accepts local requests only.

    It answers 403 to foreign requests and 404 to paths that start with one of `hidden`, and strips
    CORS headers.
    """

    def __init__(
        self, application: Callable[..., Iterable[bytes]], hidden: tuple[str, ...] = ()
    ) -> None:
        self.application, self.hidden = application, hidden

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        why = foreign(environ.get("HTTP_HOST"), environ.get("HTTP_ORIGIN"))
        if why:
            return _plain(start_response, "403 Forbidden", why)
        if self.hidden and str(environ.get("PATH_INFO", "")).startswith(self.hidden):
            return _plain(start_response, "404 Not Found", "not found")

        def start(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            kept = [each for each in headers if not each[0].lower().startswith(_CORS)]
            return start_response(status, kept, *more)

        return self.application(environ, start)


def _plain(start_response: Callable[..., Any], status: str, text: str) -> list[bytes]:
    body = f"{text}\n".encode()
    start_response(status, [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
