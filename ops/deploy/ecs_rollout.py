"""The rollout step of `rollout: ecs`: a revision, one UpdateService, and its undo."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ops.aws import ecs
from ops.aws.facts import ServiceState, TaskDefinition
from ops.core import ui
from ops.core.apply import StepHandlers
from ops.core.errors import OpsError, Refused, Unreachable
from ops.core.findings import Unknown, Verdict
from ops.core.parallel import try_call
from ops.core.retry import repeat_until
from ops.deploy import invalidate
from ops.deploy.context import DeployContext, Rollback, RolloutFailed
from ops.deploy.rules.plan import with_image
from ops.deploy.rules.steps import (
    ContinueRollout,
    RegisterAgain,
    RegisterTaskDefinition,
    RestartService,
    Rollout,
    StopRollout,
    UpdateService,
    UpdateToRevision,
)

_STOP_PAUSES_S = (1.0,) * 20  # until ECS has begun to roll a stopped deployment back
_UNSEEN_S = 30.0  # how long a rollback is watched while ECS cannot be read
_EARLIER = "; an earlier run registered it"


@dataclass(frozen=True)
class EcsRollout:
    """A new revision and one UpdateService.

    Its undo is another UpdateService, to the last healthy revision, watched to its verdict.
    """

    context: DeployContext

    def add_to(self, handlers: StepHandlers) -> None:
        handlers.add(RegisterTaskDefinition, self.register)
        handlers.add(RegisterAgain, self.register_again)
        handlers.add(UpdateService, self.update, self.undo)
        handlers.add(UpdateToRevision, self.update_to_revision, self.undo)
        handlers.add(StopRollout, self.stop, self.undo)
        handlers.add(ContinueRollout, self.attach, self.undo)

    def register(self, step: RegisterTaskDefinition) -> str:
        """Register a revision from the service's own, not the family's latest.

        An equal latest revision (left by a killed run) is reused.
        """
        wanted = with_image(step.base.document, step.container, step.image)
        reused = _equal_latest_revision(self.context, step.base, wanted)
        self.context.revision = reused or _register_once(self.context, step.base, wanted)
        revision = f"revision {self.context.revision.label} from {step.base.label}"
        only = f"{revision}, only the image of {step.container} changed"
        return only + (_EARLIER if reused else "")

    def update(self, step: UpdateService) -> str:
        assert self.context.revision is not None  # registered in the step before
        self.context.deployment = update_service(self.context, self.context.revision.arn)
        return f"deployment {self.context.deployment}"

    def register_again(self, step: RegisterAgain) -> str:
        """Register a copy; an equal latest revision (left by a killed run) is reused."""
        document = step.revision.document
        reused = _equal_latest_revision(self.context, step.revision, document)
        self.context.revision = reused or ecs.register(self.context.platform.cloud, document)
        copy = f"revision {self.context.revision.label}, a copy of {step.revision.label}"
        return copy + (_EARLIER if reused else "")

    def update_to_revision(self, step: UpdateToRevision) -> str:
        self.context.revision = step.revision
        self.context.deployment = update_service(self.context, step.revision.arn)
        return f"deployment {self.context.deployment} to {step.revision.label}"

    def stop(self, step: StopRollout) -> str:
        """Have ECS roll the deployment back; where it does not, update the service."""
        self.context.revision = step.revision
        deployment = _stop_deployment(self.context, step)
        if deployment is None:
            to = usable_revision(self.context, step.revision.arn)
            deployment = update_service(self.context, to)
        self.context.deployment = deployment
        return f"deployment {deployment} back to {step.revision.label}"

    def attach(self, step: ContinueRollout) -> None:
        self.context.deployment = step.deployment

    def undo(self, step: Rollout) -> None:
        assert step.rollback_to is not None  # the step has no undo otherwise
        context, target = self.context, step.rollback_to
        if context.watch_result and context.watch_result.verdict in (
            Verdict.SUPERSEDED,
            Verdict.ROLLED_BACK,
        ):
            return
        context.confirm_undo(target.label)
        refuse_if_superseded(context, target.arn, step.image)
        to = usable_revision(context, target.arn)
        deployment = rollback_deployment(context, to)
        if deployment is None:
            ui.progress("  nothing to roll back: the service was not changed")
            return
        context.rollback = Rollback(to.rsplit("/", 1)[-1], deployment)
        ui.progress(f"rolling back to {context.rollback.to}: deployment {deployment}")
        watch_rollback(context, deployment)


def _stop_deployment(context: DeployContext, step: StopRollout) -> str | None:
    """The deployment with which ECS rolls back, or None if it does not stop the one in progress.

    For example, it has just completed, or the permission is missing.
    """
    cloud, cluster = context.platform.cloud, context.platform.settings.environment.cluster
    try:
        ecs.stop_deployment(cloud, cluster, context.service.ecs_service)
    except OpsError as error:
        ui.progress(f"  ECS does not stop it ({error.why or error.what}): UpdateService instead")
        return None
    found = repeat_until(
        lambda: try_call(lambda: _read_service(context)),
        lambda found: _rolls_back(found, step),
        _STOP_PAUSES_S,
        context.pause,
    )
    if not isinstance(found, ServiceState) or not found.primary or not _rolls_back(found, step):
        ui.progress("  ECS has not begun to roll back: UpdateService instead")
        return None
    return found.primary.id


def _rolls_back(found: ServiceState | Unknown | None, step: StopRollout) -> bool:
    primary = found.primary if isinstance(found, ServiceState) else None
    return (
        primary is not None
        and primary.id != step.deployment
        and primary.task_definition == step.revision.arn
    )


def _equal_latest_revision(
    context: DeployContext, base: TaskDefinition, wanted: Mapping[str, Any]
) -> TaskDefinition | None:
    """The latest revision of the family of `base` if it has the wanted content.

    None if it is `base` itself.
    """
    newest = ecs.task_definition(context.platform.cloud, base.family)
    if newest is None or newest.status != "ACTIVE" or newest.arn == base.arn:
        return None
    return newest if ecs.same_content(newest.document, wanted) else None


def _register_once(
    context: DeployContext, base: TaskDefinition, wanted: Mapping[str, Any]
) -> TaskDefinition:
    """Register a revision; if AWS's answer was lost, find the one that it made."""
    try:
        return ecs.register(context.platform.cloud, wanted)
    except Unreachable as lost:
        found = try_call(lambda: _equal_latest_revision(context, base, wanted))
        if not isinstance(found, TaskDefinition):
            raise lost from None
        ui.progress(f"  {lost.why}; it was registered all the same")
        return found


