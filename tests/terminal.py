"""A command at a terminal of its own, as an operator has one: what stood on the screen, with its colours, and answers typed into it."""

from __future__ import annotations

import os
import pty
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path


def typed(command: Sequence[str], cwd: Path, environment: Mapping[str, str], answer: str = "") -> tuple[int, str]:
    """`command` where `answer` is typed: exit code, and what stood on the screen."""
    screen, terminal = pty.openpty()
    process = subprocess.Popen(command, cwd=cwd, env=dict(environment), stdin=terminal, stdout=terminal, stderr=terminal)
    os.close(terminal)
    os.write(screen, answer.encode() + b"\n")
    said = b""
    try:
        while more := os.read(screen, 65536):
            said += more
    except OSError:   # Linux's way to say that nobody has the terminal open any more
        pass
    os.close(screen)
    return process.wait(60), said.decode(errors="replace")
