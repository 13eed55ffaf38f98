"""Terminal output: progress on stderr, results on stdout, questions, one JSON document."""

from __future__ import annotations

import errno
import json
import math
import os
import re
import select
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any, TextIO

from ops.core.errors import ConfigError, Refused
from ops.core.invocation import invocation
from ops.core.redaction.redact import known
from ops.core.terminal import layout, live_screen, style
from ops.core.terminal.step import undisturbed

CONTROL = style.CONTROL

_COLOUR = re.compile(
    r"\x1b\[[\d;:]*m|\x1b\[\d?K"
)  # and "erase to the end of the line", which colouring programs send


def plain(text: str) -> str:
    """Remove colours from another program's text; escape other control characters as `\\x..`."""
    if text.isprintable():  # most lines of a log: the rest costs more
        return text
    return _COLOUR.sub("", text).translate(CONTROL)


_READER_GONE = (errno.EPIPE, errno.ECONNRESET, errno.EIO, errno.EBADF)  # a pipe, a terminal, closed


def progress(line: str = "", right: str = "") -> None:
    """Print a line of progress on stderr; `right` stands at the right margin."""
    line = layout.with_right(invocation.as_typed(line), right, layout.width_of(sys.stderr))
    line = line.translate(CONTROL)
    if live_screen.take_line(line):
        return
    with undisturbed():
        print(layout.fitted(line, sys.stderr), file=sys.stderr, flush=True)


_details = False


def show_details(wanted: bool) -> None:
    """Print what `detail` receives, or not: `--verbose`."""
    global _details
    _details = wanted


def details_wanted() -> bool:
    """Whether `--verbose` was given."""
    return _details


def detail(line: str) -> None:
    """Print a line of progress that only `--verbose` shows."""
    if _details:
        progress(line)


def print_text(text: str, *, verbatim: bool = False) -> None:
    """Print a result on stdout.

    Unless `verbatim`, its suggested commands are written as they are typed here, and on a terminal
    it is wrapped and in colour.
    """
    text = text if verbatim else layout.fitted(invocation.as_typed(text), sys.stdout)
    with undisturbed():
        print(text, flush=True)


def on_terminal() -> bool:
    """Whether stdin can answer questions and stderr is a terminal."""
    return sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()


class _BrokenPipeGuard:
    """A stream that hides known secrets and drops text once its reader has gone away.

    It never raises: work in progress must not depend on a reader (a closed pipe, a lost terminal).
    The descriptor is pointed to /dev/null, so that the interpreter's own flush at exit does not
    fail either.

    `failure` is the error if text was lost although there was a reader (a full disk).
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.failure: OSError | None = None
        self._gave_up = False

    @property
    def gone(self) -> bool:
        """Whether the text goes nowhere any more."""
        return self._gave_up or bool(getattr(self.stream, "gone", False))

    def write(self, text: str) -> int:
        try:
            self.stream.write(known.hide(text))
            return len(text)
        except (OSError, ValueError) as problem:
            self.give_up(problem)
            return len(text)

    def flush(self) -> None:
        try:
            self.stream.flush()
        except (OSError, ValueError) as problem:
            self.give_up(problem)

    def give_up(self, problem: Exception) -> None:
        self._gave_up = True
        if isinstance(problem, OSError) and problem.errno not in _READER_GONE:
            self.failure = problem
        with suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.stream.fileno())
            os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@contextmanager
def ignore_broken_pipes() -> Iterator[None]:
    """Make stdout and stderr streams that cannot fail."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (
        stream if isinstance(stream, _BrokenPipeGuard) else _BrokenPipeGuard(stream)
        for stream in before
    )
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stdout, sys.stderr = before


@contextmanager
def clean_stdout() -> Iterator[TextIO]:
    """The real stdout for one document; other writes to fd 1 go to stderr, by children too."""
    sys.stdout.flush()
    saved = os.dup(1)
    os.dup2(2, 1)
    stream = os.fdopen(os.dup(saved), "w", encoding="utf-8")
    try:
        yield _BrokenPipeGuard(stream)  # type: ignore[misc]  # a TextIO as far as it is used
    finally:
        sys.stdout.flush()
        with suppress(OSError):
            stream.close()
        os.dup2(saved, 1)
        os.close(saved)


def write_document(stream: TextIO, document: Any) -> None:
    """Write a JSON document and a newline; times as ISO 8601 in UTC.

    Known secrets are hidden inside its strings, so that it stays valid JSON.
    """
    safe = known.hide_in(invocation.in_document(document))
    stream.write(json.dumps(safe, default=jsonable, ensure_ascii=False) + "\n")
    stream.flush()


