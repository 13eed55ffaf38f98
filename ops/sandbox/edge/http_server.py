"""The edge's HTTP/1.1 server, with persistent connections (RFC 9112).

An `HttpServer` serves a handler, a function from `Request` to `Response` (or None: close without an
answer). Bodies are streamed in blocks in both directions, so memory is bounded whatever their size;
so is the number of connections. Differs from AWS: no HTTP/2, no WebSocket upgrade, trailers are
dropped, and a connection over the limit is closed rather than queued.
"""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from http.client import HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any

from ops.sandbox.edge.request_body import BLOCK, BadRequestError, RequestBody, length

_LINGER = 4 << 20  # bytes of an unwanted body that are still read
_CONNECTIONS = 256
# seconds until an idle connection is closed (AWS: the ALB's client keep-alive, 60 s idle)
_IDLE = 65.0
_HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Request:
    """One request; `target` is the raw path and query.

    `length` is None for a chunked body, 0 for none.
    """

    method: str
    target: str
    headers: Headers
    client: str
    length: int | None = 0
    body: Iterator[bytes] = field(default_factory=lambda: iter(()))

    @property
    def path(self) -> str:
        return self.target.split("?", 1)[0]

    def header(self, name: str) -> str | None:
        return header(self.headers, name)


@dataclass(frozen=True)
class Response:
    """One response; `note` is for the log.

    Reading `body` may raise OSError or HTTPException, which closes the client's connection.
    """

    status: int
    reason: str
    headers: Headers
    body: Iterable[bytes] = ()
    close: Callable[[], None] = lambda: None
    note: str = ""


Handler = Callable[[Request], Response | None]


def header(headers: Headers, name: str) -> str | None:
    """Return the first value of `name`, case-insensitively."""
    return next((value for key, value in headers if key.lower() == name.lower()), None)


def end_to_end(headers: Iterable[tuple[str, str]]) -> Headers:
    """Return `headers` without hop-by-hop ones, including those that `Connection` names.

    RFC 9110, 7.6.1.
    """
    kept = tuple(headers)
    named = {
        token.strip().lower()
        for key, value in kept
        if key.lower() == "connection"
        for token in value.split(",")
    }
    return tuple((key, value) for key, value in kept if key.lower() not in _HOP_BY_HOP | named)


class _Connection(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = _IDLE
    disable_nagle_algorithm = True
    server: _Server

    def _serve(self) -> None:
        headers = tuple(self.headers.items())
        try:
            incoming = RequestBody(
                self.rfile,
                length(header(headers, "transfer-encoding"), header(headers, "content-length")),
            )
            request = Request(
                self.command,
                self.path,
                headers,
                self.client_address[0],
                incoming.length,
                iter(incoming),
            )
            answer = self.server.handler(request)
        except (
            BadRequestError,
            ValueError,
        ) as exc:  # ValueError: a target or header that can't be sent on
            answer = plain(400, "Bad Request", str(exc))
            incoming = None
        if answer is None:
            self.close_connection = True
            return
        unread = incoming is None or not incoming.done
        self.close_connection = self.close_connection or unread
        try:
            self._write(answer)
            if unread:
                self._linger()
        except (OSError, HTTPException):
            self.close_connection = True
        finally:
            answer.close()
        self.server.log(
            f"{self.server.name} {self.command} {self.path} {answer.status} {answer.note}".rstrip()
        )

    def _linger(self) -> None:
        """Read on for a moment before closing.

        Closing with unread bytes resets the connection, and the client would not see the answer.
        """
        self.connection.shutdown(socket.SHUT_WR)
        self.connection.settimeout(0.5)
        for _ in range(_LINGER // BLOCK):
            if not self.rfile.read1(BLOCK):
                return

    def _write(self, answer: Response) -> None:
        bodiless = self.command == "HEAD" or answer.status in (204, 304)
        sized = header(answer.headers, "content-length") is not None
        chunked = not bodiless and not sized and self.request_version == "HTTP/1.1"
        if not bodiless and not sized and not chunked:
            self.close_connection = True
        self.send_response_only(answer.status, answer.reason)
        for name, value in end_to_end(answer.headers):
            self.send_header(name, value)
        if chunked:
            self.send_header("Transfer-Encoding", "chunked")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if not bodiless:
            for block in answer.body:
                if block:
                    self.wfile.write(b"%x\r\n%b\r\n" % (len(block), block) if chunked else block)
            if chunked:
                self.wfile.write(b"0\r\n\r\n")

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _serve  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing; `_serve` logs each request."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self,
        name: str,
        port: int,
        handler: Handler,
        log: Callable[[str], None],
        tls: ssl.SSLContext | None,
    ) -> None:
        self.name, self.handler, self.log, self.tls = name, handler, log, tls
        self._room = threading.BoundedSemaphore(_CONNECTIONS)
        super().__init__(("127.0.0.1", port), _Connection)

    def server_bind(self) -> None:
        TCPServer.server_bind(self)  # HTTPServer's asks DNS for our own name, which can hang
        self.server_name, self.server_port = "127.0.0.1", self.socket.getsockname()[1]

    def get_request(self) -> tuple[Any, Any]:
        plainly, address = super().get_request()
        if self.tls is None:
            return plainly, address
        return self.tls.wrap_socket(
            plainly, server_side=True, do_handshake_on_connect=False
        ), address  # shaken by the thread that reads

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._room.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that disconnect."""


class HttpServer:
    """One listening port of the edge, served from a thread until `stop`."""

    def __init__(
        self,
        name: str,
        port: int,
        handler: Handler,
        log: Callable[[str], None] = lambda line: None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._server = _Server(name, port, handler, log, tls)
        self._thread = threading.Thread(
            target=self._server.serve_forever,
            kwargs={"poll_interval": 0.05},
            name=f"edge-{name}",
            daemon=True,
        )
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._server.server_port)

    def alive(self) -> bool:
        return self._thread.is_alive()

    def stop(self) -> None:
        """Stop listening; requests in flight end with the process."""
        self._server.shutdown()
        self._server.server_close()


def plain(status: int, reason: str, why: str = "", server: str = "awselb/2.0") -> Response:
    """Return a short HTML page, as AWS's edge sends for its own errors."""
    title = f"{status} {reason}"
    page = (
        f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n"
        f"<center><h1>{title}</h1></center>\r\n</body>\r\n</html>\r\n"
    )
    headers = (
        ("Server", server),
        ("Content-Type", "text/html"),
        ("Content-Length", str(len(page.encode()))),
    )
    return Response(status, reason, headers, (page.encode(),), note=why)
