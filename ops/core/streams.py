"""Make the process's standard streams safe before anything is printed.

A closed descriptor (`>&-`) is opened on /dev/null: the next file or socket would get its number,
and output would go there. A reader that closes the pipe (`inv --list | head`) ends the output
quietly; a full disk is an error. A character that the locale's encoding lacks is escaped.
"""

from __future__ import annotations

import os
import select
import sys
from contextlib import suppress
from typing import Any

from ops.core.errors import OpsError


class WriteFailed(OpsError, OSError):
    """Text that stdout did not take: an OSError for code that writes, an exit code for Invoke."""

    def __init__(self, error: OSError) -> None:
        what, how = "the output could not be written to stdout", "free space where stdout goes"
        super().__init__(
            what, f"[Errno {error.errno}] {error.strerror}", f"{how}, and run it again"
        )
        self.errno, self.strerror = error.errno, error.strerror


class _Pipe:
    """A stream that drops what is written once its reader has gone away.

    Raises WriteFailed where writing fails for another reason.
    """

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.gone = False  # whether the text goes nowhere any more

    def write(self, text: str) -> int:
        try:
            return int(self.stream.write(text))
        except BrokenPipeError:
            self._drop()
            return len(text)
        except OSError as error:
            self._drop()
            raise WriteFailed(error) from None

    def flush(self) -> None:
        try:
            self.stream.flush()
        except BrokenPipeError:
            self._drop()
        except OSError as error:
            self._drop()
            raise WriteFailed(error) from None

    def _drop(self) -> None:
        """Point the descriptor to /dev/null, so that Python's final flush succeeds too."""
        self.gone = True
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.stream.fileno())
        os.close(nowhere)
        with suppress(OSError):
            self.stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def make_safe() -> None:
    """Replace the standard streams where needed. Idempotent."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        _open_closed(number)
        if getattr(sys, name) is None:
            stream = open(number, mode, encoding="utf-8", closefd=False)  # noqa: SIM115  # for good
            setattr(sys, name, stream)
    for stream in (sys.stdout, sys.stderr):
        if (getattr(stream, "encoding", None) or "utf-8").lower() not in ("utf-8", "utf8"):
            _escape(stream)
    if not isinstance(sys.stdout, _Pipe):
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(line_buffering=True)  # an error at the print, not at the end
        sys.stdout = _Pipe(sys.stdout)


def _open_closed(number: int) -> None:
    try:
        os.fstat(number)
    except OSError:
        opened = os.open(os.devnull, os.O_RDWR)
        if opened != number:
            os.dup2(opened, number)
            os.close(opened)


def _escape(stream: Any) -> None:
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="backslashreplace")


def reader_gone(stream: Any) -> bool:
    """Whether nothing reads from a stream any more; also before the next write would find out."""
    if getattr(stream, "gone", False):
        return True
    try:
        poll = select.poll()
        poll.register(stream.fileno(), 0)  # errors alone
        return bool(poll.poll(0))
    except (OSError, ValueError, AttributeError):  # not a descriptor
        return False
