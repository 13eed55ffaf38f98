"""Sweeps kept as JSON files, one a run: what the next one is compared with (`.ops/health/ENVIRONMENT/`)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ops.errors import ConfigError, OpsError


def keep(folder: Path, document: Mapping[str, Any], limit: int) -> Path:
    """Write it beside the others, whole or not at all, and drop what is older than the newest `limit`. Raises OpsError."""
    stamp = "".join(letter for letter in str(document["at"]) if letter.isdigit())
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path = save(folder / f"{stamp}.json", document)
        for old in sorted(folder.glob("*.json"), reverse=True)[limit:]:
            old.unlink(missing_ok=True)
    except OSError as error:
        raise OpsError(f"this run could not be kept in {folder}", str(error), "make the folder writable") from None
    return path


def save(path: Path, document: Mapping[str, Any]) -> Path:
    """Write it there. Raises OSError."""
    making = path.with_name(f"{path.name}.making")
    making.write_text(json.dumps(document, ensure_ascii=False, default=str) + "\n", encoding="utf-8")
    making.replace(path)
    return path


def newest(folder: Path) -> Iterator[Mapping[str, Any]]:
    """The kept runs, newest first; one that can't be read is left out."""
    for path in sorted(folder.glob("*.json"), reverse=True):
        try:
            yield parsed(path)
        except ConfigError:
            continue


def parsed(path: Path) -> Mapping[str, Any]:
    """A run that was kept or saved. Raises ConfigError for a file that is none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"--against {path}", str(error), "a file of --save, or last-release") from None
    if not isinstance(found, dict) or not isinstance(found.get("checks"), list):
        raise ConfigError(f"--against {path}", "it holds no run of health checks", "a file of --save, or last-release")
    return found
