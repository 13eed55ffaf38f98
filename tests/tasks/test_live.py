"""What a watch draws: a table that fits and gives the terminal back, or plain lines that only tell
what is new.
"""

import fcntl
import io
import os
import re
import struct
import termios
import threading

import pytest

from ops.aws.facts import Event, Target
from ops.core.findings import Evidence, Finding
from ops.ecs import display, live_display
from tests.ecs.stops import OLD_ONE, OURS, at, crashed, deployment, service

HIDDEN, SHOWN = "\x1b[?25l", "\x1b[?25h"
EVIDENCE = (Evidence("log of backend", "Error: no module"),)
FINDING = Finding(
    "container_exited", "task a1: it ended", "certain", EVIDENCE, ("inv backend.deploy",)
)
STARTING = service(deployment(pending=2), OLD_ONE)


class Terminal:
    """A real pseudo terminal of a given width, and what was written to it."""

    def __init__(self, monkeypatch, columns):
        monkeypatch.setenv(
            "COLUMNS", str(columns)
        )  # rich measures the process's own terminal, which a test has not
        self.reading, writing = os.openpty()
        fcntl.ioctl(writing, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.stream = os.fdopen(writing, "w", encoding="utf-8")
        self.seen = b""
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        while True:
            try:
                chunk = os.read(self.reading, 65536)
            except OSError:  # Linux: the other side was closed
                return
            if not chunk:
                return
            self.seen += chunk

    def text(self):
        self.stream.close()
        self.reader.join(5)
        os.close(self.reading)
        return self.seen.decode()


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    for name in ("NO_COLOR", "LINES", "FORCE_COLOR", "TTY_INTERACTIVE", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    return lambda columns: Terminal(monkeypatch, columns)


def plain(text):
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


def test_without_a_terminal_only_changes_are_told():
    """The same state twice is one line; a finding is shown whole, with the time since the start."""
    stream, now = io.StringIO(), [100.0]
    screen = live_display.create_display(stream, lambda: now[0])
    assert type(screen) is display.PlainDisplay
    screen.following(OURS, 900)
    now[0] = 104.0
    screen.update(STARTING, (), ())
    screen.update(STARTING, (), ())
    screen.update(
        service(deployment(running=1, pending=1), OLD_ONE),
        (crashed("b"),),
        (Target("10.0.0.1", 3001, "initial"),),
    )
    screen.finding(FINDING)
    screen.close()
    assert stream.getvalue().splitlines() == [
        "   4.0 s  new dev-backend:2: 0/2 running, 2 pending IN_PROGRESS",
        "   4.0 s  other dev-backend:1: 2/2 running, 0 pending COMPLETED",
        "   4.0 s  new dev-backend:2: 1/2 running, 1 pending IN_PROGRESS",
        "   4.0 s  new tasks: 1 STOPPED",
        "   4.0 s  targets: 1 initial",
        "   4.0 s  task a1: it ended [container_exited, certain]",
        "   4.0 s      log of backend: Error: no module",
        "   4.0 s    → inv backend.deploy",
    ]


def test_control_characters_from_outside_are_escaped():
    """A log line cannot clear the screen, nor an event forge a second line."""
    stream = io.StringIO()
    screen = live_display.create_display(stream)
    screen.line("a\x1b[2Jb\x07")
    screen.event(Event("1", None, "one\ntwo\r"))
    assert "\x1b" not in stream.getvalue()
    assert "\\x1b[2J" in stream.getvalue()
    assert len(stream.getvalue().splitlines()) == 2


def test_on_a_terminal_a_table_is_drawn_and_findings_stay(terminal):
    """Tasks, target health, folded events and the phase are on the alternate screen; the
    finding stays on the normal one.
    """
    tty = terminal(100)
    screen = live_display.create_display(tty.stream)
    assert type(screen) is live_display.TableDisplay
    screen.following(OURS, 900)
    screen.phase("starting tasks")
    sick = Target(
        "10.0.0.1",
        3001,
        "unhealthy",
        "Target.ResponseCodeMismatch",
        "Health checks failed with these codes: [404]",
    )
    screen.update(STARTING, (crashed("b"),), (sick,))
    screen.event(Event("1", at(3), "(service x) has started 2 tasks: (task a) (task b)."))
    screen.finding(FINDING)
    screen.close()
    text = tty.text()
    drawn, stays = text.split("\x1b[?1049l")
    for part in ("starting tasks", "0/2 running", "STOPPED", "1 unhealthy", "12:00:03 2 tasks"):
        assert part in plain(drawn), part
    assert "Error: no module" in plain(stays) and "STOPPED" not in stays


@pytest.mark.parametrize("columns", [2, 20, 40, 80])
def test_a_narrow_terminal_is_no_reason_to_fail(terminal, columns):
    """Long events are cut, not wrapped over the table, and a sliver of a terminal breaks
    nothing.
    """
    tty = terminal(columns)
    screen = live_display.create_display(tty.stream)
    screen.following(OURS, 900)
    screen.update(STARTING, (), ())
    screen.event(Event("1", at(3), "x" * 500))
    screen.line("still here")
    screen.close()
    assert "x" * columns not in plain(tty.text()).replace("\r\n", "")


@pytest.mark.parametrize("problem", [RuntimeError, KeyboardInterrupt])
def test_the_cursor_is_given_back_whatever_happens(terminal, problem):
    """An exception or Ctrl-C in the middle of a watch, and the terminal is as it was; closing twice
    is fine.
    """
    tty = terminal(80)
    screen = live_display.create_display(tty.stream)

    def broken():
        try:
            screen.following(OURS, 900)
            screen.update(STARTING, (), ())
            raise problem
        finally:
            screen.close()

    with pytest.raises(problem):
        broken()
    screen.close()
    text = tty.text()
    assert HIDDEN in text
    assert text.rindex(SHOWN) > text.rindex(HIDDEN)


def test_a_dumb_terminal_gets_plain_lines(terminal, monkeypatch):
    """Where nothing can be redrawn, nothing is."""
    monkeypatch.setenv("TERM", "dumb")
    tty = terminal(80)
    screen = live_display.create_display(tty.stream)
    assert type(screen) is display.PlainDisplay
    screen.line("hello")
    assert "hello" in tty.text()


def test_hostile_markup_is_text(terminal):
    """Rich's own markup in an event is shown as it is."""
    tty = terminal(80)
    screen = live_display.create_display(tty.stream)
    screen.following(OURS, 900)
    screen.update(STARTING, (), ())
    screen.event(Event("1", at(3), "[red]no[/nonsense] \x1b[2J"))
    screen.line("[bold]x[/bold]")
    screen.close()
    text = tty.text()
    assert "[red]no[/nonsense] \\x1b[2J" in plain(text)
    assert "[bold]x[/bold]" in plain(text)
    assert "\x1b[2J" not in text
