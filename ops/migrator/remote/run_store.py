"""A run's folder on the host that migrates: what was asked (never the password), its log, its end,
and a lock while it lives.

    run.json     who, what, from where to where, and the process
    log          one line of progress each, complete whoever watched
    status.json  the end, written by rename; not there while it runs
    lock         an flock of the runner; free without a status: the runner was killed ("lost")

Standard library only: it is read by commands that must answer on a host where nothing else is
installed yet."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_MAX_ENDED_RUNS = 20  # ended runs that are kept
POLL_S = 0.1
_HEARTBEAT_S = (
    3.0  # a watcher hears from a silent run so often, so that both ends notice a dead connection
)


@dataclass(frozen=True)
class StoredRun:
    """One run below the folder of all runs."""

    folder: Path

    @property
    def id(self) -> str:
        return self.folder.name

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def ended(self) -> dict[str, Any] | None:
        """Its end, None while there is none."""
        return _read_json(self.folder / "status.json")

    def about(self) -> dict[str, Any]:
        return _read_json(self.folder / "run.json") or {}

    def lives(self) -> bool:
        """Whether the runner holds its lock."""
        try:
            with (self.folder / "lock").open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def state(self) -> dict[str, Any]:
        """Its end; `running`; or `lost` where the runner is gone without one."""
        lives = self.lives()  # first: who ends between the two looks has written its end by then
        return self.ended() or {"state": "running" if lives else "lost"}

    def as_document(self) -> dict[str, Any]:
        return {"run": self.id, **self.about(), **self.state()}

    def end(self, status: dict[str, Any]) -> None:
        write_json(self.folder / "status.json", status)

    def follow(self, offset: int) -> Iterator[dict[str, Any]]:
        """Which run it is, each line of the log from `offset` (bytes) on, then the end. A beat
        where nothing is said.
        """
        spoke = time.monotonic()
        yield {
            "run": self.id,
            "offset": offset,
        }  # `latest` may be another one when a watcher comes back
        with self.log.open("rb") as file:
            file.seek(offset)
            while True:
                state = self.state()
                for line in _complete_lines(file, last=state["state"] != "running"):
                    offset, spoke = file.tell(), time.monotonic()
                    yield {"line": line.decode("utf-8", "replace"), "offset": offset}
                if state["state"] != "running":
                    yield {"run": self.id, "about": self.about(), "end": state, "offset": offset}
                    return
                if time.monotonic() - spoke >= _HEARTBEAT_S:
                    spoke = time.monotonic()
                    yield {"offset": offset}
                time.sleep(POLL_S)


def _complete_lines(file: Any, *, last: bool) -> Iterator[bytes]:
    """Lines that are there; one without its end only where no more is to come."""
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
    return sorted(found, key=lambda run: str(run.about().get("began_at")), reverse=True)


def all_runs(root: Path) -> list[StoredRun]:
    """Every environment's."""
    return [run for folder in (root.iterdir() if root.is_dir() else ()) for run in runs(folder)]


def prune(root: Path) -> None:
    """Forget the oldest ended runs beyond KEPT."""
    for run in [run for run in runs(root) if not run.lives()][_MAX_ENDED_RUNS:]:
        shutil.rmtree(run.folder, ignore_errors=True)


def _read_json(path: Path) -> dict[str, Any] | None:
    with contextlib.suppress(OSError, ValueError):
        found = json.loads(path.read_text(encoding="utf-8"))
        return found if isinstance(found, dict) else None
    return None


def write_json(path: Path, document: dict[str, Any]) -> None:
    """Whole or not at all, readable by its owner alone."""
    making = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(
        os.open(making, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8"
    ) as file:
        json.dump(document, file)
        file.flush()
        os.fsync(file.fileno())
    making.replace(path)
