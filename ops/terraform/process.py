"""Run Terraform processes without ever killing one that may still end by itself.

A Terraform process holds a lock and writes a state. Ctrl-C, SIGTERM, SIGHUP and our own time limit
all become exactly one SIGINT, on which Terraform ends its step, writes its state and releases its
lock. It is waited for, up to `_GRACE_S`. A second interrupt meanwhile is only reported: a second
SIGINT would make Terraform drop everything, the lock and the state included. The provider plugins
ignore SIGINT by themselves. No interrupt is raised in our own code while Terraform runs; the first
one is raised when it has ended.

A kill -9 of this process must not end Terraform either. So it writes into a file that is read here
as it grows: a pipe that has lost its reader kills Terraform at its next line, in the middle of an
apply, with the lock held.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import IO, Any

from ops.core import ui
from ops.core.errors import OpsError, TimedOut
from ops.terraform.facts import product_name
from ops.tools import shell

_GRACE_S = 600.0  # for an interrupted Terraform to write its state
_POLL_S = 0.05
_CHUNK = 1 << 20
_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)


@dataclass
class RunningProcess:
    """A Terraform in progress; `offset` is how far its output has been read.

    `_interrupts` holds the one SIGINT that it may get.
    """

    process: subprocess.Popen[bytes]
    output: IO[bytes]
    on_line: Callable[[str], None] | None
    offset: int = 0
    _partial: bytes = b""
    _interrupts: Iterator[int] = field(default_factory=lambda: iter((signal.SIGINT,)))

    def poll(self) -> bool:
        """Report new lines, and return whether the process has ended."""
        ended = self.process.poll() is not None
        self._report_lines()
        return ended

    def _report_lines(self) -> None:
        # pread: the child writes through the same file offset
        while chunk := os.pread(self.output.fileno(), _CHUNK, self.offset):
            self.offset += len(chunk)
            *lines, self._partial = (self._partial + chunk).split(b"\n")
            for line in lines:
                if self.on_line:
                    self.on_line(shell.decode_line(line))

    def interrupt(self) -> None:
        """Send SIGINT once; a signal handler may call this in the middle of another call."""
        for number in self._interrupts:
            self._send(number)

    def kill(self) -> None:
        self._send(signal.SIGKILL)
        self.process.wait()

    def text(self) -> str:
        """Return the last megabytes of its output."""
        start = max(0, self.offset - shell.OUTPUT_LIMIT)
        return os.pread(self.output.fileno(), shell.OUTPUT_LIMIT, start).decode("utf-8", "replace")

    def _send(self, number: int) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, number)


class DeferredSignals:
    """Signals that arrive while Terraform runs; each is passed on as its one interrupt."""

    def __init__(self) -> None:
        self.received: list[int] = []
        self.running: RunningProcess | None = None
        self._handlers: dict[int, Any] = {}

    def _receive(self, number: int, _frame: FrameType | None) -> None:
        self.received.append(number)
        if self.running:
            self.running.interrupt()

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Collect signals until the end of the block.

        An ignored signal stays ignored, and a thread other than the main one receives none.
        """
        if threading.current_thread() is threading.main_thread():
            self._handlers = {
                number: handler
                for number in _SIGNALS
                if callable(handler := signal.getsignal(number))
            }
        for number in self._handlers:
            signal.signal(number, self._receive)
        try:
            yield
        finally:
            for number, handler in self._handlers.items():
                signal.signal(number, handler)

    def raise_first(self) -> None:
        """Call the original handler of the first signal, if there was one."""
        for number in self.received[:1]:
            self._handlers[number](number, None)


def run(
    argv: Sequence[str],
    cwd: Path,
    env: Mapping[str, str],
    timeout_s: float,
    timeout_hint: str,
    on_line: Callable[[str], None] | None = None,
) -> shell.Completed:
    """Run a command to its own end; `stdout` of the result holds both of its streams.

    `timeout_hint` tells how to raise the time limit. Raises ConfigError (no such program), and
    TimedOut or KeyboardInterrupt after the command has ended.
    """
    signals = DeferredSignals()
    with tempfile.TemporaryFile() as output:
        with signals.deferred():
            running = signals.running = RunningProcess(
                shell.start(argv, cwd, env, False, output), output, on_line
            )
            try:
                timed_out = _wait(running, signals, timeout_s, product_name(argv[0]))
            finally:
                if running.process.poll() is None:
                    running.kill()
        signals.raise_first()
        if timed_out:
            what = f"{format_argv(argv)} took longer than {timeout_s:g} s"
            how = f"inv tf.locks; {timeout_hint}"
            raise TimedOut(what, "it was interrupted and has ended", how)
        return shell.Completed(running.process.returncode, running.text(), "")


def _wait(running: RunningProcess, signals: DeferredSignals, timeout_s: float, name: str) -> bool:
    """Wait for the end of a process; return whether only its time limit ended it.

    Raises OpsError if it does not end after its interrupt.
    """
    deadline = time.monotonic() + timeout_s
    while not signals.received and time.monotonic() < deadline:
        if running.poll():
            return False
        time.sleep(_POLL_S)
    timed_out = not signals.received
    why = f"more than {timeout_s:g} s have passed" if timed_out else "interrupted"
    reported = 0 if timed_out else 1
    running.interrupt()
    ui.progress(
        f"  {why}: waiting for {name} to end its step, write its state and release its lock"
    )
    deadline = time.monotonic() + _GRACE_S
    while not running.poll():
        if time.monotonic() >= deadline:
            why = f"it is killed after {_GRACE_S:g} s"
            what = f"{name} did not end after its interrupt"
            raise OpsError(what, why, "inv tf.locks")
        if len(signals.received) > reported:
            reported = len(signals.received)
            ui.progress(
                f"  interrupted already: killing {name} now would leave the lock held and lose "
                "what was applied"
            )
        time.sleep(_POLL_S)
    return timed_out


def read_output(
    argv: Sequence[str], cwd: Path, env: Mapping[str, str], timeout_s: float
) -> shell.Completed:
    """Run a command that only reads, and return its whole output.

    `show -json` of a large plan prints megabytes.
    """
    process = shell.start(argv, cwd, env, False)
    try:
        out, err = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        raise TimedOut(
            f"{format_argv(argv)} took longer than {timeout_s:g} s",
            "it only reads: nothing was changed",
            "run it again",
        ) from None
    finally:
        if process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(shell.STOP_GRACE)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    return shell.Completed(
        process.returncode, out.decode("utf-8", "replace"), err.decode("utf-8", "replace")
    )


def format_argv(argv: Sequence[str]) -> str:
    """Format program and command, without options, which may hold paths and values."""
    return " ".join([Path(argv[0]).name, *[word for word in argv[1:3] if not word.startswith("-")]])
