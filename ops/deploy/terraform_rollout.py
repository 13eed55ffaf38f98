"""The rollout step of `rollout: terraform`: check, plan, show, apply, verify the change.

Two traps shape it. If Terraform ignores the task definition (`ignore_changes`), an apply registers
a new revision, deregisters the old one and does not change the service: this is detected, reported,
and completed by one UpdateService to the revision that Terraform made.

And a revision that Terraform replaced is INACTIVE, so the service cannot be set back to it: the
undo is a second saved plan with the previous image, or, if that plan would change anything else,
UpdateService to a new revision with the old one's content.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ops.aws import ecs
from ops.aws.facts import ServiceState, TaskDefinition
from ops.core import ui
from ops.core.apply import StepHandlers
from ops.core.errors import OpsError, Refused
from ops.core.findings import Evidence, Finding, Verdict
from ops.core.plan import PlainStep
from ops.core.text import format_error
from ops.deploy import terraform_inputs
from ops.deploy.context import DeployContext, Rollback
from ops.deploy.ecs_rollout import (
    refuse_if_superseded,
    rollback_deployment,
    update_service,
    usable_revision,
    watch_rollback,
)
from ops.terraform import apply as terraform_apply
from ops.terraform import image_variables, plan_files
from ops.terraform import plan as terraform_plan
from ops.terraform.errors import LockHeld
from ops.terraform.plan import TerraformPlan
from ops.terraform.rules.plan_diff import SERVICE, TASK_DEFINITION, addresses, planned_image
from ops.terraform.rules.scope import DeployScope, never_allowed, out_of_scope
from ops.terraform.workspace import TerraformWorkspace, ensure_initialised

_ROLLBACK_PLAN_S = 180.0  # limit for the plan of a rollback by Terraform
_IGNORED = "task_definition_ignored"
_LOCK_WAIT_S = 30.0  # for a state lock: a killed run's Terraform may still be ending its apply


def add_handlers(handlers: StepHandlers, context: DeployContext) -> None:
    """Handle Terraform's three steps; they share one rollout."""
    rollout = TerraformRollout(context)
    apply = TerraformApply(rollout)
    handlers.add_verb("tf-check", rollout.check)
    handlers.add_verb("tf-plan", rollout.make_plan)
    handlers.add_verb("tf-apply", apply.do, apply.undo)


