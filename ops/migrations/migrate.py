"""`inv db.upgrade` and `inv db.downgrade`: review a plan, confirm it, and run it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from ops.core import ui
from ops.core.invocation import invocation
from ops.migrations import lint
from ops.migrations.lint import Review
from ops.migrations.plan import MigrationPlan, confirm, plan_migration
from ops.migrations.remote.run import run
from ops.migrations.run import RunOptions, RunResult
from ops.migrations.snapshot import RdsWait, take_snapshot
from ops.migrations.target import MigrationTarget
from ops.postgres.access import Direction


class HealthComparison(Protocol):
    """The sweeps before and after a migration."""

    def as_document(self) -> Any: ...

    def lines(self) -> Iterator[str]: ...


# compares the platform's health around a change, given its title and whether to do so
HealthObserver = Callable[[str, bool], AbstractContextManager[HealthComparison]]


@dataclass(frozen=True)
class MigrationPreview:
    """What `--plan` reports: the steps, their review, the losses, and the SQL."""

    plan: MigrationPlan
    review: Review

    exit_code: ClassVar[int] = 0
    verbatim: ClassVar[bool] = True  # SQL, to be copied

    @property
    def document(self) -> dict[str, Any]:
        """The document that `--plan --json` prints."""
        return {**self.plan.document, **self.review.as_document()}

    @property
    def text(self) -> str:
        parts = [self.plan.steps_as_text(), self.review.as_text(), self.plan.losses_as_text()]
        summary = invocation.as_typed("\n".join(filter(None, parts)))  # the SQL is left as it is
        return f"{summary}\n\n{self.plan.text}".strip("\n")


@dataclass(frozen=True)
class MigrationResult:
    """A migration that ran, and the platform's health before and after it."""

    run: RunResult
    health: HealthComparison

    exit_code: ClassVar[int] = 0

    @property
    def document(self) -> dict[str, Any]:
        """The document that `db.upgrade --json` and `db.downgrade --json` print."""
        return {**self.run.document, "health": self.health.as_document()}

    @property
    def text(self) -> str:
        return "\n".join([self.run.text, *self.health.lines()])


@dataclass(frozen=True)
class Migration:
    """The planned change of `db.upgrade` and `db.downgrade`."""

    target: MigrationTarget
    plan: MigrationPlan
    review: Review
    options: RunOptions
    wait: RdsWait
    observe_health: HealthObserver

    @classmethod
    def planned(
        cls,
        target: MigrationTarget,
        direction: Direction,
        to: str | None,
        options: RunOptions,
        wait: RdsWait,
        observe_health: HealthObserver,
    ) -> Migration:
        """Plan the migration to `to`, and review it. Raises ConfigError and Refused."""
        plan = plan_migration(target, direction, to)
        return cls(target, plan, lint.review(target, plan), options, wait, observe_health)

    def preview(self) -> MigrationPreview:
        return MigrationPreview(self.plan, self.review)

    def confirm(self, *, yes: bool) -> None:
        """Print the steps and their review, and ask if rows are lost or the target is protected.

        Raises Refused, also for a protected environment's upgrade with blocking findings.
        """
        if not self.plan.revisions:
            return
        ui.progress(self.plan.steps_as_text())
        ui.progress(self.review.as_text())
        lint.refuse_blocking(self.target, self.review.lint)
        confirm(self.target, self.plan, yes=yes)

    def apply(self) -> MigrationResult:
        """Take the snapshot, if one is planned, and run the revisions.

        A failed revision is rolled back by the engine; the revisions before it stay applied, so
        this plan has no undo.
        """
        if self.plan.snapshot:
            take_snapshot(self.target.settings, self.plan.snapshot, self.wait)
        title = f"db.{self.plan.direction} to {self.plan.to}"
        # a developer's own database has no platform around it
        enabled = bool(self.plan.revisions) and self.target.database.mode != "local"
        with self.observe_health(title, enabled) as health:
            result = run(self.target, self.plan, self.options)
        return MigrationResult(result, health)
