"""Run the project's own code: revisions, env.py, and the models that `database.metadata` names.

Such code may call `sys.exit()` or `os._exit()`, raise or swallow a KeyboardInterrupt, print
secrets, fork, or leave a thread running. `contained` turns every end of the process that Python can
detect into an ordinary exception, so that a command never ends early and silently with exit code 0.
That includes `posix._exit`, `_exit` and similar functions called through `ctypes`, and signals that
it sends to itself. An extension module that calls `exit()` in C can't be detected.

Our signal handlers raise a *subclass* of KeyboardInterrupt, which passes through. That is how an
interruption by the operator differs from `raise KeyboardInterrupt` in user code.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import traceback
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from ops.migrator.revisions import interrupts, output
from ops.migrator.revisions.output import Hide

_EXIT_FUNCTIONS = (
    "_exit",
    "abort",
    "execv",
    "execve",
)  # functions of `os` that end the process at once
_C_EXIT_FUNCTIONS = frozenset(
    {"_exit", "_Exit", "exit", "quick_exit", "abort", "Py_Exit", "Py_FatalError"}
)
_C_EXIT_FUNCTIONS |= {"execv", "execve", "execvp", "execl", "execlp", "execle", "raise", "kill"}


# audit events that are refused while SQL is only printed
_EFFECTS = {
    "socket.__new__": "opening",
    "socket.connect": "connecting to",
    "socket.getaddrinfo": "resolving",
    "socket.gethostbyname": "resolving",
    "socket.sendto": "sending to",
    "socket.sendmsg": "sending to",
    "socket.bind": "listening on",
    "subprocess.Popen": "starting",
    "os.system": "starting",
    "os.exec": "starting",
    "os.posix_spawn": "starting",
    "os.remove": "removing",
    "os.rename": "renaming",
    "os.mkdir": "creating",
    "os.rmdir": "removing",
    "os.truncate": "writing",
    "os.link": "linking",
    "os.symlink": "linking",
    "os.chmod": "changing",
    "os.chown": "changing",
    "shutil.rmtree": "removing",
    "sqlite3.connect": "opening",
}
_OF_SOCKET = ("socket.connect", "socket.sendto", "socket.sendmsg", "socket.bind")
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class EffectRefused(Exception):
    """A revision wanted to change something while its SQL was only printed."""


class UserCodeError(Exception):
    """User code raised something other than an Exception, or tried to end the process."""


@dataclass(eq=False)
class _Block:
    """One use of `contained`, and the threads that its code started."""

    hide: Hide | None
    process: int = field(default_factory=os.getpid)
    owner: threading.Thread = field(default_factory=threading.current_thread)
    failures: list[str] = field(default_factory=list)
    open: bool = True


_blocks: list[_Block] = []
_theirs: weakref.WeakKeyDictionary[threading.Thread, _Block] = weakref.WeakKeyDictionary()
_hooked = False
_refused: list[EffectRefused] | None = None  # within `without_effects`


@contextmanager
def contained(hide: Hide | None = None) -> Iterator[None]:
    """Turn every way in which user code can end the process into an Exception.

    Interruptions by a signal pass through. `hide` removes secrets from what it prints, which goes
    to stderr. Raises UserCodeError also for a thread of user code that failed meanwhile.
    """
    block = _Block(hide or output.current_filter())
    with (
        output.filtered(hide),
        interrupts.enforced(),
        _endings_refused(),
        _observed(block),
        _no_bytecode_written(),
    ):
        try:
            yield
        except BaseException as problem:
            _end_child(block, problem)
            interrupts.raise_swallowed(problem)
            if isinstance(problem, Exception) or _is_interruption(problem):
                raise
            raise UserCodeError(describe(problem)).with_traceback(problem.__traceback__) from None
        _end_child(block, None)
        interrupts.raise_swallowed(None)
        if block.failures:
            raise UserCodeError(block.failures[0])


@contextmanager
def _no_bytecode_written() -> Iterator[None]:
    """Leave no .pyc of a revision behind.

    Python takes a .pyc for current if the source's size and its time to the second agree, so a file
    that was edited within that second would run as it was before.
    """
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield
    finally:
        sys.dont_write_bytecode = before


def _is_interruption(problem: BaseException) -> bool:
    """Whether a signal handler raised it, rather than user code."""
    return isinstance(problem, KeyboardInterrupt) and type(problem) is not KeyboardInterrupt


def _end_child(block: _Block, problem: BaseException | None) -> None:
    """End a process that user code forked and that returned here.

    Otherwise it would go on with the parent's work, on the parent's connections.
    """
    if os.getpid() == block.process:
        return
    code = 1 if problem else 0
    if isinstance(problem, SystemExit):
        code = problem.code if isinstance(problem.code, int) else int(problem.code is not None)
    elif problem:
        with suppress(BaseException):
            traceback.print_exception(problem)
    output.flush()
    interrupts.end_process(code)


@contextmanager
def _endings_refused() -> Iterator[None]:
    """Make `os._exit()` and similar functions raise UserCodeError in this process.

    Processes that user code forks may end as usual.
    """
    modules = [module for name in ("os", "posix") if (module := sys.modules.get(name))]
    places = [(module, name) for module in modules for name in _EXIT_FUNCTIONS]
    places.append((signal, "raise_signal"))
    originals = [(module, name, getattr(module, name)) for module, name in places]
    for module, name, original in originals:
        setattr(module, name, _refusing(f"{module.__name__}.{name}", original, os.getpid()))
    try:
        yield
    finally:
        for module, name, original in originals:
            setattr(module, name, original)


def _refusing(
    name: str, original: Callable[..., NoReturn], process: int
) -> Callable[..., NoReturn]:
    def refuse(*given: Any, **named: Any) -> NoReturn:
        if os.getpid() != process:
            original(*given, **named)
        first = repr(given[0]) if given else ""
        raise UserCodeError(f"{name}({first}) was called, which ends the process")

    return refuse


def _audited(event: str, given: tuple[Any, ...]) -> None:
    """Audit hook: refuse what ends the process without a function of `os`, and side effects."""
    if _refused is not None and (event in _EFFECTS or event == "open"):
        _refuse_effect(event, given)
    if not _blocks or event not in ("ctypes.dlsym", "os.exec", "os.kill"):
        return
    process, thread = os.getpid(), threading.current_thread()
    if process != _blocks[-1].process:
        return
    if thread not in _theirs and not any(block.owner is thread for block in _blocks):
        return
    if event == "ctypes.dlsym" and given[1] in _C_EXIT_FUNCTIONS:
        raise UserCodeError(f"{given[1]}() of the C library was used, which ends the process")
    if event == "os.exec":
        raise UserCodeError(f"exec of {given[0]!r} was called, which ends the process")
    if event == "os.kill" and given[1] and given[0] in (process, 0, -1, -os.getpgrp()):
        raise UserCodeError(f"os.kill of this process (signal {int(given[1])}) was called")


def _refuse_effect(event: str, given: tuple[Any, ...]) -> None:
    """Raise EffectRefused for a change outside of this process."""
    if "__pycache__" in str(given[0]):  # Python's own, of an import
        return
    if event == "open":
        path, mode, flags = given
        writes = set(mode or "") & set("wax+") or int(flags or 0) & _WRITING
        if isinstance(path, int) or not writes or path == os.devnull:
            return
        doing = f"writing {path!r}"
    elif event == "socket.__new__":
        if given[1] not in (socket.AF_INET, socket.AF_INET6):
            return  # of a socketpair
        doing = "opening a network socket"
    else:
        at = 1 if event in _OF_SOCKET else 0  # after the socket itself
        doing = f"{_EFFECTS[event]} {given[at]!r}"
    error = EffectRefused(f"{doing} is refused while its SQL is only read")
    if _refused is not None:
        _refused.append(error)
    raise error


@contextmanager
def without_effects() -> Iterator[list[EffectRefused]]:
    """Refuse network, programs and file changes of this process, while SQL is only read.

    Yields the refusals, which user code may ignore.
    """
    global _refused
    before, _refused = _refused, []
    try:
        yield _refused
    finally:
        _refused = before


@contextmanager
def _observed(block: _Block) -> Iterator[None]:
    """Start this code's threads as daemons, and collect their failures.

    Python waits for all other threads when it exits.
    """
    _install_hooks()
    original = threading.Thread.start

    def start(self: threading.Thread) -> None:
        starter = threading.current_thread()
        if self.ident is None and (starter is block.owner or _theirs.get(starter) is block):
            self.daemon = True
            _theirs.setdefault(self, block)
        original(self)

    threading.Thread.start = start  # type: ignore[method-assign]
    _blocks.append(block)
    try:
        yield
    finally:
        block.open = False
        _blocks.remove(block)
        threading.Thread.start = original  # type: ignore[method-assign]


def _install_hooks() -> None:
    """Install the audit hook and the thread exception hook, once. Other code is not affected."""
    global _hooked
    if _hooked:
        return
    _hooked, previous = True, threading.excepthook
    sys.addaudithook(_audited)

    def failed(given: threading.ExceptHookArgs) -> None:
        block = _theirs.get(given.thread) if given.thread else None
        if block is None or given.exc_value is None:
            previous(given)
            return
        where = "".join(
            f" ({Path(frame.filename).name}, line {frame.lineno})"
            for frame in traceback.extract_tb(given.exc_traceback)[-1:]
        )
        name = given.thread.name if given.thread else "?"
        text = f"its thread {name} failed: {describe(given.exc_value)}{where}"
        if block.open:
            block.failures.append(text)
        elif sys.stderr:
            with suppress(OSError, ValueError):
                print(block.hide(text) if block.hide else text, file=sys.stderr, flush=True)

    threading.excepthook = failed


def exception_text(problem: object) -> str:
    """`str(problem)`, even if `__str__` itself fails. Interruptions by a signal pass through."""
    try:
        return str(problem)
    except BaseException as worse:
        if _is_interruption(worse):
            raise
        return f"{type(problem).__name__} (its text can't be read: {type(worse).__name__})"


def describe(problem: BaseException) -> str:
    """`ValueError: no such table`; for our own errors their text alone."""
    text = " ".join(exception_text(problem).split())
    if isinstance(problem, UserCodeError | EffectRefused):
        return text
    return f"{type(problem).__name__}: {text}" if text else type(problem).__name__


def location(problem: BaseException, within: Path) -> str:
    """` (0004_tags.py, line 9)`: the innermost line inside a file or folder; else empty."""
    inside = within.absolute()
    for frame in reversed(traceback.extract_tb(problem.__traceback__)):
        if Path(frame.filename).absolute().is_relative_to(inside):
            return f" ({Path(frame.filename).name}, line {frame.lineno})"
    return ""


def current_line(file: Path) -> int | None:
    """The line of `file` being executed, from the current call stack."""
    frame = sys._getframe()
    wanted = str(file)
    while frame is not None:
        if frame.f_code.co_filename == wanted:
            return frame.f_lineno
        frame = frame.f_back  # type: ignore[assignment]
    return None
