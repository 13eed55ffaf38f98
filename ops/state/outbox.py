"""A folder of JSON documents that wait to be sent to a bucket, one file for each key.

Several processes of one checkout may use it at once: a file is complete or absent, and one that
disappeared was taken by another process.
"""

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
    """Write the document atomically.

    Raises OSError.
    """
    path = folder / f"{quote(key, safe='')}{_ENDING}"
    return files.write_json(path, known.hide_in(document))


def pending(folder: Path, prefix: str) -> Iterator[tuple[str, Path]]:
    """(key, file) of the pending documents whose key starts with `prefix`, oldest first."""
    for path in sorted(sorted(folder.glob(f"*{_ENDING}"), reverse=True), key=_put_at):
        key = unquote(path.name.removesuffix(_ENDING))
        if key.startswith(prefix):
            yield key, path


def age_s(path: Path) -> float:
    """Seconds since the file was written, by this machine's clock."""
    return max(0.0, time.time() - _put_at(path))


def _put_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:  # another process has taken it
        return time.time()


def load(path: Path) -> Mapping[str, Any] | None:
    """Read the document; None if another process took it.

    Raises ValueError for a file without a JSON object, OSError.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    if not isinstance(found, dict):
        raise ValueError("it is no JSON object")
    return found


def set_aside(path: Path) -> Path:
    """Rename an invalid file so that it is not sent."""
    bad = path.with_suffix(".bad")
    with suppress(OSError):
        path.replace(bad)
    return bad