def refuse_if_superseded(context: DeployContext, back: str, image: str) -> None:
    """Raise Refused if a deployment is in place that is neither ours nor the previous one.

    A revision with `image` is ours.
    """
    environment, before = context.platform.settings.environment, context.facts.state
    try:
        state = ecs.service(
            context.platform.cloud, environment.cluster, context.service.ecs_service
        )
    except OpsError as error:  # the lock is ours, and our deployment was PRIMARY at the last poll
        ui.progress(
            f"  whether another deployment has taken over is unknown "
            f"({error.why or error.what}); rolling back all the same"
        )
        return
    primary = state.primary if state else None
    known = {
        context.deployment,
        before.primary.id if isinstance(before, ServiceState) and before.primary else None,
    }
    if primary is None or primary.id in known or primary.task_definition == back:
        return
    revision = ecs.task_definition(context.platform.cloud, primary.task_definition)
    container = revision.container(context.service.container) if revision else None
    if (
        container and container.get("image") == image
    ):  # our own deployment; only the answer to our call was lost
        return
    context.superseded_by = primary.id
    why = f"deployment {primary.id} is the newest, and not ours"
    raise Refused(f"rollback to {back.rsplit('/', 1)[-1]}", why, f"inv {context.name}.status")


def watch_rollback(context: DeployContext, deployment: str) -> None:
    """Watch the rollback to its verdict, then invalidate the CDN's cache again."""
    limit = (
        context.platform.settings.environment.deploy_timeout
    )  # a short --timeout does not apply to the undo
    if isinstance(try_call(lambda: _read_service(context)), Unknown):
        limit = min(limit, _UNSEEN_S)
        ui.progress(f"  ECS cannot be read: the rollback is watched for {limit:g} s at most")
    context.rollback_result = context.watch(
        deployment, limit, settle_s=0.0
    )  # this revision was healthy before
    if context.rollback_result.verdict is not Verdict.SUCCEEDED:
        raise RolloutFailed(context.rollback_result.verdict, context.rollback_result.why)
    invalidate.invalidate_for(context, deployment)


