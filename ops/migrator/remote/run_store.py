"""A run's folder on the bastion: request (without the password), log, result, and lock.

    run.json     who, direction, from, to, and the pid
    log          one line of progress each, complete even if no client is attached
    status.json  the result, written atomically; missing while the run is active
    lock         an flock of the runner; free without a status: the runner was killed ("lost")

Standard library only, because it also serves commands on a host without any other package.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from ops.migrator.remote.messages import RunEnd, WatchMessage

_MAX_ENDED_RUNS = 20  # ended runs that are kept
POLL_S = 0.1
_HEARTBEAT_S = 3.0  # how often a silent run is reported, so that both ends detect a dead connection


@dataclass(frozen=True)
class StoredRun:
    """One run, by its folder."""

    folder: Path

    @property
    def id(self) -> str:
        return self.folder.name

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def ended(self) -> RunEnd | None:
        """The result; None while the run is active."""
        return cast("RunEnd | None", _read_json(self.folder / "status.json"))

    def details(self) -> dict[str, Any]:
        return _read_json(self.folder / "run.json") or {}

    def is_running(self) -> bool:
        """Whether the runner holds its lock."""
        try:
            with (self.folder / "lock").open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def state(self) -> RunEnd:
        """The result; or `running`; or `lost` if the runner is gone without one."""
        running = self.is_running()  # first: a run that ends in between has written its result
        return self.ended() or {"state": "running" if running else "lost"}

    def as_document(self) -> dict[str, Any]:
        return {"run": self.id, **self.details(), **self.state()}

    def end(self, status: RunEnd) -> None:
        write_json(self.folder / "status.json", status)

    def follow(self, offset: int) -> Iterator[WatchMessage]:
        """Yield the run's id, each log line from `offset` (bytes) on, then the result.

        A silent run yields a heartbeat with the offset.
        """
        spoke = time.monotonic()
        # `latest` may have changed when a client reconnects
        yield {"run": self.id, "about": self.details(), "offset": offset}
        with self.log.open("rb") as file:
            file.seek(offset)
            while True:
                state = self.state()
                for line in _complete_lines(file, last=state["state"] != "running"):
                    offset, spoke = file.tell(), time.monotonic()
                    yield {"line": line.decode("utf-8", "replace"), "offset": offset}
                if state["state"] != "running":
                    yield {"run": self.id, "about": self.details(), "end": state, "offset": offset}
                    return
                if time.monotonic() - spoke >= _HEARTBEAT_S:
                    spoke = time.monotonic()
                    yield {"offset": offset}
                time.sleep(POLL_S)


def _complete_lines(file: Any, *, last: bool) -> Iterator[bytes]:
    """Yield complete lines; an unterminated one only if it is the `last`."""
    while True:
        at = file.tell()
        line = file.readline()
        if not line or not (line.endswith(b"\n") or last):
            file.seek(at)
            return
        yield line.rstrip(b"\n")


def runs(root: Path) -> list[StoredRun]:
    """Every run below `root`, newest first."""
    found = (
        [StoredRun(path) for path in root.iterdir() if (path / "run.json").exists()]
        if root.is_dir()
        else []
    )
    return sorted(found, key=lambda run: str(run.details().get("began_at")), reverse=True)


def all_runs(root: Path) -> list[StoredRun]:
    """The runs of every environment."""
    return [run for folder in (root.iterdir() if root.is_dir() else ()) for run in runs(folder)]


def prune(root: Path) -> None:
    """Remove the oldest ended runs beyond `_MAX_ENDED_RUNS`."""
    for run in [run for run in runs(root) if not run.is_running()][_MAX_ENDED_RUNS:]:
        shutil.rmtree(run.folder, ignore_errors=True)


def _read_json(path: Path) -> dict[str, Any] | None:
    with contextlib.suppress(OSError, ValueError):
        found = json.loads(path.read_text(encoding="utf-8"))
        return found if isinstance(found, dict) else None
    return None


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Write a document atomically, readable by its owner only."""
    making = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(
        os.open(making, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8"
    ) as file:
        json.dump(document, file)
        file.flush()
        os.fsync(file.fileno())
    making.replace(path)
