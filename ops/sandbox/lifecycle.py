"""Start, stop and inspect the sandbox below one folder: `up`, `down` and `status`.

`up` starts a detached supervisor and waits until it is ready. It is safe to call at any time: a
healthy sandbox is left alone, an unhealthy one is restarted. A file lock lets only one `up` or
`down` run at a time.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from ops.core.errors import ConfigError, OpsError, Refused, error_of_kind
from ops.sandbox import private
from ops.sandbox import status as statuses
from ops.sandbox.contracts import Paths, Timing
from ops.sandbox.status import LAYOUT, MODULE, Record, Status

_PATIENCE = 90.0  # seconds until a start has failed; it takes less than ten on two idle cores
_STOPPING = 30.0  # seconds for an orderly end
_REWRITTEN = 3.0  # seconds for a supervisor to write a damaged record again
_PROJECT = Path(__file__).parents[2]


def up(
    root: Path,
    *,
    engine: str | None = None,
    rollout: str | None = None,
    registry: str | None = None,
    timing: Timing | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Status:
    """Start the sandbox below `root`, or repair it, and return when both services are healthy.

    `engine` is `process` or `docker`; by default the engine of the running or killed sandbox, else
    `process`. `rollout` is `ecs`, `terraform` or `auto` (Terraform where it works); by default
    `ecs` if the sandbox to repair had that, else `auto`. `registry` is the `host:port` of a real
    registry behind the front, for a Docker engine; by default the one in use, if any. Raises
    OpsError with the supervisor's reason, and Refused if a sandbox with another engine, rollout or
    registry is running.
    """
    paths = Paths(root.resolve())
    with _alone(paths):
        record = _record(paths)
        if record is not None and record.process(paths) is not None:
            if record.state == "starting":
                _await_end_of_start(paths)
            now = statuses.read_status(paths.root)
            if record.layout != LAYOUT:
                say("the sandbox was started by another version: restarting it")
            elif now.ready:
                _refuse_another("engine", now.engine, engine)
                _refuse_another("rollout", now.rollout, None if rollout == "auto" else rollout)
                _refuse_another("registry", now.registry, registry)
                say(f"the sandbox is already up (pid {now.pid})")
                return now
            else:
                say("the sandbox is unhealthy: restarting it")
        _end(paths)
        known = _kept(record)
        rollout = rollout or ("ecs" if known.rollout == "ecs" else "auto")
        _start(
            paths,
            engine or known.engine,
            rollout,
            registry or known.registry,
            timing or Timing(),
            say,
        )
        return statuses.read_status(paths.root)


def _refuse_another(what: str, stands: str | None, asked: str | None) -> None:
    if asked not in (None, stands):
        raise Refused(
            f"the sandbox is up with {what} {stands or '(none)'}",
            f"{what} {asked} was requested",
            "run inv sandbox.down first",
        )


def _kept(record: Record | None) -> Record:
    """Return the settings to repair with; the defaults after a stop or a failed start."""
    return (
        record
        if record is not None and record.state in ("starting", "ready")
        else Record("stopped")
    )


def down(
    root: Path, *, purge: bool = False, say: Callable[[str], None] = lambda line: None
) -> None:
    """Stop the sandbox below `root` and everything it started.

    Idempotent.

    With `purge`, also delete its files. Raises OpsError if one of its processes can't be stopped.
    """
    paths = Paths(root.resolve())
    if not paths.root.exists():
        return
    with _alone(paths):
        _record(paths)
        if not _end(paths):
            say("the sandbox was already down")
        if purge:
            from ops.sandbox.database.cluster import purge as purge_database

            _forget_images(statuses.read(paths))
            purge_database(paths)
            shutil.rmtree(paths.root, ignore_errors=True)
            say(f"deleted {paths.root}")


def status(root: Path) -> Status:
    """Return the status of the sandbox below `root`. Never raises."""
    return statuses.read_status(root.resolve())


@contextlib.contextmanager
def _alone(paths: Paths) -> Iterator[None]:
    """Hold the lock that lets only one `up` or `down` run at a time."""
    try:
        paths.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        paths.logs.mkdir(exist_ok=True)
        private.seal(paths)
    except OSError as exc:
        raise OpsError(
            f"the sandbox can't use the folder {paths.root}",
            str(exc),
            "make the folder writable, or remove it",
        ) from exc
    lock = FileLock(paths.root / "up.lock", timeout=_PATIENCE + _STOPPING)
    try:
        with lock:
            yield
    except Timeout as exc:
        raise OpsError(
            "another `sandbox.up` or `sandbox.down` is still running",
            f"it holds the lock {lock.lock_file}",
            "inv sandbox.status",
        ) from exc


def _start(
    paths: Paths,
    engine: str,
    rollout: str,
    registry: str | None,
    timing: Timing,
    say: Callable[[str], None],
) -> None:
    if registry and engine != "docker":
        raise ConfigError(
            f"--registry {registry} with engine {engine}",
            "process tasks use the sandbox's own image folder, not a registry",
            f"inv sandbox.up --engine docker --registry {registry}",
        )
    progress = paths.logs / "progress.log"
    progress.write_text("")
    command = [
        sys.executable,
        "-P",
        "-m",
        MODULE,
        str(paths.root),
        "--engine",
        engine,
        "--rollout",
        rollout,
        "--timing",
        json.dumps(asdict(timing)),
        *(["--registry", registry] if registry else []),
    ]
    with (paths.logs / "supervisor.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=paths.root,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        _follow(paths, process, progress, say)
    except BaseException:
        _end(paths)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_STOPPING)
        raise


def _follow(
    paths: Paths, process: subprocess.Popen[bytes], progress: Path, say: Callable[[str], None]
) -> None:
    """Report the supervisor's progress until it is ready.

    Raises OpsError if it dies or exceeds the time limit.
    """
    ends = time.monotonic() + _PATIENCE
    said = 0
    while True:
        lines = progress.read_text().splitlines(keepends=True) if progress.exists() else []
        whole = [line for line in lines if line.endswith("\n")]
        for line in whole[said:]:
            say(line.rstrip("\n"))
        said = len(whole)
        record = statuses.read(paths)
        if record is not None and record.pid == process.pid and record.state == "ready":
            return
        if process.poll() is not None:
            raise _failure(paths, f"its supervisor exited with code {process.returncode}")
        if time.monotonic() > ends:
            raise _failure(paths, f"it is not ready after {_PATIENCE:.0f} s")
        time.sleep(0.05)


def _failure(paths: Paths, otherwise: str) -> OpsError:
    """Return the supervisor's own error, or the end of its log."""
    record = statuses.read(paths)
    if record is not None and record.state == "failed" and record.failure:
        return error_of_kind(**{"kind": "", **record.failure})
    log = paths.logs / "supervisor.log"
    last = log.read_text(errors="replace").strip().splitlines()[-5:] if log.exists() else []
    return OpsError("the sandbox did not start", "\n       ".join([otherwise, *last]), f"see {log}")


