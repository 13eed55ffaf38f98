"""Colours, wrapping and the sign of life, on streams that are terminals and on others."""

from __future__ import annotations

import io
import time
from collections.abc import Mapping

import pytest

from ops.core import ui
from ops.core.errors import ConfigError
from ops.core.terminal import layout, style
from ops.core.terminal.step import Activity, step


class Screen(io.StringIO):
    """A stream that says it is a terminal, of 80 columns with COLUMNS=80."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm-256color")
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("stream", "environment", "expected"),
    [
        (Screen(), {"TERM": "xterm"}, True),
        (Screen(), {}, True),
        (Screen(), {"TERM": "dumb"}, False),
        (Screen(), {"NO_COLOR": "1"}, False),
        (Screen(), {"NO_COLOR": ""}, True),  # no-color.org: present and not empty
        (Screen(), {"NO_COLOR": "1", "FORCE_COLOR": "1"}, False),
        (io.StringIO(), {}, False),
        (io.StringIO(), {"FORCE_COLOR": "1"}, True),
        (io.StringIO(), {"FORCE_COLOR": "0"}, False),
        (io.StringIO(), {"FORCE_COLOR": "1", "TERM": "dumb"}, True),
        (None, {}, False),
    ],
)
def test_which_streams_take_colours(
    stream: object, environment: Mapping[str, str], expected: bool
) -> None:
    """NO_COLOR is stronger than FORCE_COLOR, which is stronger than what the stream is."""
    assert style.wants_colour(stream, environment) is expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("✓ preflight  18 ok", "<32>✓</> preflight  18 ok"),
        (" ✓ build  8 steps    0.4 s", " <32>✓</> build  8 steps    <2>0.4 s</>"),
        ("   ! migrations  1 pending", "   <33>! migrations</>  1 pending"),
        ("✗ endpoints  GET /about  500", "<1;31>✗ endpoints</>  GET /about  500"),
        ("? db  cannot be read", "<35>? db</>  cannot be read"),
        ("– schema  skipped", "<2>– schema  skipped</>"),
        ("succeeded  backend de34eb9", "<32>succeeded</>  backend de34eb9"),
        ("NOT HEALTHY  43 ok · 1 failed", "<1;31>NOT HEALTHY</>  43 ok · 1 failed"),
        ("  04:14  6b0cc95  rolled back  root", "  04:14  6b0cc95  <33>rolled back</>  root"),
        ("failed to do it", "failed to do it"),  # a sentence, not a verdict
        (
            "  next   inv a.b --task x · inv c.d",
            "  <2>next</>   <36>inv a.b --task x</> · <36>inv c.d</>",
        ),
        (" next: ./inv --env dev status", " <2>next:</> <36>./inv --env dev status</>"),
        (
            "next: inv a.logs --grep ' 500 ' --since 5m, then",
            "<2>next:</> <36>inv a.logs --grep ' 500 ' --since 5m</>, then",
        ),
        ("error: no task a.b", "<1;31>error:</> no task a.b"),
        ("  why: it has none", "  why: it has none"),
        ("SELECT 1", "SELECT 1"),
        ("", ""),
    ],
)
def test_a_line_is_coloured_by_its_shape(line: str, expected: str) -> None:
    """Signs, labels, verdicts, states in columns, durations and commands have colours."""
    assert _as_tags(style.painted(line)) == expected


def _as_tags(text: str) -> str:
    for code in sorted({*style.STYLES.values()}, key=len, reverse=True):
        text = text.replace(f"\x1b[{code}m", f"<{code}>")
    return text.replace("\x1b[0m", "</>")


def test_only_colours_that_read_on_both_backgrounds_are_used() -> None:
    """No white, no bright yellow, and nothing outside the 16 ANSI colours."""
    codes = {part for code in style.STYLES.values() for part in code.split(";")}
    assert codes <= {"1", "2", "31", "32", "33", "34", "35", "36"}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("short", ["short"]),
        (
            "! warn  migrations  " + "word " * 8,
            ["! warn  migrations  word word word word", "                    word word word word"],
        ),
        (
            "  why: " + "reason " * 8,
            ["  why: reason reason reason reason", "       reason reason reason reason"],
        ),
        (
            " next: put it there, then inv backend.deploy --tag abc",
            [" next: put it there, then", "       inv backend.deploy --tag abc"],
        ),
        ("x " * 3 + "/a/very/long/path" * 3, ["x x x", "  " + "/a/very/long/path" * 3]),
        (
            "  4  Update it " + "all " * 8,
            ["  4  Update it all all all all all all", "     all all"],
        ),
    ],
)
def test_long_lines_are_wrapped_with_a_hanging_indent(line: str, expected: list[str]) -> None:
    """Text continues under text; a command or a path is not broken."""
    assert list(layout.wrapped(line, 40)) == expected


def test_a_stream_that_is_no_terminal_gets_whole_plain_lines() -> None:
    """A CI log has one line per fact and no escape sequence."""
    line = "✗ endpoints  " + "word " * 40
    assert layout.fitted(line, io.StringIO()) == line


def test_a_dumb_terminal_gets_wrapped_lines_without_escapes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """TERM=dumb still has a width."""
    monkeypatch.setenv("TERM", "dumb")
    found = layout.fitted("✗ endpoints  " + "word " * 40, Screen())
    assert "\x1b" not in found
    assert max(map(len, found.split("\n"))) <= 80


@pytest.mark.parametrize(
    ("columns", "expected"), [("20", 40), ("80", 80), ("120", 120), ("500", 200)]
)
def test_the_width_is_the_terminals_within_limits(
    columns: str, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """40 to 200 columns."""
    monkeypatch.setenv("COLUMNS", columns)
    assert layout.width_of(Screen()) == expected


@pytest.mark.parametrize(
    ("width", "expected"), [(None, "a  1 s"), (20, "a                1 s"), (3, "a  1 s")]
)
def test_the_right_part_stands_at_the_margin(width: int | None, expected: str) -> None:
    """Without a terminal it follows after two spaces."""
    assert layout.with_right("a", "1 s", width) == expected


def test_an_error_is_red_on_stderr_and_plain_in_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """What Invoke prints has colours; what is logged and compared has none."""
    monkeypatch.setattr("sys.stderr", Screen())
    error = ConfigError("no task a.b", "it does not exist", "inv a.c")
    message = error.message or ""
    assert message.startswith("\x1b[1;31merror:\x1b[0m no task a.b\n")
    assert "\x1b[36minv a.c\x1b[0m" in message
    assert str(error) == "error: no task a.b\n  why: it does not exist\n next: inv a.c"


def test_stdout_and_stderr_are_judged_separately(monkeypatch: pytest.MonkeyPatch) -> None:
    """`inv status > file` has colours on the terminal and none in the file."""
    screen, file = Screen(), io.StringIO()
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setattr("sys.stdout", file)
    ui.progress("✓ done")
    ui.print_text("✓ done")
    assert (screen.getvalue(), file.getvalue()) == ("\x1b[32m✓\x1b[0m done\n", "✓ done\n")


def test_escapes_from_outside_do_not_reach_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only our own colours are escape sequences."""
    screen = Screen()
    monkeypatch.setattr("sys.stderr", screen)
    ui.progress("✓ \x1b[2Jname")
    assert screen.getvalue() == "\x1b[32m✓\x1b[0m \\x1b[2Jname\n"
    monkeypatch.setattr("sys.stdout", screen := Screen())
    ui.print_text("  1  Build it from “\x1b]0;a title\x07”")
    assert screen.getvalue() == "  1  Build it from “\\x1b]0;a title\\x07”\n"
    assert "\x1b[2J" not in str(ConfigError("what", "\x1b[2Jwhy").message)
    activity = Activity("Build it from “\x1b[2J\nsubject”", Screen())
    assert activity.text == "Build it from “\\x1b[2J subject”"


