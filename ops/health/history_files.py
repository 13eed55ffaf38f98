"""Sweeps kept as JSON files, one a run: what the next one is compared with
(`.ops/health/ENVIRONMENT/`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ops.core import files
from ops.core.errors import ConfigError, OpsError
from ops.core.redaction.redact import known
from ops.health.model import EVALUATED, STATUSES


def append(folder: Path, document: Mapping[str, Any], limit: int) -> Path:
    """Write it beside the others, whole or not at all, and drop what is older than the newest
    `limit` that looked at the same groups.

    Raises OpsError.
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
        path = save(folder / f"{stamp}.{kind}.json", document)
        for old in sorted(folder.glob(f"*.{kind}.json"), reverse=True)[limit:]:
            old.unlink(missing_ok=True)
    except OSError as error:
        raise OpsError(
            f"this run could not be kept in {folder}", str(error), "make the folder writable"
        ) from None
    return path


def save(path: Path, document: Mapping[str, Any]) -> Path:
    """Write it there. Raises OSError."""
    return files.write_json(path, known.hide_in(document))


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
        why = read_error(found)
    except (OSError, ValueError, RecursionError) as error:
        why = str(error)
    if why is not None:
        raise ConfigError(f"--against {path}", why, "a file of --save, or last-release")
    return found  # type: ignore[no-any-return]


def read_error(document: Any) -> str | None:
    """Why this is no run of health checks; None: it is one, and can be compared with."""
    checks = document.get("checks") if isinstance(document, dict) else None
    if not isinstance(checks, list) or not isinstance(document.get("at"), str):
        return "it holds no run of health checks"
    if not isinstance(document.get("environment"), str):
        return "environment: expected a name"
    return next(
        (
            f"checks[{place}].{why}"
            for place, each in enumerate(checks)
            if (why := is_malformed(each))
        ),
        None,
    )


def is_malformed(check: Any) -> str:
    """What of a check is not as it is written, empty where all is."""
    if not isinstance(check, dict):
        return "group: expected an object with a group, a name and a status"
    for name in ("group", "name", "status", "value", "service"):
        if not isinstance(check.get(name, "" if name in ("value", "service") else None), str):
            return f"{name}: expected text"
    if check["status"] not in STATUSES:
        return f"status: {check['status']!r}, expected one of {', '.join(STATUSES)}"
    numbers, patterns = check.get("numbers", {}), check.get("patterns", [])
    if not isinstance(numbers, dict) or not all(
        isinstance(value, int | float) for value in numbers.values()
    ):
        return "numbers: expected numbers by their names"
    whole = isinstance(patterns, list) and all(isinstance(each, str) for each in patterns)
    return "" if whole else "patterns: expected a list of texts"
