"""A command at a terminal of its own, as an operator has one: what stood on the screen, with its
colours, and keys typed into it.
"""

from __future__ import annotations

import os
import pty
import re
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

PROMPT = re.compile(rb"(\[\w/\w\] |type [^\n]+: )$")  # how every question of a task ends


class Terminal:
    """A process at a terminal; `screen` is what it has shown so far."""

    def __init__(self, command: Sequence[str], cwd: Path, environment: Mapping[str, str]) -> None:
        pid, self.master = pty.fork()
        if pid == 0:
            os.chdir(cwd)
            os.execvpe(command[0], [*command], dict(environment))
        self.pid, self.screen, self.seen = pid, b"", 0

    def read(self) -> bool:
        """Wait for more on the screen; False when the process has closed it."""
        try:
            more = os.read(self.master, 65536)
        except OSError:  # Linux's way to say that nobody has the terminal open any more
            return False
        self.screen += more
        return bool(more)

    def wait_for(self, text: str | re.Pattern[bytes]) -> None:
        """Read until `text` stands on the screen after what was waited for before. Fails where the
        process ends without it.
        """
        wanted = text if isinstance(text, re.Pattern) else re.compile(re.escape(text.encode()))
        while not (found := wanted.search(self.screen, self.seen)):
            assert self.read(), f"ended without {text!r}:\n{self.text}"
        self.seen = found.end()

    def type(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def interrupt(self) -> None:
        os.kill(self.pid, signal.SIGINT)

    @property
    def text(self) -> str:
        return self.screen.decode(errors="replace")

    @property
    def plain(self) -> str:
        """The text without colours; lines that were wrapped at the terminal's width are whole."""
        return re.sub(r"\r\n {6,}", " ", re.sub(r"\x1b\[[\d;]*[mK]", "", self.text))

    def ended(self) -> int:
        """Read to the end; the exit code."""
        while self.read():
            pass
        os.close(self.master)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def typed(
    command: Sequence[str],
    cwd: Path,
    environment: Mapping[str, str],
    answer: str | None = None,
    *,
    ahead: str = "",
) -> tuple[int, str]:
    """`command` where `answer` is typed at its first question, and `ahead` at once: exit code, and
    what stood on the screen.
    """
    terminal = Terminal(command, cwd, environment)
    terminal.type(ahead)
    if answer is not None:
        terminal.wait_for(PROMPT)
        terminal.type(f"{answer}\n")
    return terminal.ended(), terminal.text
