"""Run other programs: argument lists without a shell, own sessions, bounded timeouts.

`c.run` is not used: it loses signals. In a session of its own a child does not receive the
terminal's Ctrl-C, so it gets exactly one SIGINT, from here; it may then end in its own way
(Terraform writes its state) for a bounded time before it is killed.
"""

from __future__ import annotations

import errno
import os
import queue
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from ops.core.errors import ConfigError, OpsError, TimedOut, Unreachable
from ops.core.redaction.redact import one_line

OUTPUT_LIMIT = (
    4 * 1024 * 1024
)  # characters stored of each stream; the oldest lines are dropped first
_LINE_LIMIT = 64 * 1024  # bytes; a longer line is cut in pieces
_INTERRUPT_GRACE = 30.0  # seconds between the interrupt handed on and the kill
STOP_GRACE = 5.0  # seconds between SIGTERM (timeout) and the kill
# seconds after the program's end to read output that a grandchild still holds open; a busy machine
# needs some time
_LAST_OUTPUT = 5.0


@dataclass(frozen=True)
class Completed:
    """A program's exit code and output. A negative exit code is the signal that ended it."""

    exit_code: int
    stdout: str
    stderr: str


@dataclass
class _OutputTail:
    """The end of a stream, up to `OUTPUT_LIMIT`."""

    lines: deque[str] = field(default_factory=deque)
    size: int = 0
    left_out: int = 0

    def add(self, line: str) -> None:
        self.lines.append(line)
        self.size += len(line) + 1
        while self.size > OUTPUT_LIMIT and len(self.lines) > 1:
            self.size -= len(self.lines.popleft()) + 1
            self.left_out += 1

    def text(self) -> str:
        head = [f"… {self.left_out} lines left out …"] if self.left_out else []
        return "".join(f"{line}\n" for line in (*head, *self.lines))


class _ChildProcess:
    """A running program; threads read its two streams into one queue.

    Lines are passed to `on_line` in the caller's thread.
    """

    def __init__(
        self, process: subprocess.Popen[bytes], on_line: Callable[[str], None] | None
    ) -> None:
        self.process, self.on_line = process, on_line
        self.arrived: queue.Queue[tuple[str, str | None]] = queue.Queue(maxsize=10_000)
        self.tails = {"stdout": _OutputTail(), "stderr": _OutputTail()}
        self.open = {"stdout", "stderr"}
        for name in sorted(self.open):
            pipe: IO[bytes] = getattr(process, name)
            threading.Thread(
                target=_read_lines, args=(name, pipe, self.arrived), daemon=True
            ).start()

    def take(self, seconds: float, quiet: bool = False) -> bool:
        """Handle one event that arrives within `seconds`; False if there was no event."""
        try:
            name, line = self.arrived.get(timeout=max(seconds, 0.001))
        except queue.Empty:
            return False
        if line is None:
            self.open.discard(name)
            return True
        self.tails[name].add(line)
        if self.on_line and not quiet:
            self.on_line(line)
        return True

    def follow(self, deadline: float) -> bool:
        """Handle output until the program has ended (True) or `deadline` has passed (False)."""
        last_event_at = time.monotonic()
        while self.open:
            now = time.monotonic()
            ended = self.process.poll() is not None
            if ended and now - last_event_at > _LAST_OUTPUT:
                return True
            if not ended and now >= deadline:
                return False
            if self.take(min(0.1, deadline - now) if not ended else 0.1) or not ended:
                last_event_at = now
        return self.ended_by(deadline)

    def ended_by(self, deadline: float) -> bool:
        left = deadline - time.monotonic()
        try:
            self.process.wait(None if left == float("inf") else max(left, 0.0))
        except subprocess.TimeoutExpired:
            return False
        return True

    def stop(self, signal_number: int, grace: float) -> None:
        """Send a signal to the process group, wait `grace` seconds, then kill it.

        Output is still read: a full pipe would block the program.
        """
        self.send(signal_number)
        deadline = time.monotonic() + grace
        try:
            while self.process.poll() is None and time.monotonic() < deadline:
                self.take(0.05, quiet=True)
        finally:  # a second interrupt during the wait also kills
            self.send(signal.SIGKILL)
            self.process.wait()

    def send(self, signal_number: int) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal_number)