def test_verbatim_text_is_neither_wrapped_nor_coloured(monkeypatch: pytest.MonkeyPatch) -> None:
    """SQL can be copied from the terminal."""
    screen, text = Screen(), "✓ " + "SELECT 1; " * 30
    monkeypatch.setattr("sys.stdout", screen)
    ui.print_text(text, verbatim=True)
    assert screen.getvalue() == f"{text}\n"


def test_a_long_step_gives_signs_of_life_without_a_terminal() -> None:
    """A line per interval, with the time so far; a short step prints nothing."""
    stream = io.StringIO()
    with step("waiting for PostgreSQL", stream, heartbeat_s=0.02):
        deadline = time.monotonic() + 5
        while stream.getvalue().count("\n") < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
    lines = stream.getvalue().splitlines()
    assert len(lines) >= 2
    assert all(line.startswith("  · waiting for PostgreSQL  (0.") for line in lines)
    with step("a short step", stream := io.StringIO()):
        pass
    assert stream.getvalue() == ""


def test_a_spinner_shows_the_step_and_its_time_and_is_erased() -> None:
    """What remains on the terminal is what was printed, not the spinner."""
    screen = Screen()
    with step("reading", screen):
        deadline = time.monotonic() + 5
        while "reading" not in screen.getvalue() and time.monotonic() < deadline:
            time.sleep(0.01)
    assert "\r\x1b[K \x1b[36m⠋\x1b[0m reading  \x1b[2m0." in screen.getvalue()
    assert screen.getvalue().endswith("\r\x1b[K")


def test_lines_are_printed_above_the_spinner(monkeypatch: pytest.MonkeyPatch) -> None:
    """The spinner is erased before a line of progress, and drawn again after it."""
    screen = Screen()
    monkeypatch.setattr("sys.stderr", screen)
    with step("reading"):
        deadline = time.monotonic() + 5
        while "reading" not in screen.getvalue() and time.monotonic() < deadline:
            time.sleep(0.01)
        ui.progress("a line")
    assert "\r\x1b[Ka line\n" in screen.getvalue()


def test_an_inner_step_takes_the_place_of_the_outer_one() -> None:
    """One sign of life at a time; the outer one continues afterwards."""
    stream = io.StringIO()
    with step("outside", stream, heartbeat_s=0.02):
        with step("inside", stream, heartbeat_s=60):
            time.sleep(0.1)
            assert stream.getvalue() == ""
        deadline = time.monotonic() + 5
        while "outside" not in stream.getvalue() and time.monotonic() < deadline:
            time.sleep(0.01)
    assert "· outside" in stream.getvalue()


def test_a_closed_terminal_does_not_stop_the_step() -> None:
    """Work in progress does not depend on who watches it."""
    stream = Screen()
    activity = Activity("reading", stream)
    activity.start()
    stream.close()
    time.sleep(0.7)
    activity.end()
    assert activity.took_s > 0.5
