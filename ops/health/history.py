"""Stored sweeps: on this machine, in a file of `--save`, or in a release record.

Sweeps are stored as JSON files in `.ops/health/ENVIRONMENT/`, one for each run.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ops.core import files, ui
from ops.core.errors import ConfigError, OpsError
from ops.core.parallel import with_timeout
from ops.core.redaction.redact import known
from ops.core.text import format_error
from ops.health.model import EVALUATED, Sweep
from ops.health.rules import diff
from ops.health.rules.stored_sweep import InvalidSweep, StoredSweep
from ops.state import records
from ops.state.model import ReleaseRecord

if TYPE_CHECKING:
    from ops.core.config.settings import Settings
    from ops.health.model import SweepRequest
    from ops.platform import Platform

_FOLDER = ".ops/health"
_LAST_RELEASE = "last-release"


def baseline(platform: Platform, request: SweepRequest) -> StoredSweep | None:
    """Return the run to compare with, or None.

    It comes from the given file, the last release's record, or the newest stored run of each group.
    Raises ConfigError for an invalid file or one of another environment, OpsError if no release has
    a stored run or S3 does not answer.
    """
    settings = platform.settings
    if request.baseline == _LAST_RELEASE:
        deadline_s = request.deadline_s or settings.environment.health.deadline
        return with_timeout(
            lambda: _last_release_baseline(platform), deadline_s, f"--baseline {_LAST_RELEASE}"
        )
    if request.baseline:
        return _load_baseline(Path(request.baseline), settings)
    return diff.newest_of_each(
        stored_runs(_folder(settings)), set(request.groups) - set(request.skip)
    )


def _load_baseline(path: Path, settings: Settings) -> StoredSweep:
    found = read_run(path)
    of = found.environment or settings.name
    if of != settings.name:
        why = f"it is a run of environment {of}, and this is {settings.name}"
        raise ConfigError(
            f"--baseline {path}", why, f"INVOKE_ENV={of} inv health.all --baseline {path}"
        )
    return found


def _last_release_baseline(platform: Platform) -> StoredSweep:
    """Return the sweep in the newest release record of any service.

    A sweep that cannot be read is reported. Raises OpsError if no record has a readable one.
    """
    found: list[tuple[ReleaseRecord, StoredSweep]] = []
    for name in sorted(platform.settings.environment.services):
        readable = (
            (record, run)
            for record in records.read(platform, name)
            if (run := _sweep_of(record, name)) is not None
        )
        newest = next(readable, None)
        found += [newest] if newest else []
    if not found:
        raise OpsError(
            f"--baseline {_LAST_RELEASE}",
            "no release record contains health checks",
            "inv health.all --baseline FILE",
        )
    return max(found, key=lambda each: each[0].at or "")[1]


def _sweep_of(record: ReleaseRecord, service: str) -> StoredSweep | None:
    """Return the sweep in a release record, or None without one."""
    if record.health is None:
        return None
    try:
        return StoredSweep.from_document(record.health)
    except InvalidSweep as error:
        ui.progress(f"unknown: the health checks of {service} {record.tag}: {error}")
        return None


def _folder(settings: Settings) -> Path:
    return settings.root / _FOLDER / settings.name


def last_run(settings: Settings) -> StoredSweep | None:
    """Return the newest readable run on this machine, or None."""
    return next(stored_runs(_folder(settings)), None)


def append(settings: Settings, found: Sweep, replaces: Path | None = None) -> Path | None:
    """Store this run for the next comparison; report a failure without raising.

    `replaces`: the previous run of the same watch, which is deleted.
    """
    try:
        path = store_run(
            _folder(settings), diff.as_document(found), settings.environment.health.keep
        )
    except OpsError as problem:
        ui.progress(format_error(problem))
        return replaces
    if replaces and replaces != path:
        replaces.unlink(missing_ok=True)
    return path


def save(path: str, found: Sweep) -> None:
    """Write the sweep to a file. Raises OpsError."""
    try:
        write_run(Path(path), diff.as_document(found))
    except OSError as error:
        raise OpsError(
            f"--save {path}", error.strerror or str(error), "name a file in a folder that is there"
        ) from None


def save_or_exit_code(path: str | None, found: Sweep) -> int:
    """Write the sweep to a file; report a failure and return its exit code (0: success)."""
    try:
        if path:
            save(path, found)
    except OpsError as problem:
        ui.progress(str(problem))
        return problem.exit_code
    return 0


def check_writable(path: str) -> None:
    """Check that a run can be saved at this path. Raises ConfigError."""
    parent = Path(path).absolute().parent
    fault = (
        "there is no such folder"
        if not parent.is_dir()
        else ""
        if os.access(parent, os.W_OK)
        else "it may not be written to"
    )
    if Path(path).is_dir():
        parent, fault = Path(path), "it is a folder"
    if fault:
        raise ConfigError(
            f"--save {path}", f"{parent}: {fault}", "name a file in a folder that is there"
        )


def store_run(folder: Path, document: Mapping[str, Any], limit: int) -> Path:
    """Write a run to the folder and delete those beyond the newest `limit` of the same groups.

    The file is written atomically. Raises OpsError.
    """
    stamp = "".join(letter for letter in str(document["at"]) if letter.isdigit())
    kind = (
        "+".join(
            sorted(
                {str(each["group"]) for each in document["checks"] if each["status"] in EVALUATED}
                - {"account"}
            )
        )
        or "nothing"
    )
    try:
        path = write_run(folder / f"{stamp}.{kind}.json", document)
        for old in sorted(folder.glob(f"*.{kind}.json"), reverse=True)[limit:]:
            old.unlink(missing_ok=True)
    except OSError as error:
        raise OpsError(
            f"this run could not be stored in {folder}", str(error), "make the folder writable"
        ) from None
    return path


def write_run(path: Path, document: Mapping[str, Any]) -> Path:
    """Write a run to this path. Raises OSError."""
    return files.write_json(path, known.hide_in(document))


def stored_runs(folder: Path) -> Iterator[StoredSweep]:
    """Yield the stored runs, newest first; report the unreadable ones."""
    for path in sorted(folder.glob("*.json"), reverse=True):
        try:
            yield read_run(path)
        except ConfigError as problem:
            ui.progress(f"unknown: stored run {path}: {problem.why}")


def read_run(path: Path) -> StoredSweep:
    """Read a stored run. Raises ConfigError for an invalid file."""
    try:
        return StoredSweep.from_document(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(
            f"--baseline {path}", str(error), "a file of --save, or last-release"
        ) from None
