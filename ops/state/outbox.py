"""JSON documents that wait in a folder until a bucket takes them, one file each, named by the key
that they are for.

Several processes of one checkout may use it at once: a file is there whole or not at all, and one
that is gone was taken by another."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from ops.core import files
from ops.core.redaction.redact import known

_ENDING = ".json"


def put(folder: Path, key: str, document: Mapping[str, Any]) -> Path:
    """Write it to the disk, whole or not at all. Raises OSError."""
    path = folder / f"{quote(key, safe='')}{_ENDING}"
    return files.write_json(path, known.hide_in(document))


def pending(folder: Path, prefix: str) -> Iterator[tuple[str, Path]]:
    """(key, file) of what waits below `prefix`, in the order in which it was put there."""
    for path in sorted(sorted(folder.glob(f"*{_ENDING}"), reverse=True), key=_put_at):
        key = unquote(path.name.removesuffix(_ENDING))
        if key.startswith(prefix):
            yield key, path


def age_s(path: Path) -> float:
    """How long a file has waited, by this machine's clock at both ends."""
    return max(0.0, time.time() - _put_at(path))


def _put_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:  # another process has taken it
        return time.time()


def load(path: Path) -> Mapping[str, Any] | None:
    """The document; None where another process has taken it. Raises ValueError for a file that
    holds none, OSError.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    if not isinstance(found, dict):
        raise ValueError("it is no JSON object")
    return found


def set_aside(path: Path) -> Path:
    """Out of the way, but kept for whoever wants to look."""
    bad = path.with_suffix(".bad")
    with suppress(OSError):
        path.replace(bad)
    return bad
