"""`inv db.adopt`: record the revision of a database that another tool made, if its schema matches.

Otherwise nothing is changed: the nearest revision is named with all differences, and the DDL that
removes them is printed, for a person to read and run. Of revisions with the same schema (one only
changes rows) the oldest is chosen, so that none is skipped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from ops.core import ui
from ops.core.apply import Journal, StepHandlers, apply
from ops.core.errors import Refused
from ops.core.plan import Plan, Step
from ops.migrations.rules import schema_diff
from ops.migrations.rules.reconcile_ddl import reconcile_ddl
from ops.migrations.target import MigrationTarget
from ops.postgres import access
from ops.postgres import replay as postgres_replay
from ops.postgres.access import Revision

if TYPE_CHECKING:
    from ops.migrator.revisions.scripts import Scripts


@dataclass(frozen=True)
class AdoptRevision(Step):
    """Record a revision for a database whose schema still has this digest."""

    verb: ClassVar[str] = "adopt"
    revision: str
    digest: str
    where: str

    def __str__(self) -> str:
        return f"Record revision {self.revision} for {self.where}"


@dataclass(frozen=True)
class Comparison:
    """The database's schema, compared with each revision's; the result of `db.adopt`.

    `revision` is the nearest, or the requested one; `counts` the numbers of differences by
    revision; `run` the id of the run that recorded it.
    """

    revision: str
    differences: tuple[schema_diff.SchemaDifference, ...]
    counts: tuple[tuple[str, int], ...]
    digest: str
    run: str | None = None

    @property
    def same(self) -> bool:
        return not self.differences

    @property
    def exit_code(self) -> int:
        return 0 if self.same else 3

    @property
    def equals(self) -> tuple[str, ...]:
        """The other revisions with the same schema."""
        return tuple(each for each, count in self.counts if count == 0 and each != self.revision)

    @property
    def sql(self) -> str:
        """The DDL that removes the differences; empty if there are none."""
        return reconcile_ddl(self.differences)

    @property
    def document(self) -> dict[str, Any]:
        """The document that `db.adopt --json` prints."""
        return {
            "revision": self.revision,
            "adopted": self.run is not None,
            "run": self.run,
            "differences": list(schema_diff.describe(self.differences)),
            "revisions": [{"revision": each, "differences": count} for each, count in self.counts],
            "sql": self.sql,
        }

    @property
    def text(self) -> str:
        return self.sql or f"{'recorded' if self.run else 'would record'} {self.revision}"

    def lines(self) -> list[str]:
        """The result in words, to be printed above the SQL."""
        if self.same:
            more = (
                f"; {' and '.join(self.equals)} has the same schema (--to, if its rows are there)"
                if self.equals
                else ""
            )
            return [f"the schema is that of {self.revision}{more}"]
        return [
            f"nearest is {self.revision}; + extra in the database, - missing, ~ different:",
            *(f"  {each}" for each in schema_diff.describe(self.differences)),
            "nothing was changed; this SQL removes the differences:",
        ]


@dataclass(frozen=True)
class AdoptionPreview:
    """What `db.adopt --plan` reports: the step, if the schema matches, and the comparison."""

    plan: Plan
    comparison: Comparison

    @property
    def exit_code(self) -> int:
        return self.comparison.exit_code

    @property
    def document(self) -> dict[str, Any]:
        """The document that `db.adopt --plan --json` prints."""
        return {**self.plan.document, **self.comparison.document}

    @property
    def text(self) -> str:
        return self.comparison.sql or self.plan.text

    @property
    def verbatim(self) -> bool:
        return bool(self.comparison.sql)


@dataclass(frozen=True)
class Adoption:
    """The planned change of `db.adopt`; no step if the schema differs."""

    target: MigrationTarget
    comparison: Comparison
    wait_s: float | None = None

    @classmethod
    def planned(
        cls,
        target: MigrationTarget,
        to: str | None,
        wait_s: float | None = None,
        progress: Callable[[str], None] = ui.progress,
    ) -> Adoption:
        """Compare the schema with each revision's, and print the result.

        Raises Refused (a revision is recorded, or there are no tables), OpsError (no PostgreSQL
        for the replay).
        """
        comparison = compare(target, to, progress)
        for line in comparison.lines():
            progress(line)
        return cls(target, comparison, wait_s)

    @property
    def plan(self) -> Plan:
        found = self.comparison
        if not found.same:
            return Plan(())
        return Plan((AdoptRevision(found.revision, found.digest, self.target.where),))

    def preview(self) -> AdoptionPreview:
        return AdoptionPreview(self.plan, self.comparison)

    def confirm(self, *, yes: bool) -> None:
        """Ask for the environment's name if it is protected. Raises Refused."""
        settings = self.target.settings
        if self.comparison.same and settings.environment.protected:
            question = f"record {self.comparison.revision} for {self.target.where}"
            ui.confirm(question, yes=yes, typed=settings.name)

    def apply(self) -> Comparison:
        """Record the revision. Raises Refused (schema changed since, or another run)."""
        runs: list[str | None] = []

        def adopt(step: AdoptRevision) -> None:
            route, wanted = self.target.route, (step.revision, step.digest)
            if route is not None:
                outcome = route.adopt(*wanted, self.wait_s, ui.progress)
            else:
                outcome = postgres_replay.adopt(
                    self.target.database, *wanted, say=ui.progress, wait_s=self.wait_s
                )
            runs.append(outcome.run)

        handlers = StepHandlers()
        handlers.add(AdoptRevision, adopt)
        apply(self.plan, handlers, Journal(ui.progress))
        return replace(self.comparison, run=runs[0]) if runs else self.comparison


def compare(
    target: MigrationTarget, to: str | None, progress: Callable[[str], None] = ui.progress
) -> Comparison:
    """Compare the database with each revision; choose `to`, or the nearest.

    Raises Refused and OpsError.
    """
    database = target.database
    scripts, at = database.scripts, access.current(database)
    if at:
        raise Refused(
            f"adoption of {target.where}", f"it is at {at} already", "see: inv db.current"
        )
    live = postgres_replay.read_live(database)
    if not any(piece.kind == "TABLE" for piece in live.schema.values()):
        raise Refused(
            f"adoption of {target.where}", "it has no tables", "create them: inv db.upgrade"
        )
    revisions = access.pending(database, scripts, None)
    if not revisions:
        raise Refused(
            f"adoption of {target.where}",
            f"there are no revisions in {database.target.folder} to compare it with",
            "write the first one: inv db.revision --message TEXT --from-sql FILE",
        )
    replays = postgres_replay.replay(
        Path(database.target.folder),
        target.settings.root,
        revisions,
        live.major,
        progress,
        live.settings,
    )
    compared = {
        revision.id: schema_diff.compare(replay.schema, live.schema)
        for revision, replay, whole in zip(
            revisions, replays, _includes_all_before(scripts, revisions), strict=True
        )
        if whole
    }
    with access.translate_errors(database.target):
        chosen = scripts.known(to) if to else min(compared, key=lambda each: len(compared[each]))
    if chosen not in compared:
        raise Refused(
            f"adoption at {chosen}",
            "it is not a revision to record",
            "name one of: " + ", ".join(compared),
        )
    counts = tuple((each, len(found)) for each, found in compared.items())
    return Comparison(chosen, compared[chosen], counts, live.digest)


def _includes_all_before(scripts: Scripts, revisions: Sequence[Revision]) -> Iterator[bool]:
    """Whether a database at each of these has all before it; false on one of several branches."""
    for position, revision in enumerate(revisions, 1):
        yield len(scripts.applied((revision.id,))) == position
