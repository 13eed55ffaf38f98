"""The undo of a rollout by Terraform: a second plan, or UpdateService.

A revision that Terraform replaced is INACTIVE, so the service cannot be set back to it: the undo is
a second saved plan with the previous image, or, if that plan would change anything else,
UpdateService to a new revision with the old one's content.
"""

from __future__ import annotations

from dataclasses import dataclass

from ops.aws import ecs
from ops.aws.facts import TaskDefinitionArn
from ops.core import ui
from ops.core.apply import StepHandlers
from ops.core.errors import OpsError
from ops.core.findings import Evidence, Finding, Unknown, Verdict
from ops.core.parallel import try_call
from ops.core.text import format_error
from ops.deploy.context import DeployContext, Rollback
from ops.deploy.ecs_rollout import (
    refuse_if_superseded,
    rollback_deployment,
    usable_revision,
    watch_rollback,
)
from ops.deploy.rules.steps import (
    ApplyTerraformRollout,
    CheckTerraform,
    ContinueTerraformRollout,
    PlanTerraformRollout,
    Rollout,
)
from ops.deploy.terraform_rollout import IGNORED, TerraformRollout
from ops.terraform import plan_files
from ops.terraform.plan import TerraformPlan
from ops.terraform.rules.plan_diff import SERVICE, TASK_DEFINITION, addresses
from ops.terraform.rules.scope import out_of_scope


def add_handlers(handlers: StepHandlers, context: DeployContext) -> None:
    """Handle Terraform's steps; they share one rollout."""
    rollout = TerraformRollout(context)
    rollback = TerraformRollback(rollout)
    handlers.add(CheckTerraform, rollout.check)
    handlers.add(PlanTerraformRollout, rollout.make_plan)
    handlers.add(ApplyTerraformRollout, rollout.apply_plan, rollback.undo)
    handlers.add(ContinueTerraformRollout, rollout.attach, rollback.undo)


@dataclass(frozen=True)
class TerraformRollback:
    """Restore the last healthy revision, watched to its verdict."""

    rollout: TerraformRollout

    def undo(self, step: Rollout) -> None:
        assert step.rollback_to is not None  # the step has no undo otherwise
        context, back = self.rollout.context, step.rollback_to.arn
        if context.watch_result and context.watch_result.verdict is Verdict.SUPERSEDED:
            return
        image = self.image_of(back)
        context.confirm_undo(image)
        refuse_if_superseded(context, back, step.image)
        self.rollout.start_rollback()
        planned = self.plan_rollback(image)
        done, sent = self.rollback_by_terraform(planned, image) if planned else (False, None)
        if not done:
            sent = self.rollback_by_ecs(back)
        if sent is None:
            ui.progress("  nothing to roll back: the service was not changed")
            return
        context.rollback = sent
        watch_rollback(context, sent.deployment)

    def image_of(self, back: str) -> str:
        """The image of the last healthy revision.

        An INACTIVE revision can still be described.
        """
        context = self.rollout.context
        revision = ecs.task_definition(context.platform.cloud, back)
        container = revision.container(context.service.container) if revision else None
        if container is None:
            how = f"inv {context.name}.deploy --tag TAG"
            raise OpsError(
                f"the image of {back} could not be read", "ECS has no such revision any more", how
            )
        return str(container["image"])

    def rollback_by_terraform(
        self, planned: TerraformPlan, image: str
    ) -> tuple[bool, Rollback | None]:
        """Apply the second plan; return whether that worked, and the rollback.

        The rollback is None if the service was not changed.
        """
        try:
            deployment = self.rollout.apply_and_update(planned, image)
            return True, Rollback(self.running_label(image), deployment) if deployment else None
        except OpsError as error:
            ui.progress(f"  no rollback by Terraform: {format_error(error)}")
            return False, None

    def running_label(self, image: str) -> str:
        """The revision that the service is set to by now; `image` if it cannot be read."""
        state = try_call(self.rollout.state)
        return (
            image if isinstance(state, Unknown) else TaskDefinitionArn(state.task_definition).label
        )

    def plan_rollback(self, image: str) -> TerraformPlan | None:
        """A second plan for this service alone with the previous image, or None.

        The rollback must not depend on Terraform, so an error is only printed. A plan with
        other changes is not applied: `-target` includes dependencies, with any change that
        is pending for them.
        """
        context = self.rollout.context
        ignored = any(finding.cause == IGNORED for finding in context.findings)
        if self.rollout.planned is None or ignored:  # None: the rollout of an earlier run
            return None
        try:
            return self.plan_this_service(self.rollout.planned, image)
        except OpsError as error:
            ui.progress(f"  no plan by Terraform: {format_error(error)}")
            return None

    def plan_this_service(self, planned: TerraformPlan, image: str) -> TerraformPlan | None:
        """The plan of task definition and service; None if it also changes other resources."""
        target = self.rollout.target(image)
        kinds = ((TASK_DEFINITION, target.family), (SERVICE, target.service))
        only = tuple(each for kind in kinds for each in addresses(planned.contents, *kind))
        ui.progress(f"rolling back to {image} by a second plan of {', '.join(only)}")
        back = self.rollout.plan(image, only)
        beyond = [change.address for change, _ in out_of_scope(back.changes, target)]
        if not beyond and not back.warnings:
            return back
        plan_files.discard(back.saved)
        ui.progress(f"  not applied, since it also changes {', '.join(beyond) or back.warnings[0]}")
        return None

    def rollback_by_ecs(self, back: str) -> Rollback | None:
        """UpdateService to the last healthy revision, registered again if it is INACTIVE.

        None if the service was never changed.
        """
        context, label = self.rollout.context, TaskDefinitionArn(back).label
        to = usable_revision(context, back)
        deployment = rollback_deployment(context, to)
        if deployment is None:
            return None
        sent = Rollback(TaskDefinitionArn(to).label, deployment)
        ui.progress(f"  rolling back by UpdateService to {sent.to}, with the content of {label}")
        self.report_difference(to)
        return sent

    def report_difference(self, to: str) -> None:
        """Report that Terraform did not make the running revision.

        Its next apply adopts it.
        """
        label = TaskDefinitionArn(to).label
        summary = (
            f"the service runs {label}, which Terraform did not make: its state differs until "
            f"the next apply"
        )
        ui.progress(f"  {summary}")
        evidence = Evidence("rolled back by UpdateService", to)
        fix = ("inv tf.plan", "inv tf.apply")
        self.rollout.context.findings.append(
            Finding("terraform_state_differs", summary, "certain", (evidence,), fix)
        )
