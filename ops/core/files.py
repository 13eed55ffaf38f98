"""Atomic file writes, and JSON files that may be torn or missing."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any


def write_atomic(path: Path, data: str | bytes, mode: int = 0o644) -> Path:
    """Write a whole file or nothing, through a temporary file beside it; make missing folders.

    The data is on the disk when this returns. Raises OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:64]}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data.encode() if isinstance(data, str) else data)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(mode)
        return temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_json(path: Path, document: Any, mode: int = 0o644) -> Path:
    """Write a JSON file atomically; values that JSON does not know are written as text.

    Raises OSError.
    """
    return write_atomic(path, json.dumps(document, ensure_ascii=False, default=str) + "\n", mode)


def read_json(path: Path) -> Any:
    """Read a JSON file; None if it is missing, unreadable or torn."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
