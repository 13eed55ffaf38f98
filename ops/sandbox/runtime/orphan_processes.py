"""Which task processes a sandbox has started, on disk, so that the next `up` ends what a killed
supervisor left behind.

One file a task, `tasks/<task id>/pid-<container>.json`, with the process's start time: a number
that was given to another process since is never killed."""

from __future__ import annotations

import contextlib
import json
import os
import time
from pathlib import Path

import psutil

from ops.sandbox.registry.store import write_aside

_SAME_START = 0.05  # seconds: psutil's start times are read from the same counter


def note(tasks: Path, task_id: str, name: str, pid: int) -> Path:
    """Record a process that was just started; the file."""
    path = tasks / task_id / f"pid-{name}.json"
    try:
        started = psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        started = 0.0
    write_aside(path, json.dumps({"pid": pid, "started": started}).encode())
    return path


def forget(path: Path) -> None:
    """The process has ended: remove its record, and the task's folder when it is empty."""
    path.unlink(missing_ok=True)
    try:
        path.parent.rmdir()
    except OSError:
        return  # other containers of the task, or its other files


def sweep(tasks: Path) -> tuple[int, ...]:
    """Kill every recorded process that still runs, with its group and descendants; their pids.
    Records are removed.
    """
    killed: list[int] = []
    for path in sorted(tasks.glob("*/pid-*.json")):
        killed.extend(_end(path))
        forget(path)
    return tuple(killed)


def _end(path: Path) -> list[int]:
    try:
        record = json.loads(path.read_text())
        pid, started = int(record["pid"]), float(record["started"])
    except (ValueError, KeyError, TypeError):
        return []
    family = _family(pid, started)
    for each in family:
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            each.kill()
    _wait(family)
    return [each.pid for each in family]


def _wait(family: list[psutil.Process]) -> None:
    """Until all have ended, five seconds at most; they are not reaped here, that is their parents'
    to do.
    """
    deadline = time.monotonic() + 5
    while any(map(_runs, family)) and time.monotonic() < deadline:
        time.sleep(0.02)


def _runs(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _family(pid: int, started: float) -> list[psutil.Process]:
    """What is left of a task: its process with all descendants, and its process group when the
    process itself has gone.
    """
    try:
        process = psutil.Process(pid)
    except psutil.NoSuchProcess:
        process = None
    if process is not None and abs(process.create_time() - started) > _SAME_START:
        return []  # the number has been given to somebody else
    group = [
        each
        for each in psutil.process_iter()
        if _group(each.pid) == pid and each.create_time() >= started - _SAME_START
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
