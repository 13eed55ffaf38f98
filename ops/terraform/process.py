"""How a Terraform process is run: it holds a lock and writes a state, so it is never killed while
it may still end by itself.

Ctrl-C, SIGTERM, SIGHUP and our own time limit all become exactly one SIGINT, on which Terraform
stops what it does, writes its state and frees its lock. It is waited for, up to `ENDING`; a second
interrupt meanwhile only says so (a second SIGINT makes Terraform drop everything, and the lock and
the state with it). The provider plugins ignore SIGINT by themselves. So that no interrupt comes at
a moment that nobody thought of, none is raised while Terraform runs: they are noted, and raised
when it has ended.

And a kill -9 of ours must not be Terraform's: it writes into a file that is read along here, since
a pipe that has lost its reader kills it at its next line, in the middle of an apply, with the lock
held `[ran]`."""

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
from ops.tools import shell

ENDING = 600.0  # seconds that an interrupted Terraform has to write its state
LOOK = 0.05  # seconds between two looks at what it has written
CHUNK = 1 << 20
SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)


@dataclass
class RunningProcess:
    """A Terraform under way, and how far its output has been read. `once`: the one interrupt that
    it may get.
    """

    process: subprocess.Popen[bytes]
    output: IO[bytes]
    on_line: Callable[[str], None] | None
    read: int = 0
    rest: bytes = b""
    once: Iterator[int] = field(default_factory=lambda: iter((signal.SIGINT,)))

    def take(self) -> None:
        """Tell the lines that have come (by `pread`: the child writes through the same file
        offset).
        """
        while chunk := os.pread(self.output.fileno(), CHUNK, self.read):
            self.read += len(chunk)
            *lines, self.rest = (self.rest + chunk).split(b"\n")
            for line in lines:
                if self.on_line:
                    self.on_line(shell.decode_line(line))

    def ended(self) -> bool:
        """Whether it has; either way, what it has said until now is told."""
        ended = self.process.poll() is not None
        self.take()
        return ended

    def interrupt(self) -> None:
        """Its one SIGINT, from wherever it is asked for first: a signal's handler may run in the
        middle of this.
        """
        for number in self.once:
            self.send(number)

    def text(self) -> str:
        """All that it has said, its last megabytes."""
        return os.pread(
            self.output.fileno(), shell.OUTPUT_LIMIT, max(0, self.read - shell.OUTPUT_LIMIT)
        ).decode("utf-8", "replace")

    def send(self, signal_number: int) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal_number)


class DeferredSignals:
    """The signals that came while Terraform ran, in order; the first is handed on at once, whatever
    we are busy with.
    """

    def __init__(self) -> None:
        self.noted: list[int] = []
        self.before: dict[int, Any] = {}
        self.running: RunningProcess | None = None

    def note(self, number: int, _frame: FrameType | None) -> None:
        self.noted.append(number)
        if self.running:
            self.running.interrupt()

    @contextmanager
    def noticed(self) -> Iterator[None]:
        """Those that raise something (what is ignored stays so, and another thread has none) are
        noted until the end of the block.
        """
        if threading.current_thread() is threading.main_thread():
            self.before = {
                number: handler
                for number in SIGNALS
                if callable(handler := signal.getsignal(number))
            }
        for number in self.before:
            signal.signal(number, self.note)
        try:
            yield
        finally:
            for number, handler in self.before.items():
                signal.signal(number, handler)

    def raised(self) -> None:
        """What the first of them would have raised at once."""
        for number in self.noted[:1]:
            self.before[number](number, None)


def run(
    argv: Sequence[str],
    cwd: Path,
    env: Mapping[str, str],
    timeout_s: float,
    more: str,
    on_line: Callable[[str], None] | None = None,
) -> shell.Completed:
    """Run to the program's own end; both its streams are in `stdout`, as they came. `more`: how to
    give it more than `timeout_s` seconds.

    Raises ConfigError (no such program), TimedOut or KeyboardInterrupt, both after that end.
    """
    interrupts = DeferredSignals()
    with tempfile.TemporaryFile() as output:
        with interrupts.noticed():
            running = interrupts.running = RunningProcess(
                shell.start(argv, cwd, env, False, output), output, on_line
            )
            try:
                late = wait(running, interrupts, timeout_s)
            finally:
                if running.process.poll() is None:
                    running.send(signal.SIGKILL)
                    running.process.wait()
        interrupts.raised()
        if late:
            what = f"{format_argv(argv)} took longer than {timeout_s:g} s"
            raise TimedOut(what, "it was interrupted and has ended", f"inv tf.locks; {more}")
        return shell.Completed(running.process.returncode, running.text(), "")


def wait(running: RunningProcess, interrupts: DeferredSignals, timeout_s: float) -> bool:
    """To its end; whether only the end of its time brought that about. Raises OpsError where it
    does not end after its interrupt.
    """
    deadline = time.monotonic() + timeout_s
    while not interrupts.noted and time.monotonic() < deadline:
        if running.ended():
            return False
        time.sleep(LOOK)
    why, late, heard = (
        ("interrupted", False, 1)
        if interrupts.noted
        else (f"more than {timeout_s:g} s have passed", True, 0)
    )
    running.interrupt()
    ui.progress(
        f"  {why}: Terraform ends its step, writes its state and frees its lock; it is waited for"
    )
    deadline = time.monotonic() + ENDING
    while not running.ended():
        if time.monotonic() >= deadline:
            raise OpsError(
                "terraform did not end after its interrupt",
                f"it is killed after {ENDING:g} s",
                "inv tf.locks",
            )
        if len(interrupts.noted) > heard:
            heard = len(interrupts.noted)
            ui.progress(
                "  interrupted already: a kill now would leave the lock held and lose what "
                "was applied"
            )
        time.sleep(LOOK)
    return late


def document(
    argv: Sequence[str], cwd: Path, env: Mapping[str, str], timeout_s: float
) -> shell.Completed:
    """Run a command that only reads and prints one whole document, however long (`show -json` of a
    large plan has megabytes).
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
    """`terraform plan`: the program and its command, without options, which may hold paths and
    values.
    """
    return " ".join([Path(argv[0]).name, *[word for word in argv[1:3] if not word.startswith("-")]])
