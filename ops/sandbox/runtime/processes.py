"""A container as a process of its own session: started through the launcher, its lines read,
stopped with everything that it started.
"""

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
    """What to exec: `argv[0]` is a path of this machine, `shown` how the image called it."""

    argv: tuple[str, ...]
    shown: str
    environment: Mapping[str, str]
    folder: Path


def cannot_start(shown: str, why: str) -> StartError:
    """A container's reason as ECS words it (Docker's text inside)."""
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

    The kernel's parent-death signal fires when the *thread* that forked ends, so a thread of a pool
    must not fork."""

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
            except BaseException as error:  # handed to whoever asked
                answer.set_exception(error)

    def spawn(self, command: Command, watch: bool = False) -> subprocess.Popen[bytes]:
        """Start a command; it has been exec'd when this returns. Raises StartError."""
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
        _LOG.warning("the launcher of %s ended before it was told what to start", command.shown)


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:
        raise RuntimeError("the process was started without its pipe")
    return stream


def _worded(number: int) -> str:
    """errno in the words of the Go runtime, as Docker passes them on."""
    known = {
        errno.ENOEXEC: "exec format error",
        errno.ENOENT: "no such file or directory",
        errno.EACCES: "permission denied",
    }
    return known.get(number, os.strerror(number).lower())


def _read(stream: IO[bytes], log: Callable[[str], None]) -> None:
    """Hand on every line until the end."""
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
        """Exit code (128+signal when killed), or None while it runs. What the process left behind
        is killed, as a container's end does.
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
        """SIGTERM to the process group, after `timeout` seconds SIGKILL to all that it started; the
        exit code. Idempotent.
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
        return  # nobody left (macOS answers EPERM for a group of zombies)


def _family(pid: int) -> list[psutil.Process]:
    """A process and all its descendants, those of other sessions included."""
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
