"""Stopped tasks remembered on this machine: ECS forgets them after about an hour.

`.ops/evidence/ENVIRONMENT/stopped-tasks.json` holds the tasks of DescribeTasks that a diagnosis
saw, redacted, for seven days.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from ops.core import files, ui
from ops.core.text import format_error

if TYPE_CHECKING:
    from pathlib import Path

    from ops.core.config.settings import Settings

_FOLDER = ".ops/evidence"
_FILE = "stopped-tasks.json"
_KEPT_FOR = timedelta(days=7)
_MAX_TASKS = 200  # of one service

StoppedTasks = Mapping[str, Sequence[Mapping[str, Any]]]  # ECS service → tasks


def merge(settings: Settings, now: StoppedTasks) -> dict[str, list[Mapping[str, Any]]]:
    """Stopped tasks of `now` and those remembered, newest first; `now` is remembered too.

    An unreadable or unwritable file is reported, and costs only what it held.
    """
    path = settings.root / _FOLDER / settings.name / _FILE
    since = (datetime.now(UTC) - _KEPT_FOR).isoformat()
    before = _read(path)
    found: dict[str, list[Mapping[str, Any]]] = {}
    for service in {**before, **now}:
        tasks = {
            each["taskArn"]: each for each in (*before.get(service, ()), *now.get(service, ()))
        }
        recent = [each for each in tasks.values() if str(each.get("createdAt", "")) >= since]
        recent.sort(key=lambda each: str(each.get("createdAt", "")), reverse=True)
        found[service] = recent[:_MAX_TASKS]
    _write(path, found)
    return found


def _read(path: Path) -> StoppedTasks:
    content = files.read_json(path)
    if content is None and path.exists():
        ui.progress(f"unknown: tasks remembered in {path}: it cannot be read; it is replaced")
    if not isinstance(content, dict):
        return {}
    return {
        service: [each for each in tasks if isinstance(each, dict) and "taskArn" in each]
        for service, tasks in content.items()
        if isinstance(tasks, list)
    }


def _write(path: Path, found: StoppedTasks) -> None:
    try:
        files.write_json(path, found, mode=0o600)
    except OSError as error:
        ui.progress(f"stopped tasks are not remembered: {format_error(error)}")