def jsonable(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, tuple | set | frozenset):
        return list(value)
    return str(value)


def confirm(
    what: str,
    *,
    yes: bool,
    typed: str | None = None,
    default: bool = False,
    ask: Callable[[str], str] = input,
    option: str = "--yes",
    next: str = "",
) -> None:
    """Ask before a change. Raises Refused on no, and without a terminal to ask on.

    `typed` is a word that must be typed; `yes` skips the question. `option` is the option that
    would have answered it. With `default` True only "n" and "no" refuse; a lost terminal
    does not. `next` replaces the advice after a no.
    """
    if yes or (default and not on_terminal()):
        return
    refuse_unanswerable(what, option)
    progress(what)
    prompt = (
        f"type {typed} to continue: " if typed else f"continue? [{'Y/n' if default else 'y/N'}] "
    )
    answer = read_answer(prompt, ask)
    if not _agrees(answer, typed, default):
        raise Refused(
            what,
            f"the answer was {answer!r}",
            next or f"run it again and type {typed or 'y'}, or add {option}",
        )


def _agrees(answer: str, typed: str | None, default: bool) -> bool:
    if typed:
        return answer == typed
    return answer.lower() not in ("n", "no") if default else answer.lower() in ("y", "yes")


def refuse_unanswerable(what: str, option: str = "--yes") -> None:
    """Raise Refused without a terminal on which to ask about `what`."""
    if not on_terminal():
        raise Refused(
            f"{what}: this needs an answer",
            "there is no terminal",
            f"add {option} to answer it",
        )


def _drop_type_ahead() -> None:
    """Discard earlier input, so that keys pressed before a question do not answer it."""
    if sys.stdin is None or not sys.stdin.isatty():
        return
    import termios

    with suppress(termios.error, OSError, ValueError):
        termios.tcflush(sys.stdin.fileno(), termios.TCIFLUSH)


def countdown(what: str, seconds: float, clock: Callable[[], float] = time.monotonic) -> bool:
    """Announce `what` and wait `seconds` for a key; True if one was pressed.

    Returns False at once for a background process, since the terminal's keys belong to another one,
    and for a terminal that disappears.
    """
    if not in_foreground():
        return False
    import termios
    import tty

    descriptor = sys.stdin.fileno()
    try:
        before = termios.tcgetattr(descriptor)
        tty.setcbreak(descriptor)  # this discards earlier input: announced only afterwards
        try:
            with undisturbed():
                progress(f"{what} in {seconds:g} s; press a key to decide")
                return _key_pressed(descriptor, clock() + seconds, clock)
        finally:
            termios.tcsetattr(descriptor, termios.TCSAFLUSH, before)
    except (termios.error, OSError):
        return False


def _key_pressed(descriptor: int, ends: float, clock: Callable[[], float]) -> bool:
    """Show the remaining seconds, in place, until a key is pressed or the time is up."""
    try:
        while (left := ends - clock()) > 0:
            print(f"\r  {math.ceil(left)} s ", end="", file=sys.stderr, flush=True)
            if select.select([descriptor], [], [], left - (math.ceil(left) - 1))[0]:
                return bool(os.read(descriptor, 1))  # nothing to read: the terminal is gone
        return False
    finally:
        print("\r        \r", end="", file=sys.stderr, flush=True)


def in_foreground() -> bool:
    """Whether this process receives the terminal's keys.

    A background process is stopped when it reads from or configures the terminal.
    """
    try:
        return os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except (OSError, ValueError):
        return False


def read_answer(prompt: str, ask: Callable[[str], str] = input) -> str:
    """Read a line from the terminal; the prompt goes to stderr, since stdout is for results.

    Every question of a task goes through here. A lost terminal gives an empty answer.
    """
    with undisturbed():
        _drop_type_ahead()
        print(prompt, end="", file=sys.stderr, flush=True)
        try:
            return ask("").strip()
        except (EOFError, OSError):
            return ""
        except KeyboardInterrupt:
            print(file=sys.stderr)
            raise


def parse_seconds(option: str, text: str | None) -> float | None:
    """The value of an option such as `--timeout 5m` in seconds; None if it was not given.

    Raises ConfigError (exit 2), also for a --timeout of 0.
    """
    if text is None:
        return None
    from ops.core.config.types import positive_seconds, seconds

    try:
        return positive_seconds(text) if option == "timeout" else seconds(text)
    except ValueError as error:
        raise ConfigError(f"--{option} {text}", str(error), f"--{option} 5m") from None
