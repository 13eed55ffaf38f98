"""Run the project's own code: revisions, env.py, and the models that `database.metadata` names.

Such code may call `sys.exit()` or `os._exit()`, raise a KeyboardInterrupt, or leave a thread
running. `contained` turns the first three into an ordinary exception, so that a command never ends
early and silently with exit code 0, and keeps the last from holding up the end of the process.

Our signal handlers raise a *subclass* of KeyboardInterrupt, which passes through. That is how an
interruption by the operator differs from `raise KeyboardInterrupt` in user code. Code that ends
the process from C (`ctypes`, a crash) is out of reach.
"""

from __future__ import annotations

import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

ENDINGS = ("_exit", "abort", "execv", "execve")  # functions of `os` that end the process at once


class UserCodeError(Exception):
    """User code raised what is not an Exception, or tried to end the process. `str()` says
    which.
    """


@contextmanager
def contained() -> Iterator[None]:
    """Turn every way in which user code can end the process into an Exception. Interruptions by a
    signal pass through.
    """
    with _endings_refused(), _threads_as_daemons():
        try:
            yield
        except Exception:
            raise
        except BaseException as problem:
            if isinstance(problem, KeyboardInterrupt) and type(problem) is not KeyboardInterrupt:
                raise
            raise UserCodeError(describe(problem)).with_traceback(problem.__traceback__) from None


@contextmanager
def _endings_refused() -> Iterator[None]:
    """Let `os._exit()` and its kin raise UserCodeError in this process; a process that user code
    forks may end as it likes.
    """
    originals = {name: getattr(os, name) for name in ENDINGS}
    for name, original in originals.items():
        setattr(os, name, _refusing(name, original, os.getpid()))
    try:
        yield
    finally:
        for name, original in originals.items():
            setattr(os, name, original)


def _refusing(
    name: str, original: Callable[..., NoReturn], process: int
) -> Callable[..., NoReturn]:
    def refuse(*given: Any, **named: Any) -> NoReturn:
        if os.getpid() != process:
            original(*given, **named)
        first = repr(given[0]) if given else ""
        raise UserCodeError(f"os.{name}({first}) was called, which ends the process")

    return refuse


@contextmanager
def _threads_as_daemons() -> Iterator[None]:
    """Start this thread's new threads as daemons: Python waits at its end for all others, for ever
    if need be.
    """
    original, owner = threading.Thread.start, threading.current_thread()

    def start(self: threading.Thread) -> None:
        if threading.current_thread() is owner and self.ident is None:
            self.daemon = True
        original(self)

    threading.Thread.start = start  # type: ignore[method-assign]
    try:
        yield
    finally:
        threading.Thread.start = original  # type: ignore[method-assign]


def describe(problem: BaseException) -> str:
    """`ValueError: no such table`; of a UserCodeError its text."""
    text = " ".join(str(problem).split())
    if isinstance(problem, UserCodeError):
        return text
    return f"{type(problem).__name__}: {text}" if text else type(problem).__name__


def place(problem: BaseException, within: Path) -> str:
    """` (0004_tags.py, line 9)`: the innermost line of a file, or of a folder's files, that was at
    work; empty where none was.
    """
    inside = within.absolute()
    for frame in reversed(traceback.extract_tb(problem.__traceback__)):
        if Path(frame.filename).absolute().is_relative_to(inside):
            return f" ({Path(frame.filename).name}, line {frame.lineno})"
    return ""


def line_at_work(file: Path) -> int | None:
    """The line of `file` that is being executed, from the current call stack."""
    frame = sys._getframe()
    wanted = str(file)
    while frame is not None:
        if frame.f_code.co_filename == wanted:
            return frame.f_lineno
        frame = frame.f_back  # type: ignore[assignment]
    return None
