"""Filter what user code prints: stdout and stderr, of its threads and child processes too.

Within `filtered`, descriptors 1 and 2 lead into a pipe. A thread reads it line by line, removes
secrets, and writes to the original stderr, because stdout is for the task's result. Only the main
thread may redirect: descriptors belong to the whole process.
"""

from __future__ import annotations

import fcntl
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

Hide = Callable[[str], str]
_FIRST_DESCRIPTOR = 64  # ours lie above those that `os.closerange(0, 3)` closes
_MAX_LINE = 1 << 16  # bytes of a line without an end that are held back
_DRAIN_S = 5.0
_CONTROL = {
    code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if code not in (9, 10)
}


class _Redirection:
    """Descriptors 1 and 2 on a pipe, and the thread that reads it."""

    def __init__(self, hide: Hide) -> None:
        self.hide = hide
        flush()
        self.saved = {number: _above(number) for number in (0, 1, 2)}
        self.reader, writer = os.pipe()
        self.writer = _above(writer)
        os.close(writer)
        self.end = b"\0" + os.urandom(8).hex().encode() + b"\n"
        self.drained = threading.Event()
        threading.Thread(target=self._read, daemon=True, name="output").start()
        self.direct()

    def direct(self) -> None:
        """Point the descriptors to the pipe again, as user code may have closed them."""
        with suppress(OSError):
            os.dup2(self.saved[0], 0)
            os.dup2(self.writer, 1)
            os.dup2(self.writer, 2)

    def close(self) -> None:
        """Restore the descriptors after all output so far is written."""
        flush()
        for number, saved in self.saved.items():
            with suppress(OSError):
                os.dup2(saved, number)
        with suppress(OSError):
            os.write(self.writer, self.end)
            os.close(self.writer)
        self.drained.wait(_DRAIN_S)

    def _read(self) -> None:
        """Read until the pipe is closed, also by processes that user code left running."""
        rest = b""
        with suppress(OSError):
            while more := os.read(self.reader, _MAX_LINE):
                *lines, rest = (rest + more).split(b"\n")
                for line in lines:
                    self._line(line + b"\n")
                if len(rest) >= _MAX_LINE:
                    self._line(rest + b"\n")
                    rest = b""
        if rest:
            self._line(rest + b"\n")
        self.drained.set()
        for descriptor in (self.reader, *self.saved.values()):
            with suppress(OSError):
                os.close(descriptor)

    def _line(self, line: bytes) -> None:
        if line.endswith(self.end):
            self._write(line[: -len(self.end)])
            self.drained.set()
        else:
            self._write(line)

    def _write(self, line: bytes) -> None:
        if not line:
            return
        try:
            text = self.hide(line.decode("utf-8", "replace").rstrip("\n"))
        except Exception as problem:
            text = f"(a line could not be filtered: {type(problem).__name__})"
        left = f"{text.translate(_CONTROL)}\n".encode("utf-8", "backslashreplace")
        with suppress(OSError):
            while left:
                left = left[os.write(self.saved[2], left) :]


_current: _Redirection | None = None


@contextmanager
def filtered(hide: Hide | None) -> Iterator[None]:
    """Pass output through `hide` to stderr. An outer filter stays in force; None adds none."""
    global _current
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    if _current or hide is None:
        try:
            yield
        finally:
            if _current:
                flush()
                _current.direct()
        return
    _current = _Redirection(hide)
    try:
        yield
    finally:
        close()


@contextmanager
def discarded() -> Iterator[None]:
    """Discard output meanwhile, as a filter can only change it."""
    flush()
    saved = {number: _above(number) for number in (1, 2)}
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for number in saved:
        os.dup2(nowhere, number)
    os.close(nowhere)
    try:
        yield
    finally:
        flush()
        for number, before in saved.items():
            with suppress(OSError):
                os.dup2(before, number)
                os.close(before)


def close() -> None:
    """End the redirection, if there is one."""
    global _current
    ended, _current = _current, None
    if ended:
        ended.close()


def current_filter() -> Hide | None:
    """The filter of the redirection in force."""
    return _current.hide if _current else None


def flush() -> None:
    """Flush both streams; user code may have closed them."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()


def _above(descriptor: int) -> int:
    return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _FIRST_DESCRIPTOR)
