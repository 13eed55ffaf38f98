"""Run migrations on the bastion: `python3 -u -m ops.migrator.remote.cli VERB RUNS …`.

`start` reads one JSON document, which includes the password, from stdin and starts a detached
runner: a session of its own with its output in the run's log, so that a lost connection or a closed
terminal does not affect it. A second `start` of the same id changes nothing. `attach` sends the log
from an offset and ends with the run. `cancel` interrupts the run, which rolls back the current
revision. `list` lists the runs. All answers are JSON lines.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

from ops.migrator.model import TargetDatabase
from ops.migrator.remote import bundle_cache, execute, run_store
from ops.migrator.remote.execute import interrupt_once, run_migration
from ops.migrator.remote.messages import StartRequest
from ops.migrator.remote.run_store import StoredRun

_KILL_AFTER_S = 30.0  # how long a runner that was interrupted may take before it is killed
_CA_BUNDLE = "authority.pem"  # the CA bundle of the operator's machine, shipped by its content


def _send(document: Mapping[str, Any]) -> None:
    """Print one JSON line; exit if the reader is gone."""
    try:
        print(json.dumps(document), flush=True)
    except OSError:
        os._exit(1)


def _start(root: Path, folder: str) -> None:
    """Read the request and start a detached runner. `folder`: the revisions, with env.py."""
    request: StartRequest = json.loads(sys.stdin.readline())
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    run = StoredRun(root / request["who"]["run"])
    try:
        run.folder.mkdir(mode=0o700)
    except FileExistsError:
        return _send({**run.as_document(), "started": False})
    run.log.touch(mode=0o600)
    lock = os.open(run.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)  # taken before the run is visible; the runner inherits it
    about = {key: request.get(key) for key in ("who", "direction", "to", "bundles")} | {
        "from": request["shown"],
        "began_at": execute.now(),
    }
    run_store.write_json(run.folder / "run.json", about)
    if os.fork():
        os.close(lock)
        _wait_for_pid(run)
        _prune(root, request.get("bundles"))
        return _send({**run.as_document(), "started": True})
    _detach(run, request, folder)


def _prune(root: Path, bundles: Mapping[str, str | None] | None) -> None:
    """Remove old runs and bundles; `bundles`: those that this run uses, if any."""
    run_store.prune(root)
    if bundles:
        cache = root.parent.parent  # …/runs/ENVIRONMENT
        bundle_cache.touch(cache, bundles)
        bundle_cache.prune(cache)


def _wait_for_pid(run: StoredRun) -> None:
    """Wait until the runner has recorded its pid, so that the run can be cancelled."""
    while run.is_running() and "pid" not in run.details():
        time.sleep(run_store.POLL_S / 10)


def _detach(run: StoredRun, request: StartRequest, folder: str) -> NoReturn:
    """Start a session without a terminal, redirect all output to the log, and run the migration."""
    os.setsid()
    if os.fork():
        os._exit(0)
    code = 1
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, interrupt_once)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        nowhere, log = os.open(os.devnull, os.O_RDONLY), os.open(run.log, os.O_WRONLY | os.O_APPEND)
        for old, new in ((nowhere, 0), (log, 1), (log, 2)):
            os.dup2(old, new)
        for stream in (
            sys.stdout,
            sys.stderr,
        ):  # independent of the host's locale
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")  # type: ignore[union-attr]
        run_store.write_json(run.folder / "run.json", {**run.details(), "pid": os.getpid()})
        target = TargetDatabase(folder, _libpq_parameters(run, request))
        run.end(run_migration(request, target, run.end))
        code = 0
    finally:
        os._exit(code)


def _libpq_parameters(run: StoredRun, request: StartRequest) -> dict[str, Any]:
    """libpq's parameters, with the CA bundle written to a file of this host."""
    found = dict(request["parameters"])
    if authority := request.get("authority"):
        file = run.folder / _CA_BUNDLE
        file.write_text(authority, encoding="utf-8")
        found["sslrootcert"] = str(file)
    return found


def _find_run(root: Path, id: str) -> StoredRun | None:
    """The run with that id, or None after sending the known ids.

    `latest` is the active run if there is one (a refused run may be newer), else the newest.
    """
    known = run_store.runs(root)
    meant = (
        [*filter(StoredRun.is_running, known), *known]
        if id == "latest"
        else [run for run in known if run.id == id]
    )
    found = next(iter(meant), None)
    if found is None:
        _send({"missing": id, "known": [run.id for run in known[:5]]})
    return found


def _attach(root: Path, id: str, offset: str) -> None:
    run = _find_run(root, id)
    for line in run.follow(int(offset)) if run else ():
        _send(line)


def _cancel(root: Path, id: str) -> None:
    """Send SIGINT to an active runner: it rolls back and writes its result, or is killed later."""
    run = _find_run(root, id)
    if run is None:
        return
    lives = run.is_running()
    if lives:
        os.kill(int(run.details()["pid"]), signal.SIGINT)
        _kill_later(run)
    _send({**run.as_document(), "interrupted": lives})


def _kill_later(run: StoredRun) -> None:
    """Fork a process that kills the runner if it does not end.

    C code that holds the interpreter sees no signal. Python code that ignores an interruption is
    ended sooner (`revisions.interrupts`).
    """
    if os.fork():
        return
    os.setsid()
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    end = time.monotonic() + _KILL_AFTER_S
    while run.is_running() and time.monotonic() < end:
        time.sleep(run_store.POLL_S)
    if run.is_running():
        with run.log.open("a", encoding="utf-8") as log:
            log.write(f"the runner did not stop within {_KILL_AFTER_S:g} s: killed\n")
        os.kill(int(run.details()["pid"]), signal.SIGKILL)
    os._exit(0)


def _list_runs(root: Path) -> None:
    _send({"runs": [run.as_document() for run in run_store.runs(root)]})


_COMMANDS: dict[str, Callable[..., None]] = {
    "start": _start,
    "attach": _attach,
    "cancel": _cancel,
    "list": _list_runs,
}

if __name__ == "__main__":
    _COMMANDS[sys.argv[1]](Path(sys.argv[2]), *sys.argv[3:])
