"""Run a function in a forked process without network, other programs, or unlimited time.

`upgrade()` is Python, and its SQL is only known after running it. A process of its own contains
what the SQL does not need: changes of `os.environ`, an endless loop, a crash, memory. Python's
audit events refuse network, programs and changes of files (`user_code`). They do not see C
libraries such as libpq: on Linux (x86_64, aarch64) the kernel refuses their sockets and programs
too (seccomp).
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import platform
import resource
import select
import signal
import struct
import sys
import time
import warnings
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from ops.migrator.revisions import interrupts, output
from ops.migrator.revisions.user_code import describe

PATIENCE_S = 30.0  # without a result
_MEMORY = 2 << 30  # bytes in addition to those of this process
_CPU_S = 300
_CHUNK = 1 << 16
_END = b""  # an empty line; a process that its code forked may hold the pipe open

_PR_SET_PDEATHSIG, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 1, 22, 38
_FILTER_MODE = 2
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | 13  # EACCES
_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_ARCHITECTURES = {  # AUDIT_ARCH_…, and the numbers of socket, connect, execve, execveat
    "x86_64": (0xC000003E, (41, 42, 59, 322)),
    "aarch64": (0xC00000B7, (198, 203, 221, 281)),
}


class ProcessEnded(Exception):
    """The process ended, or was ended, before its function returned; the text says why."""


def results(
    function: Callable[[Callable[[Any], None]], None], patience_s: float = PATIENCE_S
) -> Generator[Any, None, None]:
    """Yield what `function(send)` sends; values are JSON.

    Raises ProcessEnded if the process dies, or sends nothing for `patience_s` seconds.
    """
    output.flush()
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # threads: none of ours runs in it
        pid = os.fork()
    if pid == 0:
        _run(function, reader, writer)
    os.close(writer)
    try:
        yield from _read(reader, patience_s)
        ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        if ended and ended.si_status:
            how = "exit code" if ended.si_code == os.CLD_EXITED else "signal"
            raise ProcessEnded(f"its code ended the process ({how} {ended.si_status})")
    finally:
        os.close(reader)
        for end in (os.kill, os.killpg):  # the group: processes that its code left running
            with suppress(ProcessLookupError, PermissionError):
                end(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _read(reader: int, patience_s: float) -> Iterator[Any]:
    """Yield each line's value up to the end mark, or until the pipe is closed."""
    rest, end = b"", time.monotonic() + patience_s
    while True:
        ready, _, _ = select.select([reader], [], [], max(0.0, end - time.monotonic()))
        if not ready:
            raise ProcessEnded(f"its code did not end within {patience_s:g} s")
        if not (data := os.read(reader, _CHUNK)):
            return
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            if line == _END:
                return
            yield json.loads(line)
            end = time.monotonic() + patience_s


def _run(function: Callable[[Callable[[Any], None]], None], reader: int, writer: int) -> NoReturn:
    """Run the function in the new process, and end it."""
    code = 1
    try:
        os.close(reader)
        os.setsid()  # Ctrl-C is for our parent, which ends this process
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            signal.signal(getattr(signal, name), signal.SIG_DFL)
        sys.dont_write_bytecode = True  # of imports by a revision
        gc.disable()  # nothing of our parent's is finalized here, such as its connections
        _limit()
        _refuse_network()

        def send_line(line: bytes) -> None:
            data = memoryview(line + b"\n")
            while data:
                data = data[os.write(writer, data) :]

        function(lambda value: send_line(json.dumps(value).encode()))
        code = 0
        send_line(_END)
    except BaseException as problem:
        with suppress(BaseException):
            print(describe(problem), file=sys.stderr)
    with suppress(BaseException):
        output.flush()
    interrupts.end_process(code)


def _limit() -> None:
    """Limit memory and processor time, where the system allows it."""
    with suppress(OSError, ValueError):
        _lower(resource.RLIMIT_CPU, _CPU_S)
    with suppress(OSError, ValueError):
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        _lower(resource.RLIMIT_AS, pages * resource.getpagesize() + _MEMORY)


def _lower(kind: int, limit: int) -> None:
    hard = resource.getrlimit(kind)[1]
    if hard == resource.RLIM_INFINITY or hard > limit:
        resource.setrlimit(kind, (limit, hard))


def _refuse_network() -> None:
    """Let the kernel refuse sockets and programs, and end this process with its parent."""
    machine = _ARCHITECTURES.get(platform.machine())
    if not sys.platform.startswith("linux") or machine is None:
        return
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    prctl.argtypes = [ctypes.c_int, *[ctypes.c_ulong] * 4]
    prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    program = _filter(*machine)
    text = ctypes.create_string_buffer(program, len(program))
    # struct sock_fprog: the number of instructions, padding, their address
    words = struct.pack("@HxxxxxxQ", len(program) // 8, ctypes.addressof(text))
    given = ctypes.create_string_buffer(words, len(words))
    prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    prctl(_PR_SET_SECCOMP, _FILTER_MODE, ctypes.addressof(given), 0, 0)


def _filter(architecture: int, refused: tuple[int, ...]) -> bytes:
    """A BPF program that refuses these system calls of this architecture."""
    count = len(refused)
    program = [
        (_LOAD, 0, 0, 4),  # seccomp_data.arch
        (_JUMP_IF_EQUAL, 0, count + 1, architecture),  # another one: allowed
        (_LOAD, 0, 0, 0),  # seccomp_data.nr
        *((_JUMP_IF_EQUAL, count - at, 0, number) for at, number in enumerate(refused)),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _REFUSE),
    ]
    return b"".join(struct.pack("=HBBI", *each) for each in program)
