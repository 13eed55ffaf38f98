"""Drift: the live schema beside a replay of its recorded revision on a scratch PostgreSQL of the
server's major version.

A replay costs a second or two, and is kept by the revisions' content, so that only the first look
waits for it. What could not be compared is unknown, never "no drift". Where this machine has no
PostgreSQL of that major, another replays it; a view may then read otherwise, which is said."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ops.core import ui
from ops.core.errors import OpsError
from ops.core.text import format_error
from ops.migrations.plan import MigrationTarget
from ops.migrations.rules import schema_diff as rules
from ops.postgres import access
from ops.postgres import replay as postgres_replay


@dataclass(frozen=True)
class Drift:
    """`differences` None: unknown, and `why`. A `+` is too much in the database, a `-` missing, a
    `~` otherwise.
    """

    differences: tuple[str, ...] | None
    why: str = ""

    @property
    def drifted(self) -> bool:
        return bool(self.differences)

    def as_document(self) -> dict[str, Any]:
        """What `db.current --json` has beside the revision."""
        return {
            "drift": None if self.differences is None else list(self.differences),
            "drift_unknown": self.why or None,
        }

    def as_text(self) -> str:
        if self.differences is None:
            return f"drift unknown: {self.why}"
        return "\n".join(f"  {each}" for each in self.differences) or "no drift"


def drift(
    place: MigrationTarget, at: str | None, say: Callable[[str], None] = ui.progress
) -> Drift:
    """Compare now; nothing is written to the database. What can't be compared is unknown."""
    try:
        return compared(place, at, say)
    except OpsError as problem:
        return Drift(None, format_error(problem))


def compared(place: MigrationTarget, at: str | None, say: Callable[[str], None]) -> Drift:
    live = postgres_replay.read_live(place.door)
    if at is None:
        tables = any(piece.kind == "TABLE" for piece in live.schema.values())
        return (
            Drift(None, "it has tables, and no revision is recorded: inv db.adopt")
            if tables
            else Drift(())
        )
    every = access.pending(place.door, place.door.scripts, None, at)
    folder = Path(place.door.target.folder)
    replay = postgres_replay.replay(folder, place.settings.root, every, live.major, say)[-1]
    found = rules.named(rules.compare(replay.schema, live.schema))
    if found and replay.major != live.major:
        say(
            f"  replayed on PostgreSQL {replay.major}, the database is {live.major}: a "
            f"definition may only read otherwise"
        )
    return Drift(found)
