"""Which revisions these are, by what is written in their files: a name for what was verified, and
for what a replay of them gives.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from ops.core.errors import ConfigError


def of_folder(folder: Path) -> str:
    """Over every revision of a folder and its env.py: sixteen hexadecimal digits."""
    return of_files(folder, [path for path in (folder / "versions").glob("*.py") if path.is_file()])


def of_files(folder: Path, files: Iterable[Path]) -> str:
    """Over these revisions, the SQL files beside them, and env.py. Raises ConfigError for one that
    can't be read.
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
