"""`inv db.revision`: a new file after the newest revision. It needs no database; --autogenerate
replays the revisions on a scratch one.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ops.core import ui
from ops.core.errors import ConfigError
from ops.migrations.authoring import autogenerate as migrations_autogenerate
from ops.migrations.authoring import revision_file
from ops.migrations.authoring.autogenerate import Draft
from ops.postgres import facts

if TYPE_CHECKING:
    from ops.core.config.settings import Settings


def write(
    settings: Settings, message: str, from_sql: str | None = None, autogenerate: bool = False
) -> tuple[Path, ...]:
    """The files, relative to where the project is; none where --autogenerate finds nothing to do.

    Raises ConfigError and Refused (what can't be wrapped).
    """
    root = settings.root
    folder = facts.require_scripts(root)
    if autogenerate and from_sql:
        raise ConfigError(
            "db.revision --autogenerate --from-sql",
            "a revision is written from one of them",
            "leave one of them out",
        )
    revision_file.statement_text(message)
    draft = drafted(settings, folder) if autogenerate else None
    if autogenerate and draft is None:
        return ()
    files = revision_file.write(folder, message, Path(from_sql) if from_sql else None, draft)
    ui.progress(advice(draft, from_sql))
    return tuple(file.relative_to(root) if file.is_relative_to(root) else file for file in files)


def drafted(settings: Settings, folder: Path) -> Draft | None:
    """Raises ConfigError (no metadata, or none to be read) and OpsError (no PostgreSQL to replay
    on).
    """
    configured = settings.environment.database
    if configured is None or not configured.metadata:
        key = f"environments.{settings.name}.database.metadata"
        raise ConfigError(
            "db.revision --autogenerate needs a metadata",
            f"{key} is missing",
            f"set {key}: app.models:metadata",
        )
    return migrations_autogenerate.draft(
        folder,
        migrations_autogenerate.metadata(configured.metadata, [settings.root, settings.source]),
    )


def advice(draft: Draft | None, from_sql: str | None) -> str:
    if draft:
        split = (
            ""
            if draft.phase
            else "it adds and takes away at once: split it (expand, a later one contract); "
        )
        return (
            f"{split}read it, say in both docstrings what it does: then inv db.lint, inv db.verify"
        )
    return (
        "its downgrade must be written: then inv db.verify"
        if from_sql
        else "fill in what is raised: upgrade() and downgrade()"
    )
