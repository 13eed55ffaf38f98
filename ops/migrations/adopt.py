"""`inv db.adopt`: which revision a database that another tool made stands at, by its schema;
recorded only where both are the same.

Otherwise nothing is changed: the nearest revision is named with every difference, and the DDL that
would make them the same is printed, for somebody to read and run. Of revisions with the same schema
(one changes rows only) the oldest is taken, so that none is left out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ops.core import ui
from ops.core.errors import Refused
from ops.migrations.plan import MigrationTarget
from ops.migrations.rules import schema_diff as rules
from ops.migrations.rules.reconcile_ddl import reconciling
from ops.postgres import access
from ops.postgres import replay as postgres_replay


@dataclass(frozen=True)
class Adoption:
    """What the comparison found. `counts`: how many differences there are to each revision.
    `equals`: the revisions of the same schema.
    """

    revision: str
    differences: tuple[rules.SchemaDifference, ...]
    counts: tuple[tuple[str, int], ...]
    digest: str
    run: str | None = None

    @property
    def same(self) -> bool:
        return not self.differences

    @property
    def equals(self) -> tuple[str, ...]:
        return tuple(each for each, count in self.counts if count == 0 and each != self.revision)

    @property
    def sql(self) -> str:
        return reconciling(self.differences)

    def as_document(self) -> dict[str, Any]:
        """The shape that `db.adopt --json` prints."""
        counts = [{"revision": each, "differences": count} for each, count in self.counts]
        names = list(rules.named(self.differences))
        done = {"adopted": self.run is not None, "run": self.run}
        return {
            "revision": self.revision,
            **done,
            "differences": names,
            "revisions": counts,
            "sql": self.sql,
        }

    def lines(self) -> list[str]:
        """For a person, beside the SQL."""
        if self.same:
            more = (
                f"; {' and '.join(self.equals)} has the same schema (--to, if its rows are there)"
                if self.equals
                else ""
            )
            return [f"the schema is that of {self.revision}{more}"]
        names = [f"  {each}" for each in rules.named(self.differences)]
        end = "nothing was changed; this would make it the same:"
        return [
            f"nearest is {self.revision}; + too much here, - missing, ~ otherwise:",
            *names,
            end,
        ]


def plan_adoption(
    place: MigrationTarget, to: str | None, say: Callable[[str], None] = ui.progress
) -> Adoption:
    """Compare with each revision. Raises Refused (a revision is recorded; nothing is there),
    OpsError (no PostgreSQL for the replay).
    """
    door, where = place.door, place.door.target.where
    scripts, at = door.scripts, access.current(door)
    if at:
        raise Refused(f"adoption of {where}", f"it is at {at} already", "see: inv db.current")
    live = postgres_replay.read_live(door)
    if not any(piece.kind == "TABLE" for piece in live.schema.values()):
        raise Refused(
            f"adoption of {where}", "there is no table in it", "inv db.upgrade makes them"
        )
    every = access.pending(door, scripts, None)
    replays = postgres_replay.replay(
        Path(door.target.folder), place.settings.root, every, live.major, say
    )
    compared = {
        each.id: rules.compare(replay.schema, live.schema)
        for each, replay in zip(every, replays, strict=True)
    }
    with access.translate_errors(door.target):
        nearest = scripts.known(to) if to else min(compared, key=lambda each: len(compared[each]))
    if nearest not in compared:
        raise Refused(
            f"adoption at {nearest}",
            "nothing is to be recorded for it",
            "name one of: " + ", ".join(compared),
        )
    return Adoption(
        nearest,
        compared[nearest],
        tuple((each, len(found)) for each, found in compared.items()),
        live.digest,
    )


def adopt(
    place: MigrationTarget,
    found: Adoption,
    wait_s: float | None,
    *,
    yes: bool,
    say: Callable[[str], None] = ui.progress,
) -> Adoption:
    """Record it, after a protected environment's name was typed. Raises Refused (no; changed since;
    another run).
    """
    if place.settings.environment.protected:
        ui.confirm(
            f"record {found.revision} for {place.door.target.where}",
            yes=yes,
            typed=place.settings.name,
        )
    done = postgres_replay.adopt(place.door, found.revision, found.digest, say=say, wait_s=wait_s)
    return Adoption(found.revision, found.differences, found.counts, found.digest, done.run)
