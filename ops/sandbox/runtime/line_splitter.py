"""Splitting of a container's output into lines for the log."""

from __future__ import annotations

import logging
from collections.abc import Callable

_LONGEST_LINE = 16 * 1024  # bytes; Docker cuts there too
_LOG = logging.getLogger("sandbox.runtime")


class LineSplitter:
    """Splits bytes into lines without their newline; the rest of an overlong line is dropped."""

    def __init__(self, log: Callable[[str], None]) -> None:
        self._log, self._held, self._dropping = log, b"", False

    def feed(self, chunk: bytes) -> None:
        """Add output."""
        *lines, rest = (self._held + chunk).split(b"\n")
        for line in lines:
            if not self._dropping:
                self._hand_on(line)
            self._dropping = False
        if len(rest) > _LONGEST_LINE:
            if not self._dropping:
                self._hand_on(rest)
            rest, self._dropping = b"", True
        self._held = rest

    def end(self) -> None:
        """End the output; a last line without a newline counts as well."""
        if self._held and not self._dropping:
            self._hand_on(self._held)
        self._held = b""

    def _hand_on(self, line: bytes) -> None:
        text = line[:_LONGEST_LINE].decode("utf-8", "replace").rstrip("\r")
        try:
            self._log(text + " [cut]" if len(line) > _LONGEST_LINE else text)
        except Exception:  # the reader must go on, or the task would stop at a full pipe
            _LOG.exception("a line of a task could not be stored")
