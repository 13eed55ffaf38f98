"""Apply saved plans (runbook 2, step 6).

What is applied is a recent plan file that was made from this commit and this state. An apply is
never repeated.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, Protocol

from ops.core import apply as core_apply
from ops.core import ui
from ops.core.apply import Journal, StepHandlers
from ops.core.errors import Refused
from ops.core.plan import Plan, Step
from ops.core.result import Report
from ops.core.text import short_commit
from ops.state import lock
from ops.terraform import plan_files, program
from ops.terraform.errors import LockHeld
from ops.terraform.facts import SavedPlan
from ops.terraform.plan import TerraformPlan, allow_options, read_plan
from ops.terraform.rules.allowed import is_allowed, unmatched
from ops.terraform.rules.plan_diff import ResourceChange
from ops.terraform.rules.policies import how_to_replan, why_not_applicable
from ops.terraform.rules.scope import MAX_NAMED, unknown_action
from ops.terraform.workspace import (
    TerraformWorkspace,
    ensure_initialised,
    retry_transient,
    with_lock_wait,
)


class HealthAround(Protocol):
    """The health of the platform before and after an apply."""

    def as_document(self) -> Any: ...

    def lines(self) -> Iterator[str]: ...


HealthAroundApply = Callable[[], AbstractContextManager[HealthAround]]


@dataclass(frozen=True)
class ApplySavedPlan(Step):
    """Apply a plan file, once."""

    verb: ClassVar[str] = "apply"
    file: Path
    commit: str
    summary: str
    program: str = "terraform"

    def __str__(self) -> str:
        return (
            f"{self.program} apply {self.file.name}, planned from commit "
            f"{short_commit(self.commit)}: {self.summary}"
        )


@dataclass(frozen=True)
class ApplyPreview:
    """The saved plan and the step that applies it, as `tf.apply --plan` prints them."""

    planned: TerraformPlan
    plan: Plan

    exit_code: ClassVar[int] = 0

    @property
    def document(self) -> dict[str, Any]:
        """The plan's steps, and the fields of `tf.plan --json`, the file's in `saved`."""
        found = dict(self.planned.document)
        return {**found, "saved": found["plan"], **self.plan.document}

    @property
    def text(self) -> str:
        return "\n".join([*self.planned.lines(), self.plan.text])


@dataclass(frozen=True)
class SavedPlanChange:
    """The planned change of `tf.apply`.

    `allowed` are addresses that it may destroy or replace; `health` compares the platform's health
    before and after.
    """

    workspace: TerraformWorkspace
    planned: TerraformPlan
    allowed: Collection[str]
    wait_s: float
    health: HealthAroundApply

    @classmethod
    def load(
        cls,
        workspace: TerraformWorkspace,
        health: HealthAroundApply,
        *,
        allowed: Collection[str] = (),
        wait_s: float = 0.0,
    ) -> SavedPlanChange:
        """Read the saved plan. Raises Refused if there is none, or it must be made again."""
        ensure_initialised(workspace)
        saved = plan_files.load(workspace.tf)
        _check_applicable(workspace, saved)
        contents = read_plan(workspace, saved.file)
        planned = TerraformPlan.of(workspace, saved, contents)
        return cls(workspace, planned, allowed, wait_s, health)

    @property
    def plan(self) -> Plan:
        saved = self.planned.saved
        return Plan(
            (
                ApplySavedPlan(
                    saved.file, saved.commit, self.planned.summary, self.workspace.tf.program
                ),
            )
        )

    def preview(self) -> ApplyPreview:
        """Raises Refused for a plan that is not understood, as `confirm` does."""
        check_understood(self.planned, self.workspace.tf.program)
        return ApplyPreview(self.planned, self.plan)

    def confirm(self, *, yes: bool) -> None:
        """Print the plan, and confirm it; `yes` does not confirm a destroy or replacement."""
        self.planned.print()
        check_understood(self.planned, self.workspace.tf.program)
        settings = self.workspace.platform.settings
        if settings.environment.protected:
            ui.confirm(f"apply this to {settings.name}", yes=yes, typed=settings.name)
        confirm_destructive(self.planned.changes, self.allowed)

    def apply(self) -> Report:
        """Apply the plan under the lock of every service, so that no deploy runs beside it.

        With the locks held, commit and state are checked again.
        """
        handlers = StepHandlers()
        handlers.add(ApplySavedPlan, self._apply)
        with self.health() as health:
            core_apply.apply(self.plan, handlers, Journal(ui.progress))
        document = {**self.planned.document, "applied": True, "health": health.as_document()}
        return Report(document, "\n".join(["applied", *health.lines()]))

    def _apply(self, step: ApplySavedPlan) -> None:
        platform = self.workspace.platform
        holder = lock.myself(f"{step.program} apply", short_commit(step.commit))
        with lock.hold_each(platform.cloud, platform.settings, holder, wait_s=self.wait_s):
            _check_applicable(self.workspace, self.planned.saved)
            apply(self.workspace, self.planned, wait_s=self.wait_s)


def _check_applicable(workspace: TerraformWorkspace, saved: SavedPlan) -> None:
    """Raise Refused if the plan is too old, or of another commit or state."""
    state = retry_transient(lambda: program.state_version(workspace.tf))
    commit = workspace.checkout().commit.full
    why = why_not_applicable(saved, commit, state, datetime.now(UTC), workspace.config.plan_limit)
    if why:
        raise Refused("the saved plan is not applied", why, how_to_replan(saved))


def check_understood(planned: TerraformPlan, program: str) -> None:
    """Raise Refused for a plan whose format, or one of whose actions, is unknown here."""
    unknown = next((unknown_action(change) for change in planned.changes if change.unknown), "")
    why = planned.refusal or unknown
    if why:
        how = (
            f"read it: {program} show {planned.saved.file}; apply it by {program} itself, or "
            f"with a newer version of this tool"
        )
        raise Refused("the plan is not applied", why, how)


def confirm_destructive(changes: Sequence[ResourceChange], allowed: Collection[str]) -> None:
    """Confirm each destroy or replacement by its address.

    The address, or its module's, is in `allowed`, or typed on a terminal. A new revision of a task
    definition needs none. Raises Refused, with the options to add, if there is no terminal.
    """
    alarming = [change for change in changes if change.alarming]
    left = [change for change in alarming if not is_allowed(change, allowed)]
    _check_allowed(alarming, left, allowed)
    if left and not ui.on_terminal():
        more = f" and {len(left) - MAX_NAMED} more" if len(left) > MAX_NAMED else ""
        what = ", ".join(f"{change.verb} {change.address}" for change in left[:MAX_NAMED])
        why = (
            "there is no terminal to type the address on, and --yes does not confirm a destroy "
            "or a replacement"
        )
        raise Refused(f"Terraform {what}{more}", why, f"add {allow_options(left)}")
    for change in left:
        ui.confirm(
            f"{change.verb} {change.address}",
            yes=False,
            typed=change.address,
            option=allow_options([change]),
        )


def _check_allowed(
    alarming: Sequence[ResourceChange], left: Sequence[ResourceChange], allowed: Collection[str]
) -> None:
    """Raise Refused if an allowed address is in no alarming change while others are left."""
    wrong = unmatched(allowed, alarming)
    if not wrong or not left:
        return
    verb = "is no address" if len(wrong) == 1 else "are no addresses"
    exact = ", ".join(change.address for change in alarming[:MAX_NAMED])
    raise Refused(
        f"--allow-destroy {' '.join(map(shlex.quote, wrong))}",
        f"{', '.join(wrong)} {verb} that this plan destroys or replaces (exact addresses: {exact})",
        f"add {allow_options(left)}",
    )


def apply(workspace: TerraformWorkspace, planned: TerraformPlan, *, wait_s: float = 0.0) -> None:
    """Apply a saved plan once, and delete its file, also after a failure.

    If the state is locked, nothing is done and the plan is left.
    """
    file = planned.saved.file
    ui.progress(f"{workspace.tf.program} apply of {file.name}")

    def run(lock_wait_s: float) -> None:
        program.apply(workspace.tf, file, lock_wait_s=lock_wait_s, report=ui.progress)

    try:
        with_lock_wait(run, wait_s)
    except LockHeld:
        raise
    except BaseException:
        plan_files.discard(planned.saved)
        raise
    plan_files.discard(planned.saved)