def _environment() -> dict[str, str]:
    """Return the supervisor's environment: ours without credentials and proxies."""
    foreign = ("AWS_", "GIT_", "PG", "PYTHON", "MOTO_")
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(foreign) and not name.lower().endswith("_proxy")
    }
    outside = {
        f"OUTSIDE_{name}": value
        for name, value in os.environ.items()
        if name.lower().endswith("_proxy")
    }  # for `terraform init`
    return {
        "PATH": os.defpath,
        **kept,
        **outside,
        "PYTHONPATH": str(_PROJECT),
        "PYTHONUNBUFFERED": "1",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def _await_end_of_start(paths: Paths) -> None:
    """Wait for a supervisor that is still starting after its `up` was killed."""
    ends = time.monotonic() + _PATIENCE
    while time.monotonic() < ends:
        record = statuses.read(paths)
        if record is None or record.state != "starting" or record.process(paths) is None:
            return
        time.sleep(0.1)


def _record(paths: Paths) -> Record | None:
    """Return the record; if it is unreadable, wait until a running supervisor rewrites it."""
    ends = time.monotonic() + _REWRITTEN
    while (
        (record := statuses.read(paths)) is None
        and time.monotonic() < ends
        and statuses.search(paths) is not None
    ):
        time.sleep(0.1)
    return record


def _end(paths: Paths) -> bool:
    """Stop the supervisor and any children it left behind; return whether it was running."""
    record = statuses.read(paths)
    process = record.process(paths) if record is not None else statuses.search(paths)
    if process is not None:
        _terminate(process)
    _sweep(paths, record)
    if record is not None and record.state != "failed":
        record.stopped().write(paths)
    paths.overlay.unlink(missing_ok=True)
    return process is not None


def _terminate(process: psutil.Process) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        try:
            process.terminate()
            process.wait(_STOPPING)
        except psutil.TimeoutExpired:
            process.kill()
            process.wait(5)
        except psutil.AccessDenied as exc:
            raise OpsError(
                f"the sandbox's supervisor (pid {process.pid}) can't be stopped",
                "it belongs to another user",
                "stop it as that user",
            ) from exc


def _sweep(paths: Paths, record: Record | None) -> None:
    """Stop recorded orphans: tasks, PostgreSQL, containers."""
    from ops.sandbox.database.cluster import clear, located
    from ops.sandbox.runtime.orphan_processes import sweep

    sweep(paths.tasks)
    clear(located(paths))
    if record is not None and record.socket:
        private.forget_socket(Path(record.socket))
    if record is not None and record.docker:
        from ops.sandbox.supervisor.containers import sweep_containers

        sweep_containers(paths, record.docker)


def _forget_images(record: Record | None) -> None:
    """Remove the images that this sandbox built in a real engine."""
    if record is not None and record.docker and record.ports is not None:
        from ops.sandbox.supervisor.containers import forget_images

        forget_images(record.docker, f"127.0.0.1:{record.ports.registry}")
