"""What a person, or a program, sees: progress on stderr, results on stdout, questions, and exactly
one JSON document with `--json`.
"""

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
from ops.core.redaction.redact import known

CONTROL = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if code not in (9, 10)}

_COLOUR = re.compile(
    r"\x1b\[[\d;:]*m|\x1b\[\d?K"
)  # and "erase to the end of the line", which colouring programs send


def plain(text: str) -> str:
    """Text from another program without its colours; other control characters are shown as
    `\\x..`.
    """
    return _COLOUR.sub("", text).translate(CONTROL)


_READER_GONE = (errno.EPIPE, errno.ECONNRESET, errno.EIO, errno.EBADF)  # a pipe, a terminal, closed


def progress(line: str = "") -> None:
    """One line of progress, on stderr; control characters from outside cannot move the terminal's
    cursor.
    """
    print(line.translate(CONTROL), file=sys.stderr, flush=True)


def on_terminal() -> bool:
    """Whether a person can be asked (stdin) and sees what is drawn (stderr)."""
    return sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()


class _BrokenPipeGuard:
    """A stream that hides known secrets and survives its reader (a closed pipe, a lost terminal):
    then text is dropped, never raised.

    What is being done must not hang on whether somebody reads along. The descriptor is pointed to
    nowhere, so that the interpreter's own flush at the end does not fail either.

    `failure`: why something was not written although somebody wants it (a full disk).
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.failure: OSError | None = None

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
    """stdout and stderr that cannot fail."""
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
    """The real stdout for one document, while everything else that is written to fd 1, by children
    too, goes to stderr.
    """
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    stream = os.fdopen(os.dup(kept), "w", encoding="utf-8")
    try:
        yield _BrokenPipeGuard(stream)  # type: ignore[misc]  # a TextIO in all that is used of it
    finally:
        sys.stdout.flush()
        with suppress(OSError):
            stream.close()
        os.dup2(kept, 1)
        os.close(kept)


def write_document(stream: TextIO, document: Any) -> None:
    """One JSON document and a newline; times as ISO 8601 in UTC. Known secrets are hidden in its
    strings, so that it stays JSON.
    """
    stream.write(json.dumps(known.hide_in(document), default=jsonable, ensure_ascii=False) + "\n")
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
    ask: Callable[[str], str] = input,
    option: str = "--yes",
) -> None:
    """Ask before a change; `typed`: the word that must be typed. `--yes` answers. Raises Refused on
    no, and where nobody can be asked.

    `option`: what would have answered it, where that is not `--yes`.
    """
    if yes:
        return
    refuse_unanswerable(what, option)
    progress(what)
    prompt = f"type {typed} to go on: " if typed else "go on? [y/N] "
    answer = read_answer(prompt, ask)
    if answer != typed if typed else answer.lower() not in ("y", "yes"):
        raise Refused(
            what,
            f"the answer was {answer!r}",
            f"run it again and type {typed or 'y'}, or add {option}",
        )


def refuse_unanswerable(what: str, option: str = "--yes") -> None:
    """Raises Refused where no terminal is there to answer a question about `what`."""
    if not on_terminal():
        raise Refused(
            f"{what}: a question without anybody to answer it",
            "there is no terminal",
            f"add {option} to answer it",
        )


def _drop_type_ahead() -> None:
    """Discard what was typed so far: keys pressed while something else ran are no answer to the
    next question.
    """
    if sys.stdin is None or not sys.stdin.isatty():
        return
    import termios

    with suppress(termios.error, OSError, ValueError):
        termios.tcflush(sys.stdin.fileno(), termios.TCIFLUSH)


def countdown(what: str, seconds: float, clock: Callable[[], float] = time.monotonic) -> bool:
    """Announce `what` and wait `seconds` for a key: True where one was pressed, False where the
    time is up.

    False at once where this process runs in the background, since the terminal's keys are
    another's, and where the terminal goes away."""
    if not _in_foreground():
        return False
    progress(f"{what} in {seconds:g} s; press a key to decide")
    import termios
    import tty

    descriptor = sys.stdin.fileno()
    try:
        before = termios.tcgetattr(descriptor)
        tty.setcbreak(descriptor)  # which discards what was typed so far
        try:
            return _key_pressed(descriptor, clock() + seconds, clock)
        finally:
            termios.tcsetattr(descriptor, termios.TCSAFLUSH, before)
    except (termios.error, OSError):
        return False


def _key_pressed(descriptor: int, ends: float, clock: Callable[[], float]) -> bool:
    """Show the seconds left, in place, until a key comes or the time is up."""
    try:
        while (left := ends - clock()) > 0:
            print(f"\r  {math.ceil(left)} s ", end="", file=sys.stderr, flush=True)
            if select.select([descriptor], [], [], left - (math.ceil(left) - 1))[0]:
                return bool(os.read(descriptor, 1))  # nothing to read: the terminal is gone
        return False
    finally:
        print("\r        \r", end="", file=sys.stderr, flush=True)


def _in_foreground() -> bool:
    """Whether the terminal's keys come to this process; a background one is stopped when it reads
    or sets it.
    """
    try:
        return os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except (OSError, ValueError):
        return False


def read_answer(prompt: str, ask: Callable[[str], str] = input) -> str:
    """One line from the terminal, typed after the prompt; it goes to stderr, since stdout belongs
    to the result.

    Every question of a task is asked here. A lost terminal answers nothing.
    """
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
    """An option such as `--timeout 5m`, in seconds; None where it was not given. Raises ConfigError
    (exit 2).
    """
    if text is None:
        return None
    from ops.core.config.types import seconds

    try:
        return seconds(text)
    except ValueError as error:
        raise ConfigError(f"--{option} {text}", str(error), f"--{option} 5m") from None


def span(seconds: float) -> str:
    """As it would be typed: `8s`, `10m`, `1h`."""
    for letter, length in (("h", 3600), ("m", 60)):
        if seconds >= length and seconds % length == 0:
            return f"{seconds / length:.0f}{letter}"
    return f"{seconds:g}s"


def took(seconds: float) -> str:
    """`4.2 s`, `3 min 5 s`."""
    return f"{seconds:.1f} s" if seconds < 60 else f"{int(seconds // 60)} min {int(seconds % 60)} s"
