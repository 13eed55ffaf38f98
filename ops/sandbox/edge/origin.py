"""One exchange with the origin: a connection per request, with a streamed response body."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPResponse

from ops.sandbox.edge.http_server import Headers, Request, Response, end_to_end
from ops.sandbox.edge.request_body import BLOCK


@dataclass(frozen=True)
class Timeouts:
    """Seconds to connect, and to wait for the next bytes."""

    connect: float
    read: float


class NoConnectionError(OSError):
    """The origin did not accept the connection (refused or reset)."""


class NoConnectionInTimeError(TimeoutError):
    """The origin did not accept the connection in time."""


def exchange(
    address: str, port: int, request: Request, headers: Headers, timeouts: Timeouts
) -> Response:
    """Send `request` with `headers` and return the response with its body unread.

    Raises NoConnectionError, NoConnectionInTimeError, TimeoutError (no answer in time), OSError or
    HTTPException (a malformed answer).
    """
    connection = HTTPConnection(address, port, timeout=timeouts.connect)
    try:
        _connect(connection, timeouts)
        _send(connection, request, headers)
        response = connection.getresponse()
    except BaseException:
        connection.close()
        raise

    def close() -> None:
        response.close()
        connection.close()

    return Response(
        response.status,
        response.reason,
        end_to_end(response.getheaders()),
        _blocks(response),
        close,
    )


def _connect(connection: HTTPConnection, timeouts: Timeouts) -> None:
    try:
        connection.connect()
    except TimeoutError as exc:
        raise NoConnectionInTimeError(str(exc)) from exc
    except OSError as exc:
        raise NoConnectionError(str(exc)) from exc
    connection.sock.settimeout(timeouts.read)


def _send(connection: HTTPConnection, request: Request, headers: Headers) -> None:
    connection.putrequest(request.method, request.target, skip_host=True, skip_accept_encoding=True)
    framing = {"content-length", "expect"}
    for name, value in end_to_end(headers):
        if name.lower() not in framing:
            connection.putheader(name, value)
    connection.putheader("Connection", "close")
    if request.length is None:
        connection.putheader("Transfer-Encoding", "chunked")
    elif request.length or request.method in ("POST", "PUT", "PATCH"):
        connection.putheader("Content-Length", str(request.length))
    connection.endheaders()
    for block in request.body:
        connection.send(b"%x\r\n%b\r\n" % (len(block), block) if request.length is None else block)
    if request.length is None:
        connection.send(b"0\r\n\r\n")


def _blocks(response: HTTPResponse) -> Iterator[bytes]:
    while block := response.read1(BLOCK):
        yield block
    if response.length:  # read1 ends quietly on a short body
        raise ConnectionResetError(f"{response.length} bytes of the answer are missing")
