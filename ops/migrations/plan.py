"""Plan an upgrade or a downgrade, and ask for confirmation before rows are lost.

Nothing is locked meanwhile: the engine receives the revision that the plan starts from, and refuses
to run if the database has another one by then.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

from ops.core import ui
from ops.core.plan import Plan, Step
from ops.migrations.losses import PlannedRevision, counted_losses, losses_by_code
from ops.migrations.rules.data_loss import Loss
from ops.migrations.snapshot import TakeSnapshot, snapshot_before_data_loss
from ops.migrations.target import BASE, MigrationTarget
from ops.postgres import access, readiness
from ops.postgres.access import Direction, Revision


@dataclass(frozen=True)
class ApplyRevision(Step):
    """Upgrade the database by one revision."""

    verb: ClassVar[str] = "upgrade"
    revision: Revision

    def __str__(self) -> str:
        return f"Upgrade {self.revision}"

    @property
    def undo(self) -> str | None:
        return f"inv db.downgrade takes {self.revision.id} back"


@dataclass(frozen=True)
class RevertRevision(Step):
    """Downgrade the database by one revision."""

    verb: ClassVar[str] = "downgrade"
    revision: Revision

    def __str__(self) -> str:
        return f"Downgrade {self.revision}"


_REVISION_STEPS: dict[Direction, type[ApplyRevision | RevertRevision]] = {
    "upgrade": ApplyRevision,
    "downgrade": RevertRevision,
}


@dataclass(frozen=True)
class MigrationPlan:
    """The revisions between two states of a database, with their SQL and the rows they delete.

    The engine runs all revisions in one run, from `at` to `to`; `snapshot` is taken before that.
    `called` are the functions that each revision calls, `scripts` the revisions as they were when
    this was planned.
    """

    direction: Direction
    at: str | None
    to: str
    revisions: tuple[PlannedRevision, ...]
    losses: tuple[Loss, ...] = ()
    called: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    snapshot: TakeSnapshot | None = None
    verbatim: ClassVar[bool] = True  # SQL, to be copied
    scripts: Any = field(default=None, repr=False, compare=False)

    exit_code: ClassVar[int] = 0

    @property
    def loses_rows(self) -> bool:
        return any(loss.loses_rows for loss in self.losses)

    @property
    def steps(self) -> tuple[Step, ...]:
        """The snapshot, if any, and a step per revision."""
        kind = _REVISION_STEPS[self.direction]
        first = (self.snapshot,) if self.snapshot else ()
        return (*first, *(kind(each.revision) for each in self.revisions))

    @property
    def document(self) -> dict[str, Any]:
        """The document that `db.sql --json` prints: `plan` as in every task, and the SQL."""
        return {
            **Plan(self.steps).document,
            "from": self.at,
            "to": None if self.to == BASE else self.to,
            "losses": [loss.as_document() for loss in self.losses],
            "sql": [
                {"revision": each.revision.id, "sql": each.sql, "problem": each.problem}
                for each in self.revisions
            ],
        }

    @property
    def text(self) -> str:
        """The SQL, as `db.sql` prints it."""
        missing = "\n-- the rest is only known by running it: "
        parts = [
            f"-- {self.direction} {each.revision}\n{each.sql.strip()}"
            + (missing + each.problem if each.problem else "")
            for each in self.revisions
        ]
        return "\n\n".join(parts) or "-- nothing to do"

    def steps_as_text(self) -> str:
        """One line per step; empty if there is nothing to do."""
        return Plan(self.steps).text if self.steps else ""

    def losses_as_text(self) -> str:
        return "\n".join(f"  {loss.as_text()}" for loss in self.losses)


def plan_migration(target: MigrationTarget, direction: Direction, to: str | None) -> MigrationPlan:
    """Plan an upgrade or a downgrade; nothing is changed.

    Raises ConfigError (unknown revision) and Refused.
    """
    database = target.database
    scripts, at = database.scripts, access.current(database)
    with access.translate_errors(database.target):
        scripts.check_database(at)
        goal = scripts.known(to) if to else scripts.default_goal(direction, access.split_heads(at))
        steps = scripts.between(direction, goal, at)
    if steps:
        readiness.refuse_impossible(database, steps)
    revisions = tuple(
        PlannedRevision(*each) for each in access.sql(database, scripts, direction, goal, at)
    )
    by_code, called = losses_by_code(database, revisions)
    losses = (*counted_losses(database, revisions), *by_code)
    plan = MigrationPlan(direction, at, goal, revisions, losses, called, scripts=scripts)
    if plan.loses_rows:
        first = snapshot_before_data_loss(target.settings, f"before {goal}")
        return replace(plan, snapshot=first)
    return plan


def confirm(target: MigrationTarget, plan: MigrationPlan, *, yes: bool) -> None:
    """Print the losses; ask for the environment's name if it is protected or rows are lost.

    Raises Refused.
    """
    settings = target.settings
    for line in plan.losses_as_text().splitlines():
        ui.progress(line)
    question = f"{plan.direction} {target.where} from {plan.at or BASE} to {plan.to}"
    if settings.environment.protected:
        question += _not_verified(target, plan)
    if plan.loses_rows:
        question += ": rows are lost"
    if plan.at is None and plan.direction == "upgrade" and readiness.has_tables(target.database):
        ui.progress(
            "  the database has tables, and no revision is recorded: if another tool made them, "
            "inv db.adopt"
        )
    if plan.loses_rows or settings.environment.protected:
        ui.confirm(question, yes=yes, typed=settings.name)


def _not_verified(target: MigrationTarget, plan: MigrationPlan) -> str:
    """Print and return why the upgrade's revisions are not verified; empty if they are."""
    from ops.migrations import verify_records
    from ops.postgres import dump

    if plan.direction == "downgrade":
        return ""
    server = dump.server_major_version(target.database)
    folder = Path(target.database.target.folder)
    why = verify_records.why_not_verified(target.settings, folder, server)
    if why:
        ui.progress(f"  not verified: {why} (inv db.verify)")
    return f", not verified: {why}" if why else ""
