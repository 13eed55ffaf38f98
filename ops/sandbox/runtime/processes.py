"""A container as a process in its own session, started through the launcher."""

from __future__ import annotations

import errno
import json
import logging
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psutil

from ops.sandbox.contracts import StartError
from ops.sandbox.runtime.line_splitter import LineSplitter

_LAUNCHER = Path(__file__).with_name("launcher.py")
_LOG = logging.getLogger("sandbox.runtime")


@dataclass(frozen=True)
class Command:
    """A command to exec.

    `argv[0]` is a path on this machine, `shown` the image's name for it.
    """

    argv: tuple[str, ...]
    shown: str
    environment: Mapping[str, str]
    folder: Path


def cannot_start(shown: str, why: str) -> StartError:
    """Return a container's reason as ECS words it, containing Docker's text."""
    inner = (
        f'runc create failed: unable to start container process: exec: "{shown}": {why}: unknown'
    )
    daemon = (
        f"failed to create task for container: failed to create shim task: OCI runtime create "
        f"failed: {inner}"
    )
    return StartError(f"CannotStartContainerError: Error response from daemon: {daemon}")


class Spawner:
    """Starts every process from one thread that lives as long as the supervisor.

    The kernel's parent-death signal fires when the *thread* that forked ends, so a pool's thread
    must not fork.
    """

    def __init__(self) -> None:
        self._orders: queue.SimpleQueue[
            tuple[Callable[[], subprocess.Popen[bytes]], Future[subprocess.Popen[bytes]]]
        ] = queue.SimpleQueue()
        threading.Thread(target=self._run, name="sandbox-spawner", daemon=True).start()

    def _run(self) -> None:
        while True:
            start, answer = self._orders.get()
            try:
                answer.set_result(start())
            except BaseException as error:  # re-raised in the calling thread
                answer.set_exception(error)

    def spawn(self, command: Command, watch: bool = False) -> subprocess.Popen[bytes]:
        """Start a command and return after its exec. Raises StartError."""
        reading, writing = os.pipe()
        try:
            answer: Future[subprocess.Popen[bytes]] = Future()
            self._orders.put((lambda: _popen(writing), answer))
            process = answer.result()
        except BaseException:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        with os.fdopen(reading, "rb") as status:
            _tell(process, command, watch)
            failure = status.read()
        if failure:
            process.wait()
            raise cannot_start(command.shown, _worded(int(failure)))
        return process


def _popen(status: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-I", "-S", str(_LAUNCHER), str(status)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={},
        pass_fds=(status,),
        start_new_session=True,
    )


def _tell(process: subprocess.Popen[bytes], command: Command, watch: bool) -> None:
    order = {
        "parent": os.getpid(),
        "argv": command.argv,
        "env": dict(command.environment),
        "folder": str(command.folder),
        "watch": watch,
    }
    stdin = _pipe(process.stdin)
    try:
        stdin.write(json.dumps(order).encode())
        stdin.close()
    except BrokenPipeError:
        _LOG.warning("the launcher of %s ended before it received its command", command.shown)


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:
        raise RuntimeError("the process was started without its pipe")
    return stream


def _worded(number: int) -> str:
    """Return an errno's message in the Go runtime's words, as Docker reports it."""
    known = {
        errno.ENOEXEC: "exec format error",
        errno.ENOENT: "no such file or directory",
        errno.EACCES: "permission denied",
    }
    return known.get(number, os.strerror(number).lower())


def _read(stream: IO[bytes], log: Callable[[str], None]) -> None:
    """Pass on every line until the end."""
    lines = LineSplitter(log)
    while chunk := os.read(stream.fileno(), 65536):
        lines.feed(chunk)
    lines.end()
    stream.close()


class ProcessContainer:
    """A running task process (contracts.Container)."""

    digest: str
    pid: int | None
    _code: int | None

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        digest: str,
        log: Callable[[str], None],
        ended: Callable[[], None],
    ) -> None:
        self.digest, self.pid = digest, process.pid
        self._process, self._ended, self._code = process, ended, None
        self._guard = threading.Lock()
        self._reader = threading.Thread(
            target=_read, args=(_pipe(process.stdout), log), name=f"task-{process.pid}", daemon=True
        )
        self._reader.start()

    def poll(self) -> int | None:
        """Return the exit code (128+signal when killed), or None while it runs.

        Remaining processes are killed at the exit, as a container's are.
        """
        with self._guard:
            if self._code is None and _has_ended(self._process):
                _kill_group(
                    self._process.pid, signal.SIGKILL
                )  # before it is reaped: its number is still its own
                code = self._process.wait()
                self._reader.join(
                    timeout=0.5
                )  # its end; longer only where a child in another session holds the pipe
                self._code = 128 - code if code < 0 else code
                self._ended()
            return self._code

    def stop(self, timeout: float) -> int:
        """Stop the process group and return the exit code.

        Idempotent.

        Sends SIGTERM to the group, and SIGKILL to all descendants after `timeout` seconds.
        """
        deadline = time.monotonic() + timeout
        if self.poll() is None:
            _kill_group(self._process.pid, signal.SIGTERM)
        while (code := self.poll()) is None and time.monotonic() < deadline:
            time.sleep(0.02)
        while code is None:
            for each in _family(self._process.pid):
                _kill(each)
            time.sleep(0.02)
            code = self.poll()
        return code


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    if hasattr(os, "waitid"):
        return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    return process.poll() is not None  # pragma: no cover - macOS before Python 3.13


def _kill_group(group: int, number: int) -> None:
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return  # no process left (macOS answers EPERM for a group of zombies)


def _family(pid: int) -> list[psutil.Process]:
    """Return a process and all its descendants, including those in other sessions."""
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _kill(process: psutil.Process) -> None:
    try:
        process.kill()
    except psutil.NoSuchProcess:
        return
