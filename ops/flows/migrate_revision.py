"""`inv db.revision`: a new file after the newest revision. It needs no database."""

from __future__ import annotations

from pathlib import Path

from ops import ui
from ops.adapters import database, postgres_revision
from ops.errors import ConfigError


def write(root: Path, message: str, from_sql: str | None) -> tuple[Path, ...]:
    """The files, relative to where the project is. Raises ConfigError and Refused (what can't be wrapped)."""
    folder = database.scripts(root)
    if folder is None:
        raise ConfigError(f"{root}", "there is no folder alembic/versions", "check out the project with its revisions")
    files = postgres_revision.write(folder, message, Path(from_sql) if from_sql else None)
    ui.say("fill in what is raised: upgrade() and downgrade()" if not from_sql else "its downgrade must be written: then inv db.verify")
    return tuple(file.relative_to(root) if file.is_relative_to(root) else file for file in files)
