"""Identify revisions by the content of their files, for records of `db.verify` and replays."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from ops.core.errors import ConfigError


def of_folder(folder: Path) -> str:
    """Sixteen hexadecimal digits over every revision of a folder and its env.py."""
    return of_files(folder, [path for path in (folder / "versions").glob("*.py") if path.is_file()])


def of_files(folder: Path, files: Iterable[Path]) -> str:
    """The same over these revisions, their SQL files, and env.py.

    Raises ConfigError for an unreadable file.
    """
    found = hashlib.sha256()
    files = tuple(files)
    stems = tuple(file.stem for file in files)
    beside = [
        sql
        for place in {file.parent for file in files}
        for sql in place.glob("*.sql")
        if sql.name.startswith(stems)
    ]
    for path in [folder / "env.py", *sorted({*files, *beside}, key=lambda path: path.name)]:
        try:
            body = path.read_bytes()
        except OSError as error:
            raise ConfigError(
                str(path), error.strerror or str(error), "check out the project with its revisions"
            ) from None
        found.update(f"{path.name}\0{len(body)}\0".encode() + body)
    return found.hexdigest()[:16]
