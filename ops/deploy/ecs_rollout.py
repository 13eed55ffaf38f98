"""The roll-out step of `rollout: ecs`: a new revision from the service's own, one UpdateService,
and the way back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ops.aws import ecs
from ops.aws.facts import ServiceState, TaskDefinition
from ops.core import ui
from ops.core.errors import OpsError, Refused, Unreachable
from ops.core.findings import Unknown, Verdict
from ops.core.parallel import try_call
from ops.core.plan import Step
from ops.deploy import invalidate
from ops.deploy.context import DeployContext, Rollback, RolloutFailed
from ops.deploy.rules.plan import with_image

_UNSEEN_S = 30.0  # how long a rollback is watched while ECS cannot be read


def register(work: DeployContext, step: Step) -> None:
    """From the service's own revision, not the family's latest; an equal latest revision (left by a
    killed run) is used.
    """
    assert isinstance(work.facts.revision, TaskDefinition)
    wanted = with_image(work.facts.revision.document, work.service.container, work.image)
    work.revision = _equal_latest_revision(work, wanted) or _register_once(work, wanted)
    ui.progress(f"  revision {work.revision.label}")


def _equal_latest_revision(work: DeployContext, wanted: Mapping[str, Any]) -> TaskDefinition | None:
    """The family's latest revision, where it has the wanted content and is not the service's
    own.
    """
    assert isinstance(work.facts.revision, TaskDefinition)
    own = work.facts.revision
    newest = ecs.task_definition(work.platform.cloud, own.label.rsplit(":", 1)[0])
    if newest is None or newest.status != "ACTIVE" or newest.arn == own.arn:
        return None
    return newest if ecs.same_content(newest.document, wanted) else None


def _register_once(work: DeployContext, wanted: Mapping[str, Any]) -> TaskDefinition:
    """A new revision; where AWS's answer was lost, the one that it made all the same."""
    try:
        return ecs.register(work.platform.cloud, wanted)
    except Unreachable as lost:
        found = try_call(lambda: _equal_latest_revision(work, wanted))
        if not isinstance(found, TaskDefinition):
            raise lost from None
        ui.progress(f"  {lost.why}; it was registered all the same")
        return found


@dataclass(frozen=True)
class Update:
    """One UpdateService; its undo is another, back to the last revision seen healthy, watched to
    its own verdict.
    """

    work: DeployContext

    def do(self, step: Step) -> None:
        work = self.work
        if "deployment" in step.values:
            work.deployment = step.values["deployment"]
            return
        assert work.revision is not None  # registered in the step before
        work.deployment = update_service(work, work.revision.arn)
        ui.progress(f"  deployment {work.deployment}")

    def undo(self, step: Step) -> None:
        work, back = self.work, step.values["back"]
        if work.outcome and work.outcome.verdict in (Verdict.SUPERSEDED, Verdict.ROLLED_BACK):
            return
        work.confirm_undo(back.rsplit("/", 1)[-1])
        refuse_if_superseded(work, back)
        to = usable_revision(work, back)
        deployment = rollback_deployment(work, to)
        if deployment is None:
            ui.progress("  nothing to take back: the service had not been changed")
            return
        work.rollback = Rollback(to.rsplit("/", 1)[-1], deployment)
        ui.progress(f"going back to {work.rollback.to}: deployment {deployment}")
        watch_rollback(work, deployment)


def refuse_if_superseded(work: DeployContext, back: str) -> None:
    """Raises Refused where a deployment that is neither ours nor the one before is in place: going
    back would take theirs away.
    """
    environment, before = work.platform.settings.environment, work.facts.state
    try:
        state = ecs.service(work.platform.cloud, environment.cluster, work.service.ecs_service)
    except (
        OpsError
    ) as error:  # the lock is ours, and our deployment was in front when it was last seen
        ui.progress(
            f"  whether another deployment has taken over is unknown "
            f"({error.why or error.what}); rolling back all the same"
        )
        return
    primary = state.primary if state else None
    known = {
        work.deployment,
        before.primary.id if isinstance(before, ServiceState) and before.primary else None,
    }
    if primary is None or primary.id in known or primary.task_definition == back:
        return
    revision = ecs.task_definition(work.platform.cloud, primary.task_definition)
    container = revision.container(work.service.container) if revision else None
    if (
        container and container.get("image") == work.image
    ):  # ours, and only the answer to our call was lost
        return
    work.overtaken = primary.id
    why = f"deployment {primary.id} is in place, and it is not ours"
    raise Refused(f"going back to {back.rsplit('/', 1)[-1]}", why, f"inv {work.name}.status")