def run(
    argv: Sequence[str],
    *,
    cwd: Path | str | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str | None = None,
    timeout: float | None = None,
    on_line: Callable[[str], None] | None = None,
) -> Completed:
    """Run a program to its end, whatever its exit code.

    `timeout` is in seconds; `env` is the whole environment (default: ours). `on_line` receives
    every line of stdout and stderr as it arrives. Raises ConfigError (no such program or folder),
    TimedOut, and KeyboardInterrupt after the program has ended.
    """
    process = start(argv, cwd, env, stdin is not None)
    running = _ChildProcess(process, on_line)
    try:
        _feed(process, stdin)
        if not running.follow(time.monotonic() + timeout if timeout is not None else float("inf")):
            running.stop(signal.SIGTERM, STOP_GRACE)
            raise TimedOut(
                f"{argv[0]} did not end within {timeout:g} s",
                _last_line(running),
                "find out what it waits for, then run it again",
            )
    except KeyboardInterrupt:
        running.stop(signal.SIGINT, _INTERRUPT_GRACE)
        raise
    finally:
        if process.poll() is None:
            running.stop(signal.SIGTERM, STOP_GRACE)
    return Completed(
        process.returncode, running.tails["stdout"].text(), running.tails["stderr"].text()
    )


def start(
    argv: Sequence[str],
    cwd: Path | str | None,
    env: Mapping[str, str] | None,
    fed: bool,
    output: IO[bytes] | None = None,
) -> subprocess.Popen[bytes]:
    """Start a program in a session of its own.

    `output` is a file for both streams, for a program that is to outlive this one (a pipe without a
    reader would kill it).
    """
    if cwd is not None and not Path(cwd).is_dir():
        raise ConfigError(
            f"cannot run {argv[0]} in {cwd}",
            "there is no such folder",
            "check the path in invoke.yaml (relative paths start at the project)",
        )
    source, sink = subprocess.PIPE if fed else subprocess.DEVNULL, output or subprocess.PIPE
    try:
        return subprocess.Popen(
            list(argv),
            cwd=cwd,
            env=env,
            stdin=source,
            stdout=sink,
            stderr=sink,
            bufsize=0,
            start_new_session=True,
        )
    except FileNotFoundError:
        raise ConfigError(
            f"program {argv[0]} is not here",
            "it was not found on PATH",
            f"install {Path(argv[0]).name}, or correct its name",
        ) from None
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno in (errno.EAGAIN, errno.ENOMEM):
            raise OpsError(
                f"program {argv[0]} could not be started",
                one_line(error),
                "free memory or processes, then run it again",
            ) from None
        raise ConfigError(
            f"program {argv[0]} could not be started",
            one_line(error),
            "check that it is an executable for this machine",
        ) from None


def _feed(process: subprocess.Popen[bytes], stdin: str | None) -> None:
    """Write `stdin` in a thread, so that a program that does not read it can't block us."""
    if stdin is None or process.stdin is None:
        return
    pipe = process.stdin

    def write() -> None:
        with suppress(BrokenPipeError, OSError), pipe:
            data = memoryview(stdin.encode())
            while data:
                data = data[os.write(pipe.fileno(), data) :]

    threading.Thread(target=write, daemon=True).start()


def _read_lines(name: str, pipe: IO[bytes], arrived: queue.Queue[tuple[str, str | None]]) -> None:
    rest = b""
    with suppress(OSError, ValueError), pipe:
        while chunk := os.read(pipe.fileno(), _LINE_LIMIT):
            *lines, rest = (rest + chunk).split(b"\n")
            if len(rest) >= _LINE_LIMIT:
                lines, rest = [*lines, rest], b""
            for line in lines:
                arrived.put((name, decode_line(line)))
    if rest:
        arrived.put((name, decode_line(rest)))
    arrived.put((name, None))


def decode_line(line: bytes) -> str:
    return line.decode("utf-8", "replace").rstrip("\r")


def _last_line(running: _ChildProcess) -> str:
    lines = [*running.tails["stdout"].lines, *running.tails["stderr"].lines]
    return f"its last line: {one_line(lines[-1])}" if lines else "it printed nothing"


def version(program: str, *args: str) -> str:
    """The first line that `program ARGS` (default `--version`) prints.

    Raises ConfigError for a missing program and Unreachable if it fails.
    """
    done = run([program, *(args or ("--version",))], timeout=15)
    lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    if done.exit_code or not lines:
        why = one_line(lines[-1]) if lines else "it printed nothing"
        raise Unreachable(
            f"{program} {' '.join(args) or '--version'} failed (exit code {done.exit_code})",
            why,
            f"run it yourself: {program} {' '.join(args) or '--version'}",
        )
    return lines[0].strip()