def _read_service(context: DeployContext) -> ServiceState | None:
    """Read the service (DescribeServices)."""
    return ecs.service(
        context.platform.cloud,
        context.platform.settings.environment.cluster,
        context.service.ecs_service,
    )


def usable_revision(context: DeployContext, back: str) -> str:
    """ARN of `back`, or of a copy if it is INACTIVE, which UpdateService refuses."""
    label = back.rsplit("/", 1)[-1]
    try:
        revision = ecs.task_definition(context.platform.cloud, back)
    except Unreachable as lost:  # the undo must not depend on this read; it is usually ACTIVE
        ui.progress(f"  whether {label} is ACTIVE is unknown ({lost.why or lost.what})")
        return back
    if revision is None:
        how = f"inv {context.name}.deploy --tag TAG"
        raise OpsError(f"revision {label} could not be read", "ECS does not have it any more", how)
    if revision.status == "ACTIVE" or _runs(context, back):
        return back
    copy = _copy_of(context, revision)
    ui.progress(f"  {label} is INACTIVE; {copy.label} is a copy of it")
    return copy.arn


def _runs(context: DeployContext, revision: str) -> bool:
    """Whether the service runs `revision`.

    False if that cannot be read, since UpdateService does no harm then.
    """
    found = try_call(lambda: _read_service(context))
    return isinstance(found, ServiceState) and found.task_definition == revision


def _copy_of(context: DeployContext, revision: TaskDefinition) -> TaskDefinition:
    """An ACTIVE revision with the same content: the newest if equal, else a new one."""
    return _equal_latest_revision(context, revision, revision.document) or ecs.register(
        context.platform.cloud, revision.document
    )


def rollback_deployment(context: DeployContext, back: str) -> str | None:
    """The id of the deployment that rolls back, created unless it exists.

    None if the service was never changed (UpdateService was lost).
    """
    environment = context.platform.settings.environment
    try:
        state = ecs.service(
            context.platform.cloud, environment.cluster, context.service.ecs_service
        )
    except OpsError:  # reported already; repeating UpdateService does no harm
        return update_service(context, back)
    if state and state.primary and state.primary.task_definition == back:
        return None if len(state.deployments) == 1 else state.primary.id
    return update_service(context, back)


def update_service(context: DeployContext, revision: str) -> str:
    """Call UpdateService; return the id of the new deployment."""
    environment = context.platform.settings.environment
    try:
        state = ecs.update_service(
            context.platform.cloud, environment.cluster, context.service.ecs_service, revision
        )
    except Unreachable as lost:
        state = _service_if_updated(context, revision, lost)
    if not state.primary:
        what = f"service {state.name} has no PRIMARY deployment after UpdateService"
        raise OpsError(what, "ECS did not start one", f"inv {context.name}.status")
    return state.primary.id


def _service_if_updated(context: DeployContext, revision: str, lost: Unreachable) -> ServiceState:
    """The service, if it has `revision` although AWS's answer was lost.

    Raises `lost` otherwise.
    """
    found = try_call(lambda: _read_service(context))
    if (
        not isinstance(found, ServiceState)
        or not found.primary
        or found.primary.task_definition != revision
    ):
        raise lost from None
    ui.progress(f"  {lost.why}; the service was updated all the same")
    return found


def restart_tasks(context: DeployContext, step: RestartService) -> str:
    """Force a new deployment; if AWS's answer was lost, find the one that it made."""
    cluster = context.platform.settings.environment.cluster
    if isinstance(context.facts.revision, TaskDefinition):
        context.revision = context.facts.revision
    try:
        state: ServiceState | None = ecs.restart_service(
            context.platform.cloud, cluster, step.service
        )
    except Unreachable as lost:
        found = try_call(lambda: _read_service(context))
        state = found if isinstance(found, ServiceState) else None
        if state is None or state.primary is None or state.primary.id == step.replaces:
            raise
        ui.progress(f"  {lost.why}; the service was restarted all the same")
    if state is None or state.primary is None:
        what = f"service {step.service} has no PRIMARY deployment after UpdateService"
        raise OpsError(what, "ECS did not start one", f"inv {context.name}.status")
    context.deployment = state.primary.id
    return f"deployment {context.deployment}"
