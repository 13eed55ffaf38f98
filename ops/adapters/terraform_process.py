"""How a Terraform process is run: it holds a lock and writes a state, so it is never killed while it may still end by itself.

Ctrl-C, SIGTERM, SIGHUP and our own time limit all become exactly one SIGINT, on which Terraform stops what it does, writes its state and
frees its lock. It is waited for, up to `ENDING`; a second interrupt meanwhile only says so (a second SIGINT makes Terraform drop
everything, and the lock and the state with it). The provider plugins ignore SIGINT by themselves.

And a kill -9 of ours must not be Terraform's: it writes into a file that is read along here, since a pipe that has lost its reader kills it
at its next line, in the middle of an apply, with the lock held `[ran]`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from ops import ui
from ops.adapters import shell
from ops.errors import OpsError, TimedOut

ENDING = 600.0  # seconds that an interrupted Terraform has to write its state
LOOK = 0.05  # seconds between two looks at what it has written
CHUNK = 1 << 20


@dataclass
class Running:
    """A Terraform under way, and how far its output has been read."""

    process: subprocess.Popen[bytes]
    output: IO[bytes]
    on_line: Callable[[str], None] | None
    read: int = 0
    rest: bytes = b""

    def take(self) -> None:
        """Tell the lines that have come (by `pread`: the child writes through the same file offset)."""
        while chunk := os.pread(self.output.fileno(), CHUNK, self.read):
            self.read += len(chunk)
            *lines, self.rest = (self.rest + chunk).split(b"\n")
            for line in lines:
                if self.on_line:
                    self.on_line(shell.shown(line))

    def follow(self, deadline: float) -> bool:
        """Until it has ended (true), or `deadline` has come (false)."""
        while self.process.poll() is None:
            self.take()
            if time.monotonic() >= deadline:
                return False
            time.sleep(LOOK)
        self.take()
        return True

    def text(self) -> str:
        """All that it has said, its last megabytes."""
        return os.pread(self.output.fileno(), shell.OUTPUT_LIMIT, max(0, self.read - shell.OUTPUT_LIMIT)).decode("utf-8", "replace")

    def send(self, signal_number: int) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal_number)


def run(
    argv: Sequence[str], cwd: Path, env: Mapping[str, str], timeout_s: float, on_line: Callable[[str], None] | None = None
) -> shell.Completed:
    """Run to the program's own end; both its streams are in `stdout`, as they came.

    Raises ConfigError (no such program), TimedOut or KeyboardInterrupt, both after that end.
    """
    with tempfile.TemporaryFile() as output:
        running = Running(shell.start(argv, cwd, env, False, output), output, on_line)
        try:
            late = not running.follow(time.monotonic() + timeout_s)
            if late:
                end(running, f"more than {timeout_s:g} s have passed")
        except KeyboardInterrupt:
            end(running, "interrupted")
            raise
        finally:
            if running.process.poll() is None:
                running.send(signal.SIGKILL)
                running.process.wait()
        if late:
            more = f"inv tf.locks; more time: terraform.timeout (now {timeout_s:g}s) in invoke.yaml"
            raise TimedOut(f"{shown(argv)} took longer than {timeout_s:g} s", "it was interrupted and has ended", more)
        return shell.Completed(running.process.returncode, running.text(), "")


def end(running: Running, why: str) -> None:
    """The one interrupt, and the wait. Raises OpsError where it does not end."""
    running.send(signal.SIGINT)
    ui.say(f"  {why}: Terraform ends its step, writes its state and frees its lock; it is waited for")
    deadline = time.monotonic() + ENDING
    while True:
        try:
            if running.follow(deadline):
                return
            raise OpsError("terraform did not end after its interrupt", f"it is killed after {ENDING:g} s", "inv tf.locks")
        except KeyboardInterrupt:
            ui.say("  interrupted already: a kill now would leave the lock held and lose what was applied")


def document(argv: Sequence[str], cwd: Path, env: Mapping[str, str], timeout_s: float) -> shell.Completed:
    """Run a command that only reads and prints one whole document, however long (`show -json` of a large plan has megabytes)."""
    process = shell.start(argv, cwd, env, False)
    try:
        out, err = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        raise TimedOut(f"{shown(argv)} took longer than {timeout_s:g} s", "it only reads: nothing was changed", "run it again") from None
    finally:
        if process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(shell.STOP_GRACE)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    return shell.Completed(process.returncode, out.decode("utf-8", "replace"), err.decode("utf-8", "replace"))


def shown(argv: Sequence[str]) -> str:
    """`terraform plan`: the program and its command, without options, which may hold paths and values."""
    return " ".join([Path(argv[0]).name, *[word for word in argv[1:3] if not word.startswith("-")]])
