"""The roll-out step of `rollout: terraform`: check, plan, show, apply, and prove that the service
really changed.

Two traps shape it. Where Terraform ignores the task definition (`ignore_changes`), an apply
registers a new revision, deregisters the old one and leaves the service where it was: that is
noticed, finished by one UpdateService to the revision that Terraform made, and said. And a revision
that Terraform replaced is INACTIVE, so nothing can go back to it: the undo is a second saved plan
with the image that ran before, or, where that plan would change anything else, UpdateService to a
new revision with the old one's content."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ops.aws import ecs
from ops.aws.facts import ServiceState, TaskDefinition
from ops.core import ui
from ops.core.apply import NoUndo, StepHandler
from ops.core.errors import OpsError, Refused
from ops.core.findings import Evidence, Finding, Verdict
from ops.core.plan import Step
from ops.deploy import terraform_inputs
from ops.deploy.context import DeployContext, Rollback
from ops.deploy.ecs_rollout import (
    refuse_if_superseded,
    rollback_deployment,
    update_service,
    usable_revision,
    watch_rollback,
)
from ops.terraform import image_variables, plan_files
from ops.terraform import plan as flow
from ops.terraform.errors import LockHeld
from ops.terraform.plan import TerraformPlan, TerraformWorkspace
from ops.terraform.rules.plan_diff import SERVICE, TASK_DEFINITION, addresses, planned_image
from ops.terraform.rules.scope import DeployScope, never, out_of_scope

_ROLLBACK_PLAN_S = 180.0  # a rollback by Terraform must have its plan by then
_IGNORED = "task_definition_ignored"
_LOCK_WAIT_S = 30.0  # for a state lock: a killed run's Terraform may still be ending its apply


def step_handlers(work: DeployContext) -> dict[str, StepHandler]:
    """Verb → what does it; the three share one roll-out."""
    rollout = TerraformRollout(work)
    return {
        "tf-check": NoUndo(rollout.check),
        "tf-plan": NoUndo(rollout.make_plan),
        "tf-apply": TerraformApply(rollout),
    }


@dataclass
class TerraformRollout:
    """One roll-out by Terraform under way."""

    work: DeployContext
    planned: TerraformPlan | None = None
    place_: TerraformWorkspace | None = field(default=None, repr=False)
    undoing: bool = False

    @property
    def patience_s(self) -> float:
        """How long Terraform waits for its state's lock: `--wait`, and never less than a killed run
        may still need.

        A rollback does not wait for longer: there is a way without Terraform.
        """
        return _LOCK_WAIT_S if self.undoing else max(_LOCK_WAIT_S, self.work.wait_s)

    @property
    def place(self) -> TerraformWorkspace:
        if self.place_ is None:
            found = TerraformWorkspace.of(self.work.platform)
            self.place_ = replace(
                found, tf=found.tf.within(None if self.undoing else self.work.within_s)
            )
        return self.place_

    def turn_back(self) -> None:
        """From here on it is the undo: a short `--timeout` is not its own."""
        self.undoing, self.place_ = True, None

    def check(self, step: Step) -> None:
        """Before anything is built: Terraform is here and initialised, declares the image's
        variable, and has the known inputs.
        """
        image_variables.refuse_undeclared(self.work.platform, self.place.tf)
        image_variables.values(self.work.platform, target=self.work.name, image=self.work.image)
        terraform_inputs.confirm(self.work, self.place.tf)
        flow.ensure_initialised(self.place)

    def make_plan(self, step: Step) -> None:
        """Plan the new image, show it, and stop at whatever is no part of this deploy unless it is
        confirmed.
        """
        terraform_inputs.refuse_moved(self.work, self.place.tf)
        self.planned = planned = self.plan(self.work.image)
        try:
            self.refuse_misled(planned, self.work.image)
            self.confirm(planned)
        except BaseException:
            plan_files.discard(planned.saved)
            raise

    def plan(self, image: str, targets: tuple[str, ...] = ()) -> TerraformPlan:
        """A saved plan that gives the service `image`, shown; the other services' images as they
        run.
        """
        images = image_variables.values(self.work.platform, target=self.work.name, image=image)
        place = self.place
        if self.undoing:
            place = replace(place, tf=place.tf.within(_ROLLBACK_PLAN_S))
        planned = flow.plan(
            place, images, name=f"deploy-{self.work.name}", wait_s=self.patience_s, targets=targets
        )
        planned.show()
        return planned

    def refuse_misled(self, planned: TerraformPlan, image: str) -> None:
        """Raises Refused where the variable would not lead to the image: Terraform has no such task
        definition, or gives it another.
        """
        variable, directory = str(self.work.service.image_variable), self.place.tf.directory
        how = (
            "correct image_variable and image_variable_kind (tag or uri), or see how the "
            "directory uses the variable"
        )
        if not addresses(planned.document, TASK_DEFINITION, self.family):
            raise Refused(
                f"variable {variable} does not lead to the image",
                f"{directory} has no task definition {self.family}",
                how,
            )
        found = planned_image(planned.document, self.family, self.work.service.container)
        if found == "":
            why = (
                f"it leaves no task definition {self.family} with a container "
                f"{self.work.service.container}"
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
        """Raises Refused where files are not committed, and where the plan holds more than this
        deploy and the answer is no.

        Some of what a plan can hold is refused whatever the answer: see `never`.
        """
        if planned.saved.uncommitted:
            files = ", ".join(planned.saved.uncommitted[:3])
            raise Refused(
                "Terraform's files are not committed",
                f"changed: {files}",
                "commit them, or take them back",
            )
        flow.refuse_not_understood(planned)
        target = self.target(self.work.image)
        beyond = out_of_scope(planned.changes, target)
        for change, why in beyond:
            ui.progress(f"beyond this deploy: {change.address}: {why}")
        if why := never(planned.changes, target):
            changed = self.work.changed_inputs
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
        flow.confirm_destructive(tuple(change for change, _ in beyond), self.work.allow_destroy)
        for question in planned.uncertain:
            ui.confirm(question, yes=self.yes)
        calm = [f"{change.word} {change.address}" for change, _ in beyond if not change.alarming]
        if calm:
            ui.confirm(f"beyond this deploy, Terraform also {', '.join(calm)}", yes=self.yes)

    @property
    def yes(self) -> bool:
        return not self.work.asks

    @property
    def family(self) -> str:
        assert isinstance(
            self.work.facts.revision, TaskDefinition
        )  # the plan was refused otherwise
        return self.work.facts.revision.label.rsplit(":", 1)[0]

    def target(self, image: str) -> DeployScope:
        return DeployScope(
            self.work.service.ecs_service, self.family, self.work.service.container, image
        )

    def carry_out(self, planned: TerraformPlan, image: str) -> str | None:
        """Apply, and see to it that the service runs the revision with `image`; the id of the
        deployment, None where nothing moved.
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
            self.say_ignored(after, made)
            return update_service(self.work, made.arn)
        moved = after.primary is not None and (
            before.primary is None or after.primary.id != before.primary.id
        )
        return after.primary.id if moved and after.primary else None

    def apply(self, planned: TerraformPlan) -> None:
        """A plan whose apply finds the state locked goes away with its deploy: nobody would apply
        it later, and it may hold secrets.
        """
        try:
            flow.apply(self.place, planned, wait_s=self.patience_s)
        except LockHeld:
            plan_files.discard(planned.saved)
            raise

    def state(self) -> ServiceState:
        cluster, name = (
            self.work.platform.settings.environment.cluster,
            self.work.service.ecs_service,
        )
        found = ecs.service(self.work.platform.cloud, cluster, name)
        if found is None:
            raise OpsError(
                f"service {name} is gone", "Terraform, or somebody, has deleted it", "inv tf.plan"
            )
        return found

    def revision_with(self, image: str) -> TaskDefinition:
        """The family's newest ACTIVE revision, which must carry `image`: that is what Terraform
        made, now or before.
        """
        found = ecs.task_definition(self.work.platform.cloud, self.family)
        container = found.container(self.work.service.container) if found else None
        if found is None or container is None or container.get("image") != image:
            carries = container.get("image") if container else "nothing"
            why = (
                f"its newest revision {found.label if found else ''} carries {carries}, not {image}"
            )
            how = (
                f"see where {self.place.tf.directory} uses {self.work.service.image_variable}, "
                f"then inv tf.plan"
            )
            raise OpsError(f"Terraform made no revision of {self.family} with the image", why, how)
        return found

    def say_ignored(self, service: ServiceState, made: TaskDefinition) -> None:
        """The service stayed where it was: the apply alone would have changed nothing that runs."""
        stayed = service.task_definition.rsplit("/", 1)[-1]
        summary = (
            f"Terraform made {made.label} and left {service.name} on {stayed}: it ignores the "
            f"task definition (ignore_changes)"
        )
        name = self.work.platform.settings.name
        fix = (
            f"environments.{name}.rollout: ecs in invoke.yaml (or take task_definition out of "
            f"ignore_changes)"
        )
        ui.progress(f"  {summary}; finished by one UpdateService")
        ui.progress(f"  configure {fix}")
        evidence = Evidence(
            "DescribeServices taskDefinition after the apply", service.task_definition
        )
        if all(finding.cause != _IGNORED for finding in self.work.findings):
            self.work.findings.append(Finding(_IGNORED, summary, "certain", (evidence,), (fix,)))


