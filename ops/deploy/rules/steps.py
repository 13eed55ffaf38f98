"""The steps of a deploy: what `ops.deploy.rules.plan` plans and `ops.deploy.handlers` runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from ops.aws.facts import TaskDefinition
from ops.cdn.facts import Distribution
from ops.core.plan import Step
from ops.core.text import format_count
from ops.tools.facts import BuildOptions, Commit


@dataclass(frozen=True)
class BuildImage(Step):
    """Build `image` from `commit`, for `platform` ("linux/amd64").

    `context` is a folder of the commit, `dockerfile` a path in it.
    """

    verb: ClassVar[str] = "build"
    image: str
    commit: Commit
    platform: str
    context: str
    dockerfile: str
    build_args: Mapping[str, str] = field(default_factory=dict, repr=False)
    options: BuildOptions = field(default_factory=BuildOptions)

    def __str__(self) -> str:
        return (
            f"Build {self.image} from commit {self.commit.short} “{self.commit.subject}” "
            f"for {self.platform}"
        )


@dataclass(frozen=True)
class PushImage(Step):
    """Push `repository:tag` to ECR."""

    verb: ClassVar[str] = "push"
    repository: str
    tag: str

    def __str__(self) -> str:
        return f"Push {self.repository}:{self.tag} to ECR"


@dataclass(frozen=True)
class TagLatest(Step):
    """Move the tag `latest` to `repository:tag`, after the release is verified."""

    verb: ClassVar[str] = "latest"
    repository: str
    tag: str

    def __str__(self) -> str:
        return f"Move {self.repository}:latest to it"


@dataclass(frozen=True)
class RegisterTaskDefinition(Step):
    """Register `base` again with another image for one container."""

    verb: ClassVar[str] = "register"
    base: TaskDefinition
    container: str
    image: str

    def __str__(self) -> str:
        return (
            f"Register a new revision of {self.base.family} from {self.base.label}, only container "
            f"{self.container}'s image changed"
        )


@dataclass(frozen=True)
class LastHealthy:
    """The last healthy revision of a service, to which a failed rollout is rolled back.

    `inactive`: ECS takes no service to it, so a copy is registered. `cached`: the service's pages
    are cached by the CDN, which is invalidated again.
    """

    arn: str
    inactive: bool = False
    cached: bool = False

    @property
    def label(self) -> str:
        return self.arn.rsplit("/", 1)[-1]

    @property
    def undo_by_ecs(self) -> str:
        cache = "; then invalidate the CDN's cache again" if self.cached else ""
        to = (
            f"a copy of {self.label} (INACTIVE, so registered again)"
            if self.inactive
            else self.label
        )
        return f"UpdateService to {to}, the last revision seen healthy, and watch it{cache}"

    @property
    def undo_by_terraform(self) -> str:
        """The undo of an apply.

        A revision that Terraform replaced is INACTIVE, so the rollback is another revision with its
        image.
        """
        return (
            f"A second Terraform plan, with the image of {self.label}, the last revision seen "
            f"healthy; if that would change more, UpdateService to a copy of {self.label}; "
            f"watched as well"
        )


@dataclass(frozen=True)
class Rollout(Step):
    """A step that changes what runs, to `image`.

    Its undo is a rollback to `last_healthy`, unless there is none, or `no_rollback`.
    """

    image: str
    last_healthy: LastHealthy | None
    no_rollback: bool

    @property
    def rollback_to(self) -> LastHealthy | None:
        return None if self.no_rollback else self.last_healthy

    @property
    def undo(self) -> str | None:
        return self.rollback_to.undo_by_ecs if self.rollback_to else None

    @property
    def why_no_undo(self) -> str:
        """Why the step has no undo, if it has none."""
        return "--no-rollback" if self.no_rollback else "no healthy revision to roll back to"


@dataclass(frozen=True)
class UpdateService(Rollout):
    """Update the ECS service `service` to the revision that was registered."""

    verb: ClassVar[str] = "update"
    service: str
    desired: int

    def __str__(self) -> str:
        return f"Update service {self.service} to it ({format_count(self.desired, 'task')})"


@dataclass(frozen=True)
class RegisterAgain(Step):
    """Register a copy of `revision`, which is INACTIVE: ECS takes no service to it."""

    verb: ClassVar[str] = "register"
    revision: TaskDefinition

    def __str__(self) -> str:
        return f"Register {self.revision.label} again, since it is INACTIVE"


@dataclass(frozen=True)
class UpdateToRevision(Rollout):
    """Update the ECS service `service` to a revision that exists."""

    verb: ClassVar[str] = "update"
    service: str
    revision: TaskDefinition
    desired: int

    def __str__(self) -> str:
        return (
            f"Update service {self.service} to {self.revision.label}, {self.image} "
            f"({format_count(self.desired, 'task')})"
        )


@dataclass(frozen=True)
class StopRollout(Rollout):
    """Have ECS stop the deployment in progress and roll back to `revision`, which ran before."""

    verb: ClassVar[str] = "stop"
    service: str
    deployment: str
    revision: TaskDefinition

    def __str__(self) -> str:
        return (
            f"Stop deployment {self.deployment} of {self.service}: ECS rolls back to "
            f"{self.revision.label}, {self.image} (else UpdateService to it)"
        )


@dataclass(frozen=True)
class ContinueRollout(Rollout):
    """Take over a rollout in progress, of an earlier run; it is watched like our own."""

    verb: ClassVar[str] = "update"
    deployment: str

    def __str__(self) -> str:
        return f"Continue the rollout in progress: {self.deployment}"


@dataclass(frozen=True)
class RestartService(Rollout):
    """Replace the tasks of the ECS service `service` by new ones of the same `revision`.

    `replaces` is the deployment in place. There is no undo: the revision stays.
    """

    verb: ClassVar[str] = "restart"
    service: str
    desired: int
    revision: str
    replaces: str

    def __str__(self) -> str:
        return (
            f"Force a new deployment of service {self.service} on the same revision "
            f"{self.revision} ({format_count(self.desired, 'task')})"
        )

    @property
    def why_no_undo(self) -> str:
        return "the service stays on the same revision, so there is nothing to roll back"


@dataclass(frozen=True)
class CheckTerraform(Step):
    """Check, before anything is built, that Terraform can roll `image` out."""

    verb: ClassVar[str] = "tf-check"
    variable: str | None
    image: str

    def __str__(self) -> str:
        return (
            f"Check Terraform: it is here and initialised, and declares "
            f"{self.variable or 'an image variable'}"
        )


@dataclass(frozen=True)
class PlanTerraformRollout(Step):
    """Save a Terraform plan that gives `service` the image; refuse other changes."""

    verb: ClassVar[str] = "tf-plan"
    service: str
    variable: str | None
    image: str

    def __str__(self) -> str:
        return (
            f"Plan by Terraform with {self.variable} changed; stop at what goes "
            f"beyond {self.service}"
        )


@dataclass(frozen=True)
class ApplyTerraformRollout(Rollout):
    """Apply the saved plan, and check that `service` changed."""

    verb: ClassVar[str] = "tf-apply"
    service: str

    def __str__(self) -> str:
        return f"Apply exactly that plan, and see that service {self.service} changed"

    @property
    def undo(self) -> str | None:
        return self.rollback_to.undo_by_terraform if self.rollback_to else None


@dataclass(frozen=True)
class ContinueTerraformRollout(ContinueRollout):
    """Take over a rollout in progress that Terraform began."""

    verb: ClassVar[str] = "tf-apply"

    @property
    def undo(self) -> str | None:
        return self.rollback_to.undo_by_terraform if self.rollback_to else None


@dataclass(frozen=True)
class WatchDeployment(Step):
    """Watch our deployment of the ECS service `service` to its verdict."""

    verb: ClassVar[str] = "watch"
    service: str
    no_rollback: bool

    def __str__(self) -> str:
        return (
            f"Watch our deployment until every task of {self.service} is new and healthy, or has "
            f"failed"
        )


@dataclass(frozen=True)
class InvalidatePages(Step):
    """Invalidate the service's pages in the CDN's cache, once per deployment.

    `running` names the deployment that is invalidated for if this run rolls nothing out.
    """

    verb: ClassVar[str] = "invalidate"
    distribution: Distribution
    paths: tuple[str, ...]
    running: str

    def __str__(self) -> str:
        return (
            f"Invalidate {', '.join(self.paths)} at CloudFront distribution "
            f"{self.distribution}, once per deployment, and wait for it"
        )


@dataclass(frozen=True)
class VerifyRelease(Step):
    """Verify the running images and the endpoints; `digest` None: the one that was pushed."""

    verb: ClassVar[str] = "prove"
    service: str
    digest: str | None
    endpoints: int

    def __str__(self) -> str:
        digest = self.digest or "the digest that was pushed"
        endpoints = format_count(self.endpoints, "endpoint")
        healthy = f"{endpoints} {'is' if self.endpoints == 1 else 'are'} healthy"
        return f"Verify that every running task has {digest}, and that the {healthy}"
