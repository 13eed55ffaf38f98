"""Keys typed while a task goes on by itself."""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from ops.core import ui

Wait = Callable[[float], bool]
_IN_BACKGROUND_S = 0.5  # how often a background process looks whether it has the terminal again


class Keys:
    """The keys of the terminal, one by one and without Enter, while we are in its foreground.

    Elsewhere `wait` only sleeps. The terminal is put back by `close`, and while the process is
    stopped by Ctrl-Z; `on_stop` and `on_continue` are called then.
    """

    def __init__(
        self,
        on_stop: Callable[[], None] = lambda: None,
        on_continue: Callable[[], None] = lambda: None,
        *,
        drop_earlier: bool = False,
    ) -> None:
        self._on_stop, self._on_continue = on_stop, on_continue
        self._drop_earlier = drop_earlier
        self._before: list[Any] | None = None  # the terminal's attributes
        self._typed = ""
        self._handlers: dict[signal.Signals, Any] = {}

    def open(self) -> None:
        """Read single keys from now on."""
        if not ui.in_foreground():
            return
        import termios

        with suppress(termios.error, OSError):
            self._before = termios.tcgetattr(sys.stdin.fileno())
            self._set_single_keys(termios.TCSAFLUSH if self._drop_earlier else termios.TCSADRAIN)
        with suppress(ValueError):  # not the main thread
            self._handlers[signal.SIGTSTP] = signal.signal(signal.SIGTSTP, self._stop)
            self._handlers[signal.SIGCONT] = signal.signal(signal.SIGCONT, self._continue)

    def close(self) -> None:
        """Put the terminal back. Idempotent."""
        for number, handler in self._handlers.items():
            signal.signal(number, handler or signal.SIG_DFL)
        self._handlers = {}
        self._put_back()
        self._before = None

    def wait(self, seconds: float) -> str:
        """The next key within `seconds`; "" without one, after that time."""
        ends = time.monotonic() + seconds
        while not self._typed:
            left = max(ends - time.monotonic(), 0.0)
            if self._before is None:
                time.sleep(left)
            elif not ui.in_foreground():
                time.sleep(min(left, _IN_BACKGROUND_S))
            else:
                self._read(left)
            if left == 0.0:
                break
        key, self._typed = self._typed[:1], self._typed[1:]
        return key

    def _read(self, seconds: float) -> None:
        try:
            if not select.select([sys.stdin.fileno()], [], [], seconds)[0]:
                return
            found = os.read(sys.stdin.fileno(), 64)
        except OSError:
            found = b""
        self._typed = found.decode(errors="replace")
        if not found:  # the terminal is gone: no more keys
            self._before = None

    def _set_single_keys(self, when: int) -> None:
        import tty

        tty.setcbreak(sys.stdin.fileno(), when)

    def _put_back(self) -> None:
        if self._before is None or not ui.in_foreground():
            return  # a background process would be stopped by it
        import termios

        with suppress(termios.error, OSError):
            termios.tcsetattr(sys.stdin.fileno(), termios.TCSADRAIN, self._before)

    def _stop(self, *_: Any) -> None:
        """Ctrl-Z: leave the terminal as it was, and stop."""
        self._on_stop()
        self._put_back()
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)
        signal.signal(signal.SIGTSTP, self._stop)

    def _continue(self, *_: Any) -> None:
        import termios

        if self._before is not None and ui.in_foreground():
            with suppress(termios.error, OSError):
                self._set_single_keys(termios.TCSADRAIN)
            self._on_continue()


@contextmanager
def quit_key(
    key: str = "q",
    *,
    on_stop: Callable[[], None] = lambda: None,
    on_continue: Callable[[], None] = lambda: None,
) -> Iterator[Wait]:
    """A function that waits for so many seconds; True as soon as `key` is pressed.

    Without a terminal, or in the background, it only sleeps.
    """
    keys = Keys(on_stop, on_continue)
    keys.open()
    try:
        yield lambda seconds: _pressed(keys, key, seconds)
    finally:
        keys.close()


def _pressed(keys: Keys, key: str, seconds: float) -> bool:
    ends = time.monotonic() + seconds
    while True:
        typed = keys.wait(max(ends - time.monotonic(), 0.0))
        if typed in (key, ""):
            return typed == key
