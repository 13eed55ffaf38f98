"""How a Terraform process is run: it holds a lock and writes a state, so it is never killed while it may still end by itself.

Ctrl-C, SIGTERM, SIGHUP and our own time limit all become exactly one SIGINT, on which Terraform stops what it does, writes its state and
frees its lock. It is waited for, up to `ENDING`; a second interrupt meanwhile only says so (a second SIGINT makes Terraform drop
everything, and the lock and the state with it). The provider plugins ignore SIGINT by themselves.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from ops import ui
from ops.adapters import shell
from ops.errors import OpsError, TimedOut

ENDING = 600.0  # seconds that an interrupted Terraform has to write its state


def run(
    argv: Sequence[str], cwd: Path, env: Mapping[str, str], timeout_s: float, on_line: Callable[[str], None] | None = None
) -> shell.Completed:
    """Run to the program's own end. Raises ConfigError (no such program), TimedOut or KeyboardInterrupt, both after that end."""
    process = shell.start(argv, cwd, env, False)
    running = shell.Running(process, on_line)
    try:
        late = not follow(running, time.monotonic() + timeout_s, interruptible=True)
        if late:
            end(running, f"more than {timeout_s:g} s have passed")
    except KeyboardInterrupt:
        end(running, "interrupted")
        raise
    finally:
        if process.poll() is None:
            running.send(signal.SIGKILL)
            process.wait()
    if late:
        more = f"inv tf.locks; more time: terraform.timeout (now {timeout_s:g}s) in invoke.yaml"
        raise TimedOut(f"{shown(argv)} took longer than {timeout_s:g} s", "it was interrupted and has ended", more)
    return shell.Completed(process.returncode, running.kept["stdout"].text(), running.kept["stderr"].text())


def end(running: shell.Running, why: str) -> None:
    """The one interrupt, and the wait. Raises OpsError where it does not end."""
    running.send(signal.SIGINT)
    ui.say(f"  {why}: Terraform ends its step, writes its state and frees its lock; it is waited for")
    if not follow(running, time.monotonic() + ENDING, interruptible=False):
        raise OpsError("terraform did not end after its interrupt", f"it is killed after {ENDING:g} s", "inv tf.locks")


def follow(running: shell.Running, deadline: float, *, interruptible: bool) -> bool:
    """Whether it has ended by `deadline`."""
    while True:
        try:
            return running.follow(deadline)
        except KeyboardInterrupt:
            if interruptible:
                raise
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