def watch_rollback(work: DeployContext, deployment: str) -> None:
    """Watch the way back to its own verdict, then take out of the CDN's cache what the new version
    left there.
    """
    limit = work.platform.settings.environment.deploy_timeout  # a short --timeout is not the undo's
    if isinstance(try_call(lambda: _read_service(work)), Unknown):
        limit = min(limit, _UNSEEN_S)
        ui.progress(f"  ECS cannot be read: the rollback is watched for {limit:g} s at most")
    work.undone = work.watch(
        deployment, limit, settle_s=0.0
    )  # this revision has been seen healthy before
    if work.undone.verdict is not Verdict.SUCCEEDED:
        raise RolloutFailed(work.undone.verdict, work.undone.why)
    invalidate.invalidate_for(work, deployment)


def _read_service(work: DeployContext) -> ServiceState | None:
    """The service as it is now (DescribeServices)."""
    return ecs.service(
        work.platform.cloud, work.platform.settings.environment.cluster, work.service.ecs_service
    )


def usable_revision(work: DeployContext, back: str) -> str:
    """ARN of `back`, or of a copy where it is INACTIVE, which UpdateService refuses."""
    label = back.rsplit("/", 1)[-1]
    try:
        revision = ecs.task_definition(work.platform.cloud, back)
    except Unreachable as lost:  # the undo must not depend on this look; it is usually ACTIVE
        ui.progress(f"  whether {label} is ACTIVE is unknown ({lost.why or lost.what})")
        return back
    if revision is None:
        how = f"inv {work.name}.deploy --tag TAG"
        raise OpsError(f"revision {label} could not be read", "ECS does not have it any more", how)
    if revision.status == "ACTIVE" or runs(work, back):
        return back
    copy = copy_of(work, revision)
    ui.progress(f"  {label} is INACTIVE; {copy.label} is a copy of it")
    return copy.arn


def runs(work: DeployContext, revision: str) -> bool:
    """Whether the service is on it; False where that cannot be read, since UpdateService does no
    harm then.
    """
    found = try_call(lambda: described(work))
    return isinstance(found, ServiceState) and found.task_definition == revision


def copy_of(work: DeployContext, revision: TaskDefinition) -> TaskDefinition:
    """The same content as an ACTIVE revision: the family's newest where that is equal, else a new
    one.
    """
    cloud, family = work.platform.cloud, revision.label.rsplit(":", 1)[0]
    newest = ecs.task_definition(cloud, family)
    if (
        newest
        and newest.status == "ACTIVE"
        and ecs.same_content(newest.document, revision.document)
    ):
        return newest
    return ecs.register(cloud, revision.document)


def rollback_deployment(work: DeployContext, back: str) -> str | None:
    """Id of the deployment that leads back, made now unless it is there; None where the service was
    never changed (UpdateService lost).
    """
    environment = work.platform.settings.environment
    try:
        state = ecs.service(work.platform.cloud, environment.cluster, work.service.ecs_service)
    except OpsError:  # said already; UpdateService to a revision that is in place does no harm
        return update_service(work, back)
    if state and state.primary and state.primary.task_definition == back:
        return None if len(state.deployments) == 1 else state.primary.id
    return update_service(work, back)


def update_service(work: DeployContext, revision: str) -> str:
    """One UpdateService; the id of the deployment that it made."""
    environment = work.platform.settings.environment
    try:
        state = ecs.update_service(
            work.platform.cloud, environment.cluster, work.service.ecs_service, revision
        )
    except Unreachable as lost:
        state = _service_if_updated(work, revision, lost)
    if not state.primary:
        what = f"service {state.name} has no PRIMARY deployment after UpdateService"
        raise OpsError(what, "ECS did not start one", f"inv {work.name}.status")
    return state.primary.id


def _service_if_updated(work: DeployContext, revision: str, lost: Unreachable) -> ServiceState:
    """The service, where it has `revision` although AWS's answer to UpdateService was lost. Raises
    `lost` otherwise.
    """
    found = try_call(lambda: _read_service(work))
    if (
        not isinstance(found, ServiceState)
        or not found.primary
        or found.primary.task_definition != revision
    ):
        raise lost from None
    ui.progress(f"  {lost.why}; the service was updated all the same")
    return found
