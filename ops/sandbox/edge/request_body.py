"""The body of an incoming request: its length and blocks (RFC 9112, sections 6 and 7)."""

from __future__ import annotations

from collections.abc import Iterator
from io import BufferedIOBase

BLOCK = 65_536


class BadRequestError(Exception):
    """The client's message can't be framed; answered with 400, then closed."""


class RequestBody:
    """A request's body as an iterator of blocks.

    `done` is true once it was read to the end, so that the connection can be reused.
    """

    def __init__(self, source: BufferedIOBase, length: int | None) -> None:
        self._source, self.length = source, length
        self.done = length == 0

    def __iter__(self) -> Iterator[bytes]:
        blocks = self._chunks() if self.length is None else self._read(self.length)
        yield from blocks
        self.done = True

    def _read(self, length: int) -> Iterator[bytes]:
        while length:
            block = self._source.read(min(BLOCK, length))
            if not block:
                raise ConnectionResetError("the client hung up in the middle of its request")
            length -= len(block)
            yield block

    def _chunks(self) -> Iterator[bytes]:
        while True:
            line = self._source.readline(1024)
            try:
                size = int(line.split(b";")[0].strip(), 16)
            except ValueError as exc:
                raise BadRequestError("bad chunk size") from exc
            if size <= 0:
                break
            yield from self._read(size)
            self._source.readline(8)
        while self._source.readline(BLOCK) not in (b"\r\n", b"\n", b""):
            pass


def length(coding: str | None, length: str | None) -> int | None:
    """Return the body's length in bytes; None for a chunked body. Raises BadRequestError."""
    if coding is not None:
        if length is not None or coding.strip().lower() != "chunked":
            raise BadRequestError("a message has one length")
        return None
    if length is None:
        return 0
    if not (length.isascii() and length.isdigit()):
        raise BadRequestError("bad content length")
    return int(length)
