"""A sign of life while a step runs: a spinner with its time on a terminal, else a line every 30 s.

A CI runner kills a job that prints nothing for ten minutes, and a person presses Ctrl-C much
earlier.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

from ops.core.terminal.layout import cut, width_of
from ops.core.terminal.style import CONTROL, is_dumb, is_terminal, styled, wants_colour
from ops.core.text import format_duration

HEARTBEAT_S = 30.0
_APPEARS_AFTER_S = 0.5  # a shorter step shows no spinner
_REDRAWS_S = 0.1
_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_ERASE = "\r\x1b[K"


class Activity:
    """The step in progress. A thread of its own draws it."""

    def __init__(
        self,
        text: str,
        stream: TextIO,
        *,
        heartbeat_s: float = HEARTBEAT_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.text = " ".join(text.translate(CONTROL).split())  # a commit's subject may be in it
        self.stream = stream
        self._heartbeat_s, self._clock, self._began = heartbeat_s, clock, clock()
        self.draws = is_terminal(stream) and not is_dumb()
        self._over, self._lock, self._drawn = threading.Event(), threading.RLock(), False
        self.paused = False
        self._thread = threading.Thread(target=self._live, name="step", daemon=True)

    @property
    def took_s(self) -> float:
        """Seconds since the step began."""
        return self._clock() - self._began

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        """Stop drawing and erase the spinner. Idempotent."""
        with self._lock:  # afterwards the thread draws nothing any more
            self._over.set()
            self.erase()

    def pause(self) -> None:
        """Draw nothing until `resume`: a question, or a step inside this one."""
        with self._lock:
            self.paused = True
            self.erase()

    def resume(self) -> None:
        self.paused = False

    def erase(self) -> None:
        with self._lock:
            if self._drawn:
                self._drawn = False
                self._write(_ERASE)

    def _live(self) -> None:
        with suppress(RuntimeError):  # the interpreter ends
            if self.draws:
                self._spin()
            else:
                while not self._over.wait(self._heartbeat_s):
                    if not self.paused:
                        took = format_duration(self.took_s)
                        self._write(f"  · {self.text}  ({took} so far)\n")

    def _spin(self) -> None:
        number, pause = 0, _APPEARS_AFTER_S
        while not self._over.wait(pause):
            pause = _REDRAWS_S
            with self._lock:
                if not self._over.is_set() and not self.paused:
                    self._drawn = True
                    self._write(f"{_ERASE}{self._frame(number)}")
            number += 1

    def _frame(self, number: int) -> str:
        sign, took = _FRAMES[number % len(_FRAMES)], format_duration(self.took_s)
        width = width_of(self.stream) or 80
        text = cut(self.text, width - len(took) - 6)
        if wants_colour(self.stream):
            sign, took = styled(sign, "command"), styled(took, "dim")
        return f" {sign} {text}  {took}"

    def _write(self, text: str) -> None:
        with suppress(OSError, ValueError):
            self.stream.write(text)
            self.stream.flush()


_running: list[Activity] = []


@contextmanager
def undisturbed() -> Iterator[None]:
    """Print, ask or draw inside, while no spinner draws; lines without a terminal continue."""
    current = _running[-1] if _running else None
    if current is None or not current.draws or current.paused:
        yield
        return
    current.pause()
    try:
        yield
    finally:
        current.resume()


@contextmanager
def step(text: str, stream: TextIO | None = None, **options: Any) -> Iterator[Activity]:
    """Show `text` and its time while the body runs; a step inside another one takes its place.

    `text` is what is being done, without a capital or a full stop: "running the tests of backend".
    """
    activity = Activity(text, stream or sys.stderr, **options)
    outer = _running[-1] if _running else None
    try:  # a signal may arrive at any point
        if outer:
            outer.pause()
        _running.append(activity)
        activity.start()
        yield activity
    finally:
        activity.end()
        if activity in _running:
            _running.remove(activity)
        if outer:
            outer.resume()