@dataclass
class TerraformRollout:
    """One rollout by Terraform in progress."""

    context: DeployContext
    planned: TerraformPlan | None = None
    _workspace: TerraformWorkspace | None = field(default=None, repr=False)
    rolling_back: bool = False

    @property
    def lock_wait_s(self) -> float:
        """How long Terraform waits for its state lock: `--lock-wait`, or a minimum if longer.

        The minimum lets a killed run end its apply. A rollback waits no longer than the
        minimum, since there is a way without Terraform.
        """
        return _LOCK_WAIT_S if self.rolling_back else max(_LOCK_WAIT_S, self.context.wait_s)

    @property
    def workspace(self) -> TerraformWorkspace:
        if self._workspace is None:
            found = TerraformWorkspace.of(self.context.platform)
            self._workspace = replace(
                found,
                tf=found.tf.limit_timeout(
                    None if self.rolling_back else self.context.requested_timeout_s
                ),
            )
        return self._workspace

    def start_rollback(self) -> None:
        """Mark the start of the undo, to which a short `--timeout` does not apply."""
        self.rolling_back, self._workspace = True, None

    def check(self, step: PlainStep) -> None:
        """Check Terraform before anything is built.

        It is installed and initialised, declares the image's variable, and its inputs are
        confirmed.
        """
        image_variables.check_declared(self.context.platform, self.workspace.tf)
        image_variables.values(
            self.context.platform, target=self.context.name, image=self.context.image
        )
        terraform_inputs.confirm(self.context, self.workspace.tf)
        ensure_initialised(self.workspace)

    def make_plan(self, step: PlainStep) -> None:
        """Plan the new image, show the plan, and confirm changes beyond this deploy."""
        terraform_inputs.refuse_moved(self.context, self.workspace.tf)
        self.planned = planned = self.plan(self.context.image)
        try:
            self.check_image_variable(planned, self.context.image)
            self.confirm(planned)
        except BaseException:
            plan_files.discard(planned.saved)
            raise

    def plan(self, image: str, targets: tuple[str, ...] = ()) -> TerraformPlan:
        """Save and show a plan that gives the service `image`.

        Other services keep the images that they run.
        """
        images = image_variables.values(
            self.context.platform, target=self.context.name, image=image
        )
        workspace = self.workspace
        if self.rolling_back:
            workspace = replace(workspace, tf=workspace.tf.limit_timeout(_ROLLBACK_PLAN_S))
        planned = terraform_plan.plan(
            workspace,
            images,
            name=f"deploy-{self.context.name}",
            wait_s=self.lock_wait_s,
            targets=targets,
        )
        planned.print()
        return planned

    def check_image_variable(self, planned: TerraformPlan, image: str) -> None:
        """Raise Refused if the variable does not set the image.

        Terraform has no such task definition, or gives it another image.
        """
        variable, directory = (
            str(self.context.service.image_variable),
            self.workspace.tf.directory,
        )
        how = (
            "correct image_variable and image_variable_kind (tag or uri), or see how the "
            "directory uses the variable"
        )
        if not addresses(planned.contents, TASK_DEFINITION, self.family):
            raise Refused(
                f"variable {variable} does not lead to the image",
                f"{directory} has no task definition {self.family}",
                how,
            )
        found = planned_image(planned.contents, self.family, self.context.service.container)
        if found == "":
            why = (
                f"it leaves no task definition {self.family} with a container "
                f"{self.context.service.container}"
            )
            how = (
                "inv tf.plan shows why: a variable file that switches it off, or a changed "
                "configuration"
            )
            raise Refused("the plan takes away what this deploy is about", why, how)
        if found not in (None, image):
            why = (
                f"with {variable}={planned.saved.images[variable]} the task definition "
                f"{self.family} gets {found}, not {image}"
            )
            raise Refused(f"variable {variable} does not lead to the image", why, how)

    def confirm(self, planned: TerraformPlan) -> None:
        """Raise Refused for uncommitted files, or for unconfirmed changes beyond this deploy.

        Some changes are refused whatever the answer: see `never_allowed`.
        """
        if planned.saved.uncommitted:
            files = ", ".join(planned.saved.uncommitted[:3])
            raise Refused(
                "Terraform's files are not committed",
                f"changed: {files}",
                "commit them, or take them back",
            )
        terraform_apply.check_understood(planned)
        target = self.target(self.context.image)
        beyond = out_of_scope(planned.changes, target)
        for change, why in beyond:
            ui.progress(f"beyond this deploy: {change.address}: {why}")
        if why := never_allowed(planned.changes, target):
            changed = self.context.changed_inputs
            because = (
                f"{', '.join(changed)} since the last release: correct it, then deploy; "
                if changed
                else ""
            )
            how = because + (
                "see all of it: inv tf.plan; where it is wanted: inv tf.apply --allow-destroy "
                "ADDRESS, then deploy"
            )
            raise Refused("a deploy does not apply this plan", why, how)
        terraform_apply.confirm_destructive(
            tuple(change for change, _ in beyond), self.context.allow_destroy
        )
        for question in planned.warnings:
            ui.confirm(question, yes=self.yes)
        calm = [f"{change.verb} {change.address}" for change, _ in beyond if not change.alarming]
        if calm:
            ui.confirm(f"beyond this deploy, Terraform also {', '.join(calm)}", yes=self.yes)

    @property
    def yes(self) -> bool:
        return not self.context.interactive

    @property
    def family(self) -> str:
        assert isinstance(
            self.context.facts.revision, TaskDefinition
        )  # the plan was refused otherwise
        return self.context.facts.revision.label.rsplit(":", 1)[0]

    def target(self, image: str) -> DeployScope:
        return DeployScope(
            self.context.service.ecs_service, self.family, self.context.service.container, image
        )

    def apply_and_update(self, planned: TerraformPlan, image: str) -> str | None:
        """Apply, and make sure that the service runs the revision with `image`.

        Returns the deployment's id, None if the service was not changed.
        """
        before = self.state()
        if planned.changes:
            self.apply(planned)
        else:
            ui.progress("  Terraform has nothing to change")
            plan_files.discard(planned.saved)
        made = self.revision_with(image)
        after = self.state()
        if after.task_definition != made.arn:
            self.report_ignored(after, made)
            return update_service(self.context, made.arn)
        moved = after.primary is not None and (
            before.primary is None or after.primary.id != before.primary.id
        )
        return after.primary.id if moved and after.primary else None

    def apply(self, planned: TerraformPlan) -> None:
        """Apply the plan; discard it if the state is locked.

        Nobody would apply it later, and it may hold secrets.
        """
        try:
            terraform_apply.apply(self.workspace, planned, wait_s=self.lock_wait_s)
        except LockHeld:
            plan_files.discard(planned.saved)
            raise

    def state(self) -> ServiceState:
        cluster, name = (
            self.context.platform.settings.environment.cluster,
            self.context.service.ecs_service,
        )
        found = ecs.service(self.context.platform.cloud, cluster, name)
        if found is None:
            raise OpsError(
                f"service {name} is gone", "Terraform, or somebody, has deleted it", "inv tf.plan"
            )
        return found

    def revision_with(self, image: str) -> TaskDefinition:
        """The family's newest ACTIVE revision, which must have `image`.

        Terraform made it now or earlier.
        """
        found = ecs.task_definition(self.context.platform.cloud, self.family)
        container = found.container(self.context.service.container) if found else None
        if found is None or container is None or container.get("image") != image:
            carries = container.get("image") if container else "nothing"
            why = (
                f"its newest revision {found.label if found else ''} carries {carries}, not {image}"
            )
            how = (
                f"see where {self.workspace.tf.directory} uses "
                f"{self.context.service.image_variable}, then inv tf.plan"
            )
            raise OpsError(f"Terraform made no revision of {self.family} with the image", why, how)
        return found

    def report_ignored(self, service: ServiceState, made: TaskDefinition) -> None:
        """Report that Terraform ignores the task definition, so the apply changed no service."""
        stayed = service.task_definition.rsplit("/", 1)[-1]
        summary = (
            f"Terraform made {made.label} and left {service.name} on {stayed}: it ignores the "
            f"task definition (ignore_changes)"
        )
        name = self.context.platform.settings.name
        fix = (
            f"environments.{name}.rollout: ecs in invoke.yaml (or take task_definition out of "
            f"ignore_changes)"
        )
        ui.progress(f"  {summary}; finished by one UpdateService")
        ui.progress(f"  configure {fix}")
        evidence = Evidence(
            "DescribeServices taskDefinition after the apply", service.task_definition
        )
        if all(finding.cause != _IGNORED for finding in self.context.findings):
            self.context.findings.append(Finding(_IGNORED, summary, "certain", (evidence,), (fix,)))


