"""Runs of health checks that were kept: on this machine, in an operator's file, in a release's
record; to compare the next with.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ops.core import ui
from ops.core.errors import ConfigError, OpsError
from ops.core.parallel import with_timeout
from ops.health import history_files
from ops.health.model import Sweep
from ops.health.rules import diff
from ops.state import records

if TYPE_CHECKING:
    from ops.core.config.settings import Settings
    from ops.health.model import SweepRequest
    from ops.platform import Platform

KEPT = ".ops/health"
LAST_RELEASE = "last-release"


def baseline(platform: Platform, request: SweepRequest) -> Mapping[str, Any] | None:
    """The run to compare with: the file, the last release's, else of each group the newest kept run
    that looked at it.

    Raises ConfigError for a file that is none, or another environment's; OpsError where no release
    keeps one, or S3 does not answer."""
    settings = platform.settings
    if request.against == LAST_RELEASE:
        deadline_s = request.deadline_s or settings.environment.health.deadline
        return with_timeout(
            lambda: last_release_baseline(platform), deadline_s, f"--against {LAST_RELEASE}"
        )
    if request.against:
        return load_baseline(Path(request.against), settings)
    return diff.newest_of_each(
        history_files.newest(folder(settings)), set(request.groups) - set(request.skip)
    )


def load_baseline(path: Path, settings: Settings) -> Mapping[str, Any]:
    found = history_files.parsed(path)
    of = str(found.get("environment") or settings.name)
    if of != settings.name:
        why = f"it is a run of environment {of}, and this is {settings.name}"
        raise ConfigError(
            f"--against {path}", why, f"INVOKE_ENV={of} inv health.all --against {path}"
        )
    return found


def last_release_baseline(platform: Platform) -> Mapping[str, Any]:
    """What was seen after the newest release of any service, as its record keeps it. Raises
    OpsError where no record has it.
    """
    found: list[Mapping[str, Any]] = []
    for name in sorted(platform.settings.environment.services):
        newest = next(
            (
                record
                for record in records.read(platform, name)
                if history_files.read_error(record.get("health")) is None
            ),
            None,
        )
        found += [newest] if newest else []
    if not found:
        raise OpsError(
            f"--against {LAST_RELEASE}",
            "no release record keeps a run of health checks",
            "inv health.all --against FILE",
        )
    health: Mapping[str, Any] = max(found, key=lambda record: str(record.get("at")))["health"]
    return health


def folder(settings: Settings) -> Path:
    return settings.root / KEPT / settings.name


def append(settings: Settings, found: Sweep, instead_of: Path | None = None) -> Path | None:
    """Keep this run for the next one (`instead_of`: in place of that one, of the same watch); where
    it can't be kept, that is said.
    """
    try:
        path = history_files.append(
            folder(settings), diff.as_document(found), settings.environment.health.keep
        )
    except OpsError as problem:
        ui.progress(f"{problem.what}: {problem.why}")
        return instead_of
    if instead_of and instead_of != path:
        instead_of.unlink(missing_ok=True)
    return path


def save(path: str, found: Sweep) -> None:
    """Write it to a file of the operator's. Raises OpsError."""
    try:
        history_files.save(Path(path), diff.as_document(found))
    except OSError as error:
        raise OpsError(
            f"--save {path}", error.strerror or str(error), "name a file in a folder that is there"
        ) from None


def save_or_exit_code(path: str | None, found: Sweep) -> int:
    """The same after the run has been told: what goes wrong is said, and is the exit code (0:
    nothing did).
    """
    try:
        if path:
            save(path, found)
    except OpsError as problem:
        ui.progress(str(problem))
        return problem.exit_code
    return 0


def check_writable(path: str) -> None:
    """Whether a run can be saved there, before any time is spent on one. Raises ConfigError."""
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
