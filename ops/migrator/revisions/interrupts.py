"""End user code that ignores an interruption.

The handler of a signal raises an exception, and `except BaseException: pass` in a loop swallows it.
Within `enforced`, a signal starts a thread that waits for user code to end, and then calls the
`before_end` callback, reports, and ends the process with exit code 130:

- `_SECOND_SIGNAL_S` after a second signal;
- `STOP_S` after SIGTERM, SIGHUP, or any signal without a terminal.

After one Ctrl-C at a terminal it prints, after `_NOTICE_S`, that another Ctrl-C ends it.

An interruption that was swallowed is raised again as soon as user code returns.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from ops.migrator.revisions import output

_SECOND_SIGNAL_S, _NOTICE_S, STOP_S = 2.0, 3.0, 10.0
_EXIT_CODE = 130
_SIGNALS = tuple(getattr(signal, n) for n in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, n))
_ENDED = "the interrupted code ignores the interruption: it was ended"
Report = Callable[[str, str, str], None]  # what, why, next
end_process = os._exit  # before any revision could replace it


def print_report(what: str, why: str, how: str) -> None:
    """Three lines on stderr."""
    with suppress(OSError, ValueError):
        print(f"error: {what}\n  why: {why}\n next: {how}", file=sys.stderr, flush=True)


class _Watch:
    """The interruptions of one block of user code."""

    def __init__(self) -> None:
        self.count, self.firm = 0, False
        self.raised: BaseException | None = None
        self.ended, self.again = threading.Event(), threading.Event()

    def note(self, number: int) -> None:
        """Count a signal; the first one starts the thread."""
        self.count += 1
        self.firm |= number != signal.SIGINT or not _on_terminal()
        if self.count > 1:
            self.again.set()
        else:
            threading.Thread(target=self._watch, daemon=True, name="interrupts").start()

    def _watch(self) -> None:
        if not self._goes_on(STOP_S if self.firm else _NOTICE_S):
            return
        if not self.again.is_set() and not self.firm:
            with suppress(OSError, ValueError):
                text = "the interrupted code continues: press Ctrl-C again to end it and roll back"
                print(text, file=sys.stderr, flush=True)
            while not self.again.wait(0.1) and not self.firm:
                if self.ended.is_set():
                    return
            if not self._goes_on(_SECOND_SIGNAL_S):
                return
        _end()

    def _goes_on(self, limit: float) -> bool:
        """Whether user code still runs after `limit` seconds.

        A second signal shortens the limit to `_SECOND_SIGNAL_S`.
        """
        left = limit
        while left > 0:
            if self.ended.wait(0.1):
                return False
            left = min(left - 0.1, _SECOND_SIGNAL_S) if self.again.is_set() else left - 0.1
        return not self.ended.is_set()


_watch: _Watch | None = None
_before_end: Callable[[], tuple[str, str]] | None = None
_report: Report = print_report


def set_report(new: Report) -> None:
    """Set how the forced end is reported, as a JSON document for example."""
    global _report
    _report = new


@contextmanager
def before_end(call: Callable[[], tuple[str, str]]) -> Iterator[None]:
    """Call `call` before the process is ended; it returns (why, next)."""
    global _before_end
    previous, _before_end = _before_end, call
    try:
        yield
    finally:
        _before_end = previous


@contextmanager
def enforced() -> Iterator[None]:
    """End the process if user code ignores an interruption.

    No effect inside another `enforced`, outside the main thread, and for signals without a Python
    handler.
    """
    global _watch
    if _watch or threading.current_thread() is not threading.main_thread():
        yield
        return
    watch = _watch = _Watch()
    replaced = {}
    for number in _SIGNALS:
        handler = signal.getsignal(number)
        if callable(handler) and handler is not signal.default_int_handler:
            replaced[number] = (handler, _noting(watch, handler))
            signal.signal(number, replaced[number][1])
    try:
        yield
    finally:
        watch.ended.set()
        _watch = None
        for number, (handler, ours) in replaced.items():
            if signal.getsignal(number) is ours:
                signal.signal(number, handler)


def _noting(watch: _Watch, handler: Callable[[int, Any], Any]) -> Callable[[int, Any], Any]:
    process = os.getpid()

    def handle(number: int, frame: Any) -> Any:
        if os.getpid() == process:
            watch.note(number)
        try:
            return handler(number, frame)
        except KeyboardInterrupt as interruption:
            watch.raised = interruption
            raise

    return handle


def raise_swallowed(problem: BaseException | None) -> None:
    """Raise an interruption that user code swallowed; `problem`: what it raised instead."""
    swallowed = _watch.raised if _watch else None
    if swallowed is not None and problem is not swallowed:
        raise swallowed


def _end() -> None:
    """End the process from the watching thread, because user code occupies the main one."""
    why, how = "it swallowed the interruption and went on", "correct it, then run it again"
    try:
        if _before_end:
            why, how = _before_end()
    except BaseException as problem:
        why = f"{why}; its database session could not be ended: {type(problem).__name__}"
    try:
        output.close()
        _report(_ENDED, why, how)
    finally:
        end_process(_EXIT_CODE)


def _on_terminal() -> bool:
    with suppress(OSError, ValueError, AttributeError):
        return sys.stdin.isatty()
    return False
