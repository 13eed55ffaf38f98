"""Keys typed while a task goes on by itself."""

from __future__ import annotations

import os
import select
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from ops.core import ui

Wait = Callable[[float], bool]


@contextmanager
def quit_key(key: str = "q") -> Iterator[Wait]:
    """A function that waits for so many seconds; True as soon as `key` is pressed.

    Without a terminal, or in the background, it only sleeps.
    """
    if not ui.in_foreground():
        yield _sleep
        return
    import termios
    import tty

    descriptor = sys.stdin.fileno()
    try:
        before = termios.tcgetattr(descriptor)
        tty.setcbreak(descriptor, termios.TCSADRAIN)
    except (termios.error, OSError):
        yield _sleep
        return
    try:
        yield lambda seconds: _pressed(descriptor, key.encode(), seconds)
    finally:
        with suppress(termios.error, OSError):
            termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _sleep(seconds: float) -> bool:
    time.sleep(max(seconds, 0.0))
    return False


def _pressed(descriptor: int, key: bytes, seconds: float) -> bool:
    ends = time.monotonic() + seconds
    while True:
        left = max(ends - time.monotonic(), 0.0)
        try:
            ready = select.select([descriptor], [], [], left)[0]
            typed = os.read(descriptor, 64) if ready else b""
        except OSError:
            return False
        if key in typed:
            return True
        if not ready:
            return False
        if not typed:  # end of file: no more keys
            return _sleep(ends - time.monotonic())