@dataclass(frozen=True)
class TerraformApply:
    """Apply the saved plan.

    Its undo restores the last healthy revision, watched to its verdict.
    """

    rollout: TerraformRollout

    def do(self, step: PlainStep) -> None:
        context = self.rollout.context
        if "deployment" in step.values:
            context.deployment = step.values["deployment"]
            return
        assert self.rollout.planned is not None  # made in the step before
        context.deployment = (
            self.rollout.apply_and_update(self.rollout.planned, context.image)
            or self.current_deployment()
        )
        context.revision = self.rollout.revision_with(context.image)
        ui.progress(f"  deployment {context.deployment}")

    def current_deployment(self) -> str:
        """The current deployment, for a service that was on this revision already."""
        primary = self.rollout.state().primary
        if primary is None:
            how = f"inv {self.rollout.context.name}.status"
            raise OpsError(
                "the service has no PRIMARY deployment", "ECS shows none after the apply", how
            )
        return primary.id

    def undo(self, step: PlainStep) -> None:
        context, back = self.rollout.context, step.values["back"]
        if context.watch_result and context.watch_result.verdict is Verdict.SUPERSEDED:
            return
        image = self.image_of(back)
        context.confirm_undo(image)
        refuse_if_superseded(context, back)
        self.rollout.start_rollback()
        planned = self.plan_rollback(image)
        done, deployment = self.rollback_by_terraform(planned, image) if planned else (False, None)
        if not done:
            deployment = self.rollback_by_ecs(back)
        if deployment is None:
            ui.progress("  nothing to take back: the service had not been changed")
            return
        context.rollback = Rollback(image if done else back.rsplit("/", 1)[-1], deployment)
        watch_rollback(context, deployment)

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

    def rollback_by_terraform(self, planned: TerraformPlan, image: str) -> tuple[bool, str | None]:
        """Apply the second plan; return whether that worked, and its deployment.

        The deployment is None if the service was not changed.
        """
        try:
            return True, self.rollout.apply_and_update(planned, image)
        except OpsError as error:
            ui.progress(f"  no rollback by Terraform: {format_error(error)}")
            return False, None

    def plan_rollback(self, image: str) -> TerraformPlan | None:
        """A second plan for this service alone with the previous image, or None.

        The rollback must not depend on Terraform, so an error is only printed. A plan with
        other changes is not applied: `-target` includes dependencies, with any change that
        is pending for them.
        """
        context = self.rollout.context
        ignored = any(finding.cause == _IGNORED for finding in context.findings)
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

    def rollback_by_ecs(self, back: str) -> str | None:
        """UpdateService to the last healthy revision, registered again if it is INACTIVE.

        None if the service was never changed.
        """
        context, label = self.rollout.context, back.rsplit("/", 1)[-1]
        to = usable_revision(context, back)
        deployment = rollback_deployment(context, to)
        if deployment:
            ui.progress(
                f"  rolling back by UpdateService to {to.rsplit('/', 1)[-1]}, with the "
                f"content of {label}"
            )
            self.report_difference(to)
        return deployment

    def report_difference(self, to: str) -> None:
        """Report that Terraform did not make the running revision.

        Its next apply adopts it.
        """
        label = to.rsplit("/", 1)[-1]
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
