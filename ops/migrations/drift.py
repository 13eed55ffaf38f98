"""Compare the live schema with a replay of its recorded revision on a scratch PostgreSQL.

A replay takes a second or two, and is cached by the revisions' content. A schema that can't be
compared is unknown, never "no drift". The scratch server has the database's major version if it is
installed here; otherwise another one replays, and a definition may be printed differently.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ops.core import ui
from ops.core.errors import OpsError
from ops.core.text import format_error
from ops.migrations.rules import schema_diff
from ops.migrations.status import RevisionStatus, revision_status
from ops.migrations.target import MigrationTarget
from ops.postgres import access
from ops.postgres import replay as postgres_replay


@dataclass(frozen=True)
class Drift:
    """The differences between live and recorded schema; None if unknown, for the reason `why`.

    `+` is extra in the database, `-` missing, `~` different.
    """

    differences: tuple[str, ...] | None
    why: str = ""

    @property
    def drifted(self) -> bool:
        return bool(self.differences)

    def as_document(self) -> dict[str, Any]:
        """The fields that `db.current --json` adds to the revision."""
        return {
            "drift": None if self.differences is None else list(self.differences),
            "drift_unknown": self.why or None,
        }

    def as_text(self) -> str:
        if self.differences is None:
            return f"drift unknown: {self.why}"
        return "\n".join(f"  {each}" for each in self.differences) or "no drift"


@dataclass(frozen=True)
class CurrentRevision:
    """The database's revision and the drift of its schema; the result of `db.current`.

    `read_only`: why nothing can be written there; empty if it can.
    """

    status: RevisionStatus
    drift: Drift
    read_only: str = ""

    @property
    def exit_code(self) -> int:
        return 1 if self.drift.drifted else 0

    @property
    def document(self) -> dict[str, Any]:
        """The document that `db.current --json` prints."""
        read_only = {"read_only": self.read_only or None}
        return self.status.as_document() | self.drift.as_document() | read_only

    @property
    def text(self) -> str:
        read_only = f"read-only: {self.read_only}" if self.read_only else ""
        return "\n".join(filter(None, [self.status.as_text(), read_only, self.drift.as_text()]))


def current(target: MigrationTarget) -> CurrentRevision:
    """Read the database's revision, and compare its schema with it. Raises Refused."""
    status = revision_status(target)
    read_only = access.read_only_reason(target.database)
    return CurrentRevision(status, read_drift(target, status.revision), read_only)


def read_drift(
    target: MigrationTarget, at: str | None, progress: Callable[[str], None] = ui.progress
) -> Drift:
    """Compare the database with its revision `at`; nothing is written to it."""
    try:
        return _compare(target, at, progress)
    except OpsError as problem:
        return Drift(None, format_error(problem))


def _compare(target: MigrationTarget, at: str | None, progress: Callable[[str], None]) -> Drift:
    database = target.database
    if not database.has_revisions:
        return Drift(None, "there are no revisions to compare with (database.migrations)")
    live = postgres_replay.read_live(database)
    if at is None:
        if any(piece.kind == "TABLE" for piece in live.schema.values()):
            return Drift(None, "it has tables, and no revision is recorded: inv db.adopt")
        return Drift(())
    revisions = access.pending(database, database.scripts, None, at)
    folder = Path(database.target.folder)
    try:
        replay = postgres_replay.replay(
            folder, target.settings.root, revisions, live.major, progress, live.settings
        )[-1]
    except OpsError as problem:
        return Drift(None, f"its revisions, replayed on a scratch server: {format_error(problem)}")
    found = schema_diff.describe(schema_diff.compare(replay.schema, live.schema))
    if found and replay.major != live.major:
        progress(
            f"  replayed on PostgreSQL {replay.major}, the database is {live.major}: a "
            f"definition may only be printed differently"
        )
    return Drift(found)
