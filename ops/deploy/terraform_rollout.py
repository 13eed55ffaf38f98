"""The rollout step of `rollout: terraform`: check, plan, show, apply, verify the change.

If Terraform ignores the task definition (`ignore_changes`), an apply registers a new revision,
deregisters the old one and does not change the service: this is detected, reported, and completed
by one UpdateService to the revision that Terraform made. The undo is `terraform_rollback`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ops.aws import ecs
from ops.aws.facts import ServiceState, TaskDefinition, TaskDefinitionArn
from ops.core import ui
from ops.core.errors import OpsError, Refused
from ops.core.findings import Evidence, Finding
from ops.deploy import terraform_inputs
from ops.deploy.context import DeployContext
from ops.deploy.ecs_rollout import update_service
from ops.deploy.rules.steps import (
    ApplyTerraformRollout,
    CheckTerraform,
    ContinueTerraformRollout,
    PlanTerraformRollout,
)
from ops.terraform import apply as terraform_apply
from ops.terraform import image_variables, plan_files
from ops.terraform import plan as terraform_plan
from ops.terraform.errors import LockHeld
from ops.terraform.plan import TerraformPlan
from ops.terraform.rules.plan_diff import TASK_DEFINITION, addresses, planned_image
from ops.terraform.rules.scope import MAX_NAMED, DeployScope, never_allowed, out_of_scope
from ops.terraform.workspace import TerraformWorkspace, ensure_initialised

_ROLLBACK_PLAN_S = 180.0  # limit for the plan of a rollback by Terraform
IGNORED = "task_definition_ignored"
_LOCK_WAIT_S = 30.0  # for a state lock: a killed run's Terraform may still be ending its apply


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
        return (
            _LOCK_WAIT_S
            if self.rolling_back
            else max(_LOCK_WAIT_S, self.context.request.lock_wait_s)
        )

    @property
    def workspace(self) -> TerraformWorkspace:
        if self._workspace is None:
            found = TerraformWorkspace.of(self.context.platform)
            self._workspace = replace(
                found,
                tf=found.tf.limit_timeout(
                    None if self.rolling_back else self.context.request.timeout_s
                ),
            )
        return self._workspace

    def start_rollback(self) -> None:
        """Mark the start of the undo, to which a short `--timeout` does not apply."""
        self.rolling_back, self._workspace = True, None

    def check(self, step: CheckTerraform) -> None:
        """Check Terraform before anything is built.

        It is installed and initialised, declares the image's variable, and its inputs are
        confirmed.
        """
        image_variables.check_declared(self.context.platform, self.workspace.tf)
        image_variables.values(self.context.platform, target=self.context.name, image=step.image)
        terraform_inputs.confirm(self.context, self.workspace.tf)
        ensure_initialised(self.workspace)

    def make_plan(self, step: PlanTerraformRollout) -> None:
        """Plan the new image, show the plan, and confirm changes beyond this deploy."""
        terraform_inputs.refuse_moved(self.context, self.workspace.tf)
        self.planned = planned = self.plan(step.image)
        try:
            self.check_image_variable(planned, step.image)
            self.confirm(planned, step.image)
        except BaseException:
            plan_files.discard(planned.saved)
            raise

    def apply_plan(self, step: ApplyTerraformRollout) -> None:
        """Apply the saved plan, and find the service's deployment."""
        context = self.context
        assert self.planned is not None  # made in the step before
        context.deployment = (
            self.apply_and_update(self.planned, step.image) or self.current_deployment()
        )
        context.revision = self.revision_with(step.image)
        ui.progress(f"  deployment {context.deployment}")

    def attach(self, step: ContinueTerraformRollout) -> None:
        self.context.deployment = step.deployment

    def current_deployment(self) -> str:
        """The current deployment, for a service that was on this revision already."""
        primary = self.state().primary
        if primary is None:
            how = f"inv {self.context.name}.status"
            raise OpsError(
                "the service has no PRIMARY deployment", "ECS shows none after the apply", how
            )
        return primary.id

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
            name=f"{self.context.kind}-{self.context.name}",
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
            raise Refused(f"the plan takes away what this {self.context.kind} is about", why, how)
        if found not in (None, image):
            why = (
                f"with {variable}={planned.saved.images[variable]} the task definition "
                f"{self.family} gets {found}, not {image}"
            )
            raise Refused(f"variable {variable} does not lead to the image", why, how)

    def confirm(self, planned: TerraformPlan, image: str) -> None:
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
        terraform_apply.check_understood(planned, self.workspace.tf.program)
        own = str(self.context.service.image_variable)
        running = tuple(each for name, each in planned.saved.images.items() if name != own)
        target = replace(self.target(image), running=running)
        beyond = out_of_scope(planned.changes, target)
        for change, why in beyond:
            ui.progress(f"beyond this {self.context.kind}: {change.address}: {why}")
        if why := never_allowed(planned.changes, target):
            changed, kind = self.context.changed_inputs, self.context.kind
            because = (
                f"{', '.join(changed)} since the last release: correct it, then {kind}; "
                if changed
                else ""
            )
            how = because + (
                "see the whole plan: inv tf.plan; if it is intended: inv tf.apply --allow-destroy "
                f"ADDRESS, then {kind}"
            )
            raise Refused(f"a {kind} does not apply this plan", why, how)
        terraform_apply.confirm_destructive(
            tuple(change for change, _ in beyond), self.context.request.allow_destroy
        )
        for question in planned.warnings:
            ui.confirm(question, yes=self.context.request.yes)
        calm = [f"{change.verb} {change.address}" for change, _ in beyond if not change.alarming]
        if calm:
            more = f" and {len(calm) - MAX_NAMED} more" if len(calm) > MAX_NAMED else ""
            ui.confirm(
                f"beyond this {self.context.kind}, Terraform also "
                f"{', '.join(calm[:MAX_NAMED])}{more}",
                yes=self.context.request.yes,
            )

    @property
    def family(self) -> str:
        assert isinstance(
            self.context.facts.revision, TaskDefinition
        )  # the plan was refused otherwise
        return self.context.facts.revision.family

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
                f"service {name} no longer exists",
                "it was deleted, by Terraform or by hand",
                "inv tf.plan",
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
        stayed = TaskDefinitionArn(service.task_definition).label
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
        if all(finding.cause != IGNORED for finding in self.context.findings):
            self.context.findings.append(Finding(IGNORED, summary, "certain", (evidence,), (fix,)))
