"""`inv db.revision`: write a new file after the newest revision.

It needs no database; --autogenerate replays the revisions on a scratch PostgreSQL, with the
settings of the environment's sessions if they can be read.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from ops.core import ui
from ops.core.errors import ConfigError
from ops.migrations.authoring import autogenerate as migrations_autogenerate
from ops.migrations.authoring import revision_file
from ops.migrations.authoring.autogenerate import Draft
from ops.migrations.target import read_session_settings
from ops.postgres import facts

if TYPE_CHECKING:
    from ops.core.config.settings import Settings


@dataclass(frozen=True)
class NewRevision:
    """The files that were written; the result of `db.revision`."""

    files: tuple[Path, ...]

    exit_code: ClassVar[int] = 0

    @property
    def document(self) -> dict[str, Any]:
        """The document that `db.revision --json` prints."""
        return {"files": [str(file) for file in self.files]}

    @property
    def text(self) -> str:
        return (
            "\n".join(f"wrote {file}" for file in self.files)
            or "nothing to write: the revisions have everything that the metadata has"
        )


def write_revision(
    settings: Settings,
    message: str,
    from_sql: str | None = None,
    autogenerate: bool = False,
    merge: bool = False,
) -> NewRevision:
    """Write the revision's files; none if --autogenerate finds no difference.

    Raises ConfigError, and Refused (a legacy file that can't be wrapped).
    """
    root = settings.root
    folder = facts.require_scripts(root, settings.environment.migrations)
    options = {"--autogenerate": autogenerate, "--from-sql": from_sql, "--merge": merge}
    given = [name for name, value in options.items() if value]
    if len(given) > 1:
        raise ConfigError(
            f"db.revision {' '.join(given)}",
            "a revision is written from one of them",
            "leave one of them out",
        )
    revision_file.require_message(message)
    draft = _draft(settings, folder) if autogenerate else None
    if autogenerate and draft is None:
        return NewRevision(())
    legacy = Path(from_sql) if from_sql else None
    files = revision_file.write_files(folder, message, legacy, draft, merge=merge)
    ui.progress("then: inv db.verify" if merge else _advice(draft, from_sql))
    return NewRevision(
        tuple(file.relative_to(root) if file.is_relative_to(root) else file for file in files)
    )


def _draft(settings: Settings, folder: Path) -> Draft | None:
    """Raises ConfigError (no metadata configured, or not readable), OpsError (no PostgreSQL)."""
    configured = settings.environment.database
    if configured is None or not configured.metadata:
        key = f"environments.{settings.name}.database.metadata"
        raise ConfigError(
            "db.revision --autogenerate needs a metadata",
            f"{key} is missing",
            f"set {key}: app.models:metadata",
        )
    metadata = migrations_autogenerate.load_metadata(
        configured.metadata, [settings.root, settings.source]
    )
    live = read_session_settings(settings)
    return migrations_autogenerate.draft_revision(folder, metadata, live)


def _advice(draft: Draft | None, from_sql: str | None) -> str:
    """The next steps after writing the files."""
    if draft:
        split = (
            ""
            if draft.phase
            else "it adds and drops at once: split it (expand, a later one contract); "
        )
        return f"{split}read it, describe it in both docstrings, then: inv db.lint, inv db.verify"
    return (
        "write its downgrade, then: inv db.verify"
        if from_sql
        else "write its upgrade() and downgrade()"
    )
