"""Make and read saved plans (runbook 2, step 5).

Each plan sets the image variable of every service, so that it does not change the image of
another service.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from ops.core import ui
from ops.core.errors import ConfigError
from ops.terraform import files, image_variables, plan_files, program
from ops.terraform.errors import WantsInit
from ops.terraform.facts import SavedPlan
from ops.terraform.render import plan_lines, print_drift, print_plan
from ops.terraform.rules import plan_diff, plan_review
from ops.terraform.rules.allowed import addresses_to_allow
from ops.terraform.rules.plan_diff import ResourceChange
from ops.terraform.rules.plan_json import PlanDocument
from ops.terraform.rules.policies import uncommitted_in
from ops.terraform.workspace import (
    TerraformWorkspace,
    ensure_initialised,
    initialise,
    retry_transient,
    with_lock_wait,
)
from ops.tools import git


@dataclass(frozen=True)
class TerraformPlan:
    """A saved plan and its contents, which may hold secrets and are never printed as they are."""

    saved: SavedPlan
    contents: PlanDocument
    environment: str
    deploys_revisions: bool = False  # deploys change the services' revisions outside of Terraform
    dynamic: frozenset[str] | None = None  # names of `dynamic` blocks; None if they are not known
    ignored: Mapping[str, frozenset[str]] = field(default_factory=dict)  # files.ignored_attributes

    exit_code: ClassVar[int] = 0

    @classmethod
    def of(
        cls,
        workspace: TerraformWorkspace,
        saved: SavedPlan,
        contents: PlanDocument,
    ) -> TerraformPlan:
        """A saved plan of this workspace's environment."""
        settings = workspace.platform.settings
        by_ecs = settings.environment.rollout == "ecs"
        directory = workspace.tf.directory
        dynamic, ignored = files.dynamic_blocks(directory), files.ignored_attributes(directory)
        return cls(saved, contents, settings.name, by_ecs, dynamic, ignored)

    @cached_property
    def changes(self) -> tuple[ResourceChange, ...]:
        return plan_diff.changes(self.contents)

    @cached_property
    def drift(self) -> tuple[ResourceChange, ...]:
        return plan_diff.drift(
            self.contents,
            deploys_revisions=self.deploys_revisions,
            dynamic=self.dynamic,
            ignored=self.ignored,
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What it does besides resource changes."""
        return plan_review.notes(self.contents)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What makes its effect uncertain."""
        return plan_review.warnings(self.contents, targeted=bool(self.saved.targets))

    @property
    def refusal(self) -> str:
        """Why it must not be applied at all; empty if it may be."""
        return plan_review.plan_refusal(self.contents)

    @property
    def summary(self) -> str:
        return plan_diff.summary(self.changes, self.notes)

    def lines(self) -> list[str]:
        """The plan as text."""
        found = plan_lines(self.changes, self.drift, self.notes, self.warnings)
        return [line for line, _ in found]

    def print(self) -> None:
        """Print it on stderr."""
        print_plan(self.changes, self.drift, self.notes, self.warnings)

    @property
    def document(self) -> dict[str, Any]:
        """The document of `tf.plan --json`."""
        return {
            "environment": self.environment,
            "summary": self.summary,
            "changes": [change.as_document() for change in self.changes],
            "drift": [change.as_document() for change in self.drift],
            "notes": list(self.notes),
            "warnings": list(self.warnings),
            "images": dict(self.saved.images),
            "plan": self.saved.as_document(),
        }

    @property
    def text(self) -> str:
        """Where it is saved, and how to apply it."""
        alarming = [each for each in self.changes if each.alarming and not each.unknown]
        words = ["inv tf.apply", *([allow_options(alarming)] if alarming else [])]
        lines = [f"saved: {self.saved.file}", f"apply it: {' '.join(words)}"]
        if self.saved.targets:
            limits = ", ".join(self.saved.targets)
            lines.append(f"it is limited to {limits} and what that depends on: then inv tf.plan")
        return "\n".join(lines)


@dataclass(frozen=True)
class DriftReport:
    """The changes that were made outside of Terraform; exit code 1 if there are any."""

    environment: str
    changes: tuple[ResourceChange, ...]
    is_state_empty: bool = False

    @property
    def document(self) -> dict[str, Any]:
        """The document of `tf.drift --json`."""
        return {
            "environment": self.environment,
            "state_empty": self.is_state_empty,
            "drifted": bool(self.changes),
            "drift": [change.as_document() for change in self.changes],
        }

    @property
    def text(self) -> str:
        if self.changes:
            return f"{len(self.changes)} drifted"
        if self.is_state_empty:
            return "nothing to compare: the state has no resources (terraform.workspace, backend)"
        return "no drift"

    @property
    def exit_code(self) -> int:
        return 1 if self.changes else 0


def allow_options(changes: Sequence[ResourceChange]) -> str:
    """Return the options of `tf.apply` that allow these changes, quoted for a shell."""
    return " ".join(f"--allow-destroy {shlex.quote(each)}" for each in addresses_to_allow(changes))


def plan(
    workspace: TerraformWorkspace,
    images: Mapping[str, str],
    *,
    name: str = plan_files.DEFAULT_NAME,
    refresh_only: bool = False,
    wait_s: float = 0.0,
    targets: tuple[str, ...] = (),
) -> TerraformPlan:
    """Make, save and read a plan; nothing is changed."""
    ensure_initialised(workspace)
    checkout = workspace.checkout()
    state = retry_transient(lambda: program.state_version(workspace.tf))
    file = plan_files.plan_file(workspace.tf, name)

    def run(lock_wait_s: float) -> None:
        program.plan(
            workspace.tf,
            file,
            images,
            lock_wait_s=lock_wait_s,
            refresh_only=refresh_only,
            report=ui.progress,
            targets=targets,
        )

    def make() -> None:
        ui.progress(f"{workspace.tf.program} plan in {workspace.tf.directory}")
        with_lock_wait(run, wait_s)

    try:
        retry_transient(make)
    except WantsInit:  # a provider that a resource merely implies, or an emptied plugin folder
        initialise(workspace)
        retry_transient(make)
    contents = _read_or_discard(workspace, file)
    if not refresh_only:
        _check_or_discard(workspace, file, images, contents, targets)
    source = workspace.platform.settings.source
    saved = SavedPlan(
        file,
        checkout.commit.full,
        state,
        datetime.now(UTC).isoformat(timespec="seconds"),
        plan_files.current_user(),
        uncommitted_in(checkout.changes, git.below(source, workspace.tf.directory)),
        images,
        targets,
    )
    plan_files.save_metadata(saved)
    return TerraformPlan.of(workspace, saved, contents)


def _read_or_discard(workspace: TerraformWorkspace, file: Path) -> PlanDocument:
    """Read a saved plan; delete one that cannot be read, since it may hold secrets."""
    try:
        return read_plan(workspace, file)
    except BaseException:
        file.unlink(missing_ok=True)
        raise


def _check_or_discard(
    workspace: TerraformWorkspace,
    file: Path,
    images: Mapping[str, str],
    contents: PlanDocument,
    targets: tuple[str, ...],
) -> None:
    """Raise, and delete the plan, if a target matches nothing or an image would be a default."""
    try:
        _check_targets(workspace, contents, targets)
        image_variables.check_default_images(workspace.platform, images, contents)
    except BaseException:
        file.unlink(missing_ok=True)
        raise


def _check_targets(
    workspace: TerraformWorkspace, contents: PlanDocument, targets: tuple[str, ...]
) -> None:
    unmatched = plan_review.unmatched_targets(contents, targets)
    if unmatched:
        tf = workspace.tf
        raise ConfigError(
            f"--target {', '.join(unmatched)}",
            "neither the configuration nor the state has such a resource or module; Terraform "
            "would plan nothing for it",
            f"see their addresses: {tf.program} -chdir={shlex.quote(str(tf.directory))} state list",
        )


def read_plan(workspace: TerraformWorkspace, file: Path) -> PlanDocument:
    """Read the contents of a saved plan."""
    return retry_transient(lambda: program.show(workspace.tf, file))


def plan_as_running(
    workspace: TerraformWorkspace, *, wait_s: float = 0.0, targets: tuple[str, ...] = ()
) -> TerraformPlan:
    """Plan with the image that each service is running, and print the plan (`tf.plan`)."""
    image_variables.check_declared(workspace.platform, workspace.tf)
    images = image_variables.values(workspace.platform)
    planned = plan(workspace, images, wait_s=wait_s, targets=targets)
    planned.print()
    if planned.saved.uncommitted:
        files = ", ".join(planned.saved.uncommitted[:3])
        ui.progress(f"tf.apply will refuse this plan, since files are not committed: {files}")
    return planned


def drift(workspace: TerraformWorkspace, *, wait_s: float = 0.0) -> DriftReport:
    """Make and print a plan with `-refresh-only` (`tf.drift`); the state is not written."""
    image_variables.check_declared(workspace.platform, workspace.tf)
    planned = plan(
        workspace,
        image_variables.values(workspace.platform),
        name="drift",
        refresh_only=True,
        wait_s=wait_s,
    )
    plan_files.discard(planned.saved)
    print_drift(planned.drift)
    known = planned.contents.configuration is not None
    empty = known and not planned.contents.prior_addresses and not planned.contents.resource_drift
    return DriftReport(planned.environment, planned.drift, empty)
