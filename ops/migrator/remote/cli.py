"""`python3 -u -m ops.migrator.remote.cli start|attach|cancel|list RUNS …`: migrations on the host
that reaches the database, without a terminal.

`start` reads one JSON document from stdin, the password among it, and leaves a detached runner
behind: its own session, its output in the run's log, so that no lost connection and no closed
terminal touches it. A second `start` of the same id changes nothing. `attach` tells the log from an
offset on and ends with the run's end; `cancel` interrupts it (the revision at work is rolled back).
All answers are JSON lines."""

from __future__ import annotations

import dataclasses
import fcntl
import importlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

from ops.migrator.remote import bundle_cache, run_store
from ops.migrator.remote.run_store import StoredRun

_KILL_AFTER_S = 30.0  # how long a runner that was interrupted may take before it is killed
_CA_BUNDLE = "authority.pem"  # the CA bundle of the operator's machine, shipped by its content


class _RunCancelled(KeyboardInterrupt):
    """`cancel`, or a signal from elsewhere. A subclass: `raise KeyboardInterrupt` in a revision is
    that revision's failure.
    """


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _send(document: dict[str, Any]) -> None:
    """One line; whoever listened may be gone."""
    try:
        print(json.dumps(document), flush=True)
    except OSError:
        os._exit(1)


def _start(root: Path, folder: str) -> None:
    """Read what is asked, and leave a runner of it behind. `folder`: the revisions, with env.py."""
    asked = json.loads(sys.stdin.readline())
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    run = StoredRun(root / asked["who"]["run"])
    try:
        run.folder.mkdir(mode=0o700)
    except FileExistsError:
        return _send({**run.as_document(), "started": False})
    run.log.touch(mode=0o600)
    lock = os.open(run.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(
        lock, fcntl.LOCK_EX
    )  # taken before anybody can look for the run; the runner inherits it
    about = {key: asked.get(key) for key in ("who", "direction", "to", "bundles")} | {
        "from": asked["shown"],
        "began_at": _now(),
    }
    run_store.write_json(run.folder / "run.json", about)
    if os.fork():
        os.close(lock)
        _wait_for_pid(run)
        _prune(root, asked.get("bundles"))
        return _send({**run.as_document(), "started": True})
    _detach(run, asked, folder)


def _prune(root: Path, bundles: Mapping[str, str] | None) -> None:
    """What nobody needs any more; `bundles`: those that this run was started from, where it was."""
    run_store.prune(root)
    if bundles:
        cache = root.parent.parent  # …/runs/ENVIRONMENT
        bundle_cache.touch(cache, bundles)
        bundle_cache.prune(cache)


def _wait_for_pid(run: StoredRun) -> None:
    """Until the runner has put down who it is: whoever was told of the run can cancel it."""
    while run.lives() and "pid" not in run.about():
        time.sleep(run_store.POLL_S / 10)


def _detach(run: StoredRun, asked: dict[str, Any], folder: str) -> NoReturn:
    """A session of its own, no terminal, every output into the log; then the work."""
    os.setsid()
    if os.fork():
        os._exit(0)
    code = 1
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, _interrupt_once)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        nowhere, log = os.open(os.devnull, os.O_RDONLY), os.open(run.log, os.O_WRONLY | os.O_APPEND)
        for old, new in ((nowhere, 0), (log, 1), (log, 2)):
            os.dup2(old, new)
        for stream in (
            sys.stdout,
            sys.stderr,
        ):  # the host's locale must not decide what a revision may say
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")  # type: ignore[union-attr]
        run_store.write_json(run.folder / "run.json", {**run.about(), "pid": os.getpid()})
        run.end(_run_migration(run, asked, folder))
        code = 0
    finally:
        os._exit(code)


def _interrupt_once(number: int, _frame: object) -> NoReturn:
    """The first one rolls back; a second must not disturb that, nor the writing of the end."""
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
    raise _RunCancelled(f"asked to stop by {signal.Signals(number).name}")


def _run_migration(run: StoredRun, asked: dict[str, Any], folder: str) -> dict[str, Any]:
    """The end of the run, whatever it is; it never raises."""
    from ops.migrator.model import Limits, MigrateError, RunIdentity, TargetDatabase

    target = TargetDatabase(folder, _libpq_parameters(run, asked))
    ended: dict[str, Any]

    def report_forced_end(_what: str, why: str, _how: str) -> None:
        """Write the end from the thread that ends this process."""
        run.end({"state": "cancelled", "forced": target.clean(why), "ended_at": _now()})

    try:
        from ops.migrator.revisions import interrupts
        from ops.migrator.runner import migrate

        interrupts.set_report(report_forced_end)

        if asked.get("redact"):
            target = dataclasses.replace(target, redact=_import_function(asked["redact"]))
        outcome = migrate(
            target,
            asked["direction"],
            asked["to"],
            RunIdentity(**asked["who"]),
            Limits(**asked["limits"]),
            say=lambda line: print(line, flush=True),
            accepted=asked.get("accepted"),
            shown=tuple(asked["shown"]),
        )
        ended = {"state": "succeeded", "outcome": dataclasses.asdict(outcome)}
    except MigrateError as error:
        ended = {
            "state": "failed",
            "error": {
                key: target.clean(getattr(error, key)) for key in ("kind", "what", "why", "next")
            },
        }
    except KeyboardInterrupt:
        ended = {"state": "cancelled"}
    except BaseException as error:  # the end must be known, whatever it was
        what = f"the runner failed: {type(error).__name__}"
        ended = {
            "state": "failed",
            "error": {
                "kind": "failed",
                "what": what,
                "why": target.clean(error),
                "next": "inv db.current",
            },
        }
    return {**ended, "ended_at": _now()}


def _import_function(name: str) -> Any:
    """`module:function`, of a module that was sent along: the engine has no other code of ours to
    import.
    """
    module, _, function = name.partition(":")
    return getattr(importlib.import_module(module), function)


def _libpq_parameters(run: StoredRun, asked: dict[str, Any]) -> dict[str, Any]:
    """libpq's, with the authority's bundle as a file of this host."""
    found = dict(asked["parameters"])
    if asked.get("authority"):
        file = run.folder / _CA_BUNDLE
        file.write_text(asked["authority"], encoding="utf-8")
        found["sslrootcert"] = str(file)
    return found


def _find_run(root: Path, id: str) -> StoredRun | None:
    """The run of that id; `latest`: the one at work (whoever was refused meanwhile is newer), else
    the newest. Told where there is none.
    """
    known = run_store.runs(root)
    meant = (
        [*filter(StoredRun.lives, known), *known]
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
    """SIGINT to the runner, if it lives: it rolls back and writes its end, or is killed."""
    run = _find_run(root, id)
    if run is None:
        return
    lives = run.lives()
    if lives:
        os.kill(int(run.about()["pid"]), signal.SIGINT)
        _kill_later(run)
    _send({**run.as_document(), "interrupted": lives})


def _kill_later(run: StoredRun) -> None:
    """Leave a process behind that kills the runner where it does not end: code in C that holds the
    interpreter sees no signal. What ignores an interruption in Python ends sooner, by itself.
    """
    if os.fork():
        return
    os.setsid()
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    end = time.monotonic() + _KILL_AFTER_S
    while run.lives() and time.monotonic() < end:
        time.sleep(run_store.POLL_S)
    if run.lives():
        with run.log.open("a", encoding="utf-8") as log:
            log.write(f"the runner did not stop within {_KILL_AFTER_S:g} s: killed\n")
        os.kill(int(run.about()["pid"]), signal.SIGKILL)
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
