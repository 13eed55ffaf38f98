"""The task processes of a sandbox, recorded on disk for the cleanup after a kill.

One file per task, `tasks/<task id>/pid-<container>.json`, with the process's start: a process that
reuses the pid is never killed. The start is counted from the boot, because the time that psutil
computes from it moves with the system's clock.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from pathlib import Path

import psutil

from ops.sandbox.registry.store import write_aside

_START_FIELD = 19  # of /proc/PID/stat after the name: clock ticks since the boot (proc(5), 22)


def note(tasks: Path, task_id: str, name: str, pid: int) -> Path:
    """Record a new process; return the file."""
    path = tasks / task_id / f"pid-{name}.json"
    write_aside(path, json.dumps({"pid": pid, "started": _start(pid)}).encode())
    return path


def _start(pid: int) -> int:
    """Return when a process started, in clock ticks since the boot; 0 if it has ended."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0
    return int(text.rpartition(")")[2].split()[_START_FIELD])


def forget(path: Path) -> None:
    """Remove the record of an ended process, and the task's folder if empty."""
    path.unlink(missing_ok=True)
    try:
        path.parent.rmdir()
    except OSError:
        return  # other containers of the task, or its other files


def sweep(tasks: Path) -> tuple[int, ...]:
    """Kill every recorded process with its group and descendants; return their pids.

    The records are removed.
    """
    killed: list[int] = []
    for path in sorted(tasks.glob("*/pid-*.json")):
        killed.extend(_end(path))
        forget(path)
    return tuple(killed)


def _end(path: Path) -> list[int]:
    try:
        record = json.loads(path.read_text())
        pid, started = int(record["pid"]), int(record["started"])
    except (ValueError, KeyError, TypeError):
        return []
    family = _family(pid, started)
    for each in family:
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            each.kill()
    _wait(family)
    return [each.pid for each in family]


def _wait(family: list[psutil.Process]) -> None:
    """Wait at most five seconds for all to end; their parents must reap them."""
    deadline = time.monotonic() + 5
    while any(map(_runs, family)) and time.monotonic() < deadline:
        time.sleep(0.02)


def _runs(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _family(pid: int, started: int) -> list[psutil.Process]:
    """Return a task's process with its descendants, or its group if the process has ended."""
    try:
        process = psutil.Process(pid)
    except psutil.NoSuchProcess:
        process = None
    if process is not None and _start(pid) != started:
        return []  # another process reuses the pid
    group = [
        each
        for each in psutil.process_iter()
        if _group(each.pid) == pid and _start(each.pid) >= started
    ]
    return list(
        {
            each.pid: each
            for each in (*group, *(process.children(recursive=True) if process else ()))
        }.values()
    )


def _group(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except OSError:
        return 0
