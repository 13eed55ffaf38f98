"""Run a planned migration from this machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from ops.core import ui
from ops.migrations.plan import MigrationPlan
from ops.migrations.target import MigrationTarget
from ops.postgres import access
from ops.postgres.access import MigrationOutcome


@dataclass(frozen=True)
class RunOptions:
    """The options of one run; None for a limit means the configured one.

    `timeout_s` is for the whole run, `wait_s` for the migration lock. `accept_edit` names the
    revisions, joined by commas, that were edited after they were applied, and may differ.
    """

    timeout_s: float | None = None
    wait_s: float | None = None
    accept_edit: str | None = None


@dataclass(frozen=True)
class RunResult:
    """The outcome of a run, and where it ran: `local`, `tunnel`, `remote` or `task`."""

    outcome: MigrationOutcome
    mode: str

    exit_code: ClassVar[int] = 0

    @property
    def document(self) -> dict[str, Any]:
        """The document that `db.upgrade --json` and `db.downgrade --json` print."""
        outcome = self.outcome
        return {
            "from": outcome.before,
            "to": outcome.after,
            "applied": [applied.as_document() for applied in outcome.applied],
            "mode": self.mode,
            "run": outcome.run,
        }

    @property
    def text(self) -> str:
        applied = self.outcome.applied
        done = f"{len(applied)} done" if applied else "nothing to do"
        return f"at {self.outcome.after or 'no revision'}: {done}"


def run_from_here(
    target: MigrationTarget,
    plan: MigrationPlan,
    options: RunOptions,
    progress: Callable[[str], None] = ui.progress,
) -> RunResult:
    """Run the plan from this machine. Raises the engine's errors."""
    outcome = access.migrate(
        target.database,
        plan.direction,
        plan.to,
        shown=plan.at,
        say=progress,
        timeout_s=options.timeout_s,
        wait_s=options.wait_s,
        accepted=options.accept_edit,
        scripts=plan.scripts,
    )
    return RunResult(outcome, "local" if target.database.mode == "local" else "tunnel")