@dataclass(frozen=True)
class TerraformApply:
    """The apply of the saved plan; its undo leads to the revision that was seen healthy before, and
    is watched to its own verdict.
    """

    rollout: TerraformRollout

    def do(self, step: Step) -> None:
        work = self.rollout.work
        if "deployment" in step.values:
            work.deployment = step.values["deployment"]
            return
        assert self.rollout.planned is not None  # made in the step before
        work.deployment = (
            self.rollout.carry_out(self.rollout.planned, work.image) or self.under_way()
        )
        work.revision = self.rollout.revision_with(work.image)
        ui.progress(f"  deployment {work.deployment}")

    def under_way(self) -> str:
        """Nothing moved: the service was on this revision already, so its own deployment is the one
        to watch.
        """
        primary = self.rollout.state().primary
        if primary is None:
            how = f"inv {self.rollout.work.name}.status"
            raise OpsError(
                "the service has no PRIMARY deployment", "ECS shows none after the apply", how
            )
        return primary.id

    def undo(self, step: Step) -> None:
        work, back = self.rollout.work, step.values["back"]
        if work.outcome and work.outcome.verdict is Verdict.SUPERSEDED:
            return
        image = self.image_of(back)
        work.confirm_undo(image)
        refuse_if_superseded(work, back)
        self.rollout.turn_back()
        planned = self.plan_back(image)
        done, deployment = self.by_terraform(planned, image) if planned else (False, None)
        if not done:
            deployment = self.by_ecs(back)
        if deployment is None:
            ui.progress("  nothing to take back: the service had not been changed")
            return
        work.rollback = Rollback(image if done else back.rsplit("/", 1)[-1], deployment)
        watch_rollback(work, deployment)

    def image_of(self, back: str) -> str:
        """The image of the revision that was seen healthy (an INACTIVE revision can still be
        described).
        """
        work = self.rollout.work
        revision = ecs.task_definition(work.platform.cloud, back)
        container = revision.container(work.service.container) if revision else None
        if container is None:
            how = f"inv {work.name}.deploy --tag TAG"
            raise OpsError(
                f"the image of {back} could not be read", "ECS has no such revision any more", how
            )
        return str(container["image"])

    def by_terraform(self, planned: TerraformPlan, image: str) -> tuple[bool, str | None]:
        """Apply the second plan: whether that worked, and its deployment (None where nothing
        moved).
        """
        try:
            return True, self.rollout.carry_out(planned, image)
        except OpsError as error:
            ui.progress(f"  no rollback by Terraform: {error.what}: {error.why}")
            return False, None

    def plan_back(self, image: str) -> TerraformPlan | None:
        """A second plan for this service alone, with the image that ran before; None where that is
        no way.

        The rollback must not depend on Terraform, so an error is only printed. A plan that holds
        more is not applied: `-target` brings dependencies along, with any change that is pending
        for them."""
        work = self.rollout.work
        ignored = any(finding.cause == _IGNORED for finding in work.findings)
        if self.rollout.planned is None or ignored:  # None: the rollout of an earlier run
            return None
        try:
            return self.only_ours(self.rollout.planned, image)
        except OpsError as error:
            ui.progress(f"  no plan by Terraform: {error.what}: {error.why}")
            return None

    def only_ours(self, planned: TerraformPlan, image: str) -> TerraformPlan | None:
        """The plan of task definition and service by their addresses; None where it also changes
        others.
        """
        target = self.rollout.target(image)
        kinds = ((TASK_DEFINITION, target.family), (SERVICE, target.service))
        only = tuple(each for kind in kinds for each in addresses(planned.document, *kind))
        ui.progress(f"rolling back to {image} by a second plan of {', '.join(only)}")
        back = self.rollout.plan(image, only)
        beyond = [change.address for change, _ in out_of_scope(back.changes, target)]
        if not beyond and not back.uncertain:
            return back
        plan_files.discard(back.saved)
        ui.progress(
            f"  not applied, since it also changes {', '.join(beyond) or back.uncertain[0]}"
        )
        return None

    def by_ecs(self, back: str) -> str | None:
        """UpdateService to the content of the last healthy revision, registered again if it is
        INACTIVE.

        None where the service was never changed.
        """
        work, label = self.rollout.work, back.rsplit("/", 1)[-1]
        to = usable_revision(work, back)
        deployment = rollback_deployment(work, to)
        if deployment:
            ui.progress(
                f"  rolling back by UpdateService to {to.rsplit('/', 1)[-1]}, with the "
                f"content of {label}"
            )
            self.report_difference(to)
        return deployment

    def report_difference(self, to: str) -> None:
        """Terraform did not make the revision that runs: its next apply takes it over."""
        label = to.rsplit("/", 1)[-1]
        summary = (
            f"the service runs {label}, which Terraform did not make: its state differs until "
            f"the next apply"
        )
        ui.progress(f"  {summary}")
        evidence = Evidence("rolled back by UpdateService", to)
        fix = ("inv tf.plan", "inv tf.apply")
        self.rollout.work.findings.append(
            Finding("terraform_state_differs", summary, "certain", (evidence,), fix)
        )
