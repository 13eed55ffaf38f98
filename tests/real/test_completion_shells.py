"""Completion typed at the prompt of bash, zsh and fish."""

from __future__ import annotations

import os
import re
import signal
import sys
from pathlib import Path

import pytest

from tests.terminal import Terminal

ROOT = Path(__file__).resolve().parents[2]
SHELLS = {
    "bash": (["--norc", "--noprofile", "-i"], 'eval "$(./inv --print-completion-script bash)"'),
    "zsh": (["-f", "-i"], 'eval "$(./inv --print-completion-script zsh)"'),
    "fish": (["--no-config", "-i"], "./inv --print-completion-script fish | source"),
}
CODES = r"(?:\x1b\[[0-9;?]*[A-Za-z]|\x1b[()=>][A-Z0-9]?|[\r\x08\x07])*"


def spread(text: str) -> re.Pattern[bytes]:
    """The text as a line editor writes it: with control sequences between its characters."""
    return re.compile(CODES.join(map(re.escape, text)).encode())


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("./inv db.upg", "db.upgrade"),
        ("./inv sandbox.break page-5", "page-500"),
        ("./inv backend.deploy --time", "--timeout"),
        ("./inv status --env sand", "sandbox"),
    ],
)
def test_a_word_is_completed(
    require, tmp_path: Path, shell: str, typed: str, completed: str
) -> None:
    """`./inv` too, which the shells find by the name after its last slash."""
    program = require(shell)
    (tmp_path / "inv").write_text(
        f"#!/bin/sh\nexec {sys.executable} -P {ROOT}/ops/tasks/program.py --search-root {ROOT} "
        '"$@"\n'
    )
    (tmp_path / "inv").chmod(0o755)
    options, setup = SHELLS[shell]
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "TERM": "xterm" if shell != "fish" else "dumb",
        "LANG": "C.UTF-8",
        "PYTHONPATH": str(ROOT),
        "PS1": "> ",
    }
    terminal = Terminal([program, *options], tmp_path, environment)
    try:
        terminal.type(f"{setup}; echo re''ady\n")
        terminal.wait_for("ready")
        terminal.type(f"{typed}\t")
        terminal.wait_for(spread(completed))
    finally:
        os.kill(terminal.pid, signal.SIGKILL)
        terminal.ended()
