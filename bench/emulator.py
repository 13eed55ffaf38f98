"""A command in a terminal emulator: its screen as a person would see it, and keys typed into it."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import pyte

_ALTERNATE = 1049  # the private mode of the alternate screen, which pyte does not know


class EmulatedScreen(pyte.Screen):
    """A screen with an alternate one. It does not reflow: a narrower one cuts its lines."""

    def __init__(self, columns: int, lines: int) -> None:
        self._normal: Any = None
        super().__init__(columns, lines)

    @property
    def alternate(self) -> bool:
        """Whether the alternate screen is shown."""
        return self._normal is not None

    def set_mode(self, *modes: int, **options: Any) -> None:
        if options.get("private") and _ALTERNATE in modes and not self.alternate:
            self._normal = deepcopy(self.buffer), deepcopy(self.cursor)
            self.erase_in_display(2)
            self.cursor_position()
        super().set_mode(*modes, **options)

    def reset_mode(self, *modes: int, **options: Any) -> None:
        if options.get("private") and _ALTERNATE in modes and self.alternate:
            (buffer, self.cursor), self._normal = self._normal, None
            self.buffer.clear()
            self.buffer.update(buffer)
            self.dirty.update(range(self.lines))
        super().reset_mode(*modes, **options)

    def select_graphic_rendition(self, *attributes: int, **options: Any) -> None:
        """Keep dim text, which pyte does not know, as italics, which the program never uses."""
        known = {2: (3,), 22: (22, 23)}
        wanted = [new for each in attributes or (0,) for new in known.get(each, (each,))]
        super().select_graphic_rendition(*wanted, **options)

    @property
    def text(self) -> str:
        """The lines of the screen without trailing blanks."""
        return "\n".join(line.rstrip() for line in self.display).rstrip()


class EmulatedTerminal:
    """A process at a terminal of `columns` × `lines`."""

    def __init__(
        self,
        command: Sequence[str],
        cwd: Path,
        environment: Mapping[str, str],
        columns: int = 80,
        lines: int = 24,
    ) -> None:
        self.screen = EmulatedScreen(columns, lines)
        self._stream = pyte.ByteStream(self.screen)
        self.pid, self.master = pty.fork()
        if self.pid == 0:
            self._set_size(0, columns, lines)
            os.chdir(cwd)
            os.execvpe(command[0], [*command], {"TERM": "xterm-256color", **environment})

    @staticmethod
    def _set_size(descriptor: int, columns: int, lines: int) -> None:
        size = struct.pack("HHHH", lines, columns, 0, 0)
        fcntl.ioctl(descriptor, termios.TIOCSWINSZ, size)

    def resize(self, columns: int, lines: int) -> None:
        self._set_size(self.master, columns, lines)
        self.screen.resize(lines, columns)

    def type(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def read(self, seconds: float) -> bool:
        """Draw what comes within `seconds`; False once the process has closed the terminal."""
        if not select.select([self.master], [], [], seconds)[0]:
            return True
        try:
            more = os.read(self.master, 65536)
        except OSError:  # Linux: no process has the terminal open
            return False
        self._stream.feed(more)
        return bool(more)

    def wait_for(self, wanted: str | Callable[[str], bool], seconds: float = 60.0) -> str:
        """The screen as soon as `wanted` is on it. Raises AssertionError if it never is."""
        ends = time.monotonic() + seconds
        while True:
            text = self.screen.text
            if wanted in text if isinstance(wanted, str) else wanted(text):
                return text
            going = self.read(0.05)
            assert going and time.monotonic() < ends, f"without {wanted!r}:\n{self.screen.text}"

    def watch(self, seconds: float) -> str:
        """Draw for `seconds`; the screen after that."""
        ends = time.monotonic() + seconds
        while time.monotonic() < ends and self.read(0.05):
            pass
        return self.screen.text

    def ended(self, seconds: float = 120.0) -> int:
        """Draw to the end; the exit code. Raises AssertionError if there is none in time."""
        ends = time.monotonic() + seconds
        while self.read(0.1):
            assert time.monotonic() < ends, f"still runs:\n{self.screen.text}"
        os.close(self.master)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
