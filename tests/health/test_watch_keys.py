"""`q` ends `health.* --watch` and `SERVICE.status --watch` on a real terminal."""

from __future__ import annotations

import pytest

from bench.emulator import EmulatedTerminal
from tests.checkout import Checkout
from tests.factories import inv_command, plain_environment

pytestmark = [pytest.mark.xdist_group("platform"), pytest.mark.timeout(240)]


def at_terminal(platform: Checkout, *words: str) -> EmulatedTerminal:
    environment = plain_environment(TERM="xterm-256color")
    terminal = EmulatedTerminal(inv_command(platform.root, *words), platform.root, environment)
    terminal.wait_for(lambda text: terminal.screen.alternate and "q quits" in text)
    return terminal


def test_q_ends_with_the_exit_code_of_the_last_sweep(platform: Checkout) -> None:
    """0 while everything is healthy, 1 with a failed page; the last sweep stays on the screen."""
    terminal = at_terminal(platform, "health.endpoints", "--watch", "1")
    terminal.wait_for("every 1 s")
    terminal.type("q")
    assert terminal.ended() == 0
    assert not terminal.screen.alternate and "healthy" in terminal.screen.text
    assert platform.inv("sandbox.break", "page-500").returncode == 0
    try:
        terminal = at_terminal(platform, "health.endpoints", "--watch", "1")
        screen = terminal.wait_for("FAILED")
        assert all(len(line) <= 80 for line in screen.split("\n")) and "expected 200" in screen
        terminal.type("xq")
        assert terminal.ended() == 1
        assert "NOT HEALTHY" in terminal.screen.text
    finally:
        platform.inv("sandbox.mend", "page-500")


def test_q_ends_the_status_too(platform: Checkout) -> None:
    """With the exit code of the last screen, which stays behind; Ctrl-C ends it with 0."""
    expected = platform.inv("backend.status").returncode
    terminal = at_terminal(platform, "backend.status", "--watch")
    terminal.wait_for("ADDRESS")
    terminal.resize(60, 15)
    terminal.watch(1.0)
    assert terminal.screen.display[-1].rstrip().endswith("q quits")
    terminal.type("q")
    assert terminal.ended() == expected
    assert "health      " in terminal.screen.text
    terminal = at_terminal(platform, "backend.status", "--watch")
    terminal.type("\x03")
    assert terminal.ended() == 0
