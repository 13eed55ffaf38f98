"""Plan a deploy or a rollback from facts alone: its steps, its revision, and its undo.

A step is planned only if it is still needed, so a deploy that was killed at any point can be run
again: an image in ECR made from this commit is not built, a revision that runs is not registered, a
rollout in progress is watched and not repeated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from ops.aws.facts import Deployment, Image, Repository, ServiceState, TaskDefinition
from ops.cdn.facts import Distribution
from ops.core.errors import Refused
from ops.core.findings import Unknown
from ops.core.plan import Plan, Step
from ops.deploy.rules.release_plan import ReleasePlan, TaskDefinitionChange
from ops.deploy.rules.steps import (
    BuildImage,
    ContinueRollout,
    InvalidatePages,
    LastHealthy,
    PushImage,
    RegisterAgain,
    RegisterTaskDefinition,
    Rollout,
    StopRollout,
    TagLatest,
    UpdateService,
    UpdateToRevision,
    VerifyRelease,
    WatchDeployment,
)
from ops.ecs.rules.task_definition_diff import task_definition_diff
from ops.preflight.facts import ReleaseFacts
from ops.tools.facts import BuildOptions, BuildSecret, Commit, LocalImage

if TYPE_CHECKING:
    from ops.core.config.settings import Service

T = TypeVar("T")


def plan_release(
    facts: ReleaseFacts,
    service: Service,
    *,
    no_rollback: bool = False,
    wanted: TaskDefinition | None = None,
) -> ReleasePlan:
    """Every step of a deploy, or of a rollback to the revision `wanted`.

    Raises Refused if a required fact is missing or could not be read.
    """
    repository, state = _require(facts.repository, "repository"), _require(facts.state, "service")
    revision = _require(facts.revision, "task definition")
    image = f"{repository.uri}:{facts.tag}"
    image_steps, already = _image_steps(facts, service, repository)
    if wanted is None:
        rollout, running = _rollout_steps(
            facts, service, state, revision, image, no_rollback=no_rollback
        )
    else:
        rollout, running = _revision_steps(facts, service, state, revision, wanted)
    digest = facts.image.digest if isinstance(facts.image, Image) else None
    before = tuple(step for step in image_steps if not isinstance(step, TagLatest))
    last = tuple(
        step for step in image_steps if isinstance(step, TagLatest)
    )  # the tag that others may use moves only after verification
    if any(
        isinstance(step, Rollout) and not step.last_healthy and not no_rollback for step in rollout
    ):
        running = (*running, _why_no_undo(facts, state, wanted))
    return ReleasePlan(
        (
            *before,
            *rollout,
            *_cache_steps(facts, service, state),
            VerifyRelease(facts.service, digest, len(service.endpoints)),
            *last,
        ),
        (*already, *running),
        _change(rollout, revision),
    )


def start_only(plan: Plan) -> Plan:
    """The plan up to its rollout, for `--no-wait`; unchanged if it rolls nothing out."""
    rollouts = [number for number, step in enumerate(plan.steps) if isinstance(step, Rollout)]
    if not rollouts:
        return plan
    left_out = "--no-wait: the rollout is neither watched, verified nor rolled back"
    steps = plan.steps[: rollouts[-1] + 1]
    return replace(plan, steps=steps, already=(*plan.already, left_out))


def _why_no_undo(facts: ReleaseFacts, state: ServiceState, wanted: TaskDefinition | None) -> str:
    if wanted and undo_target(facts) == wanted.arn:
        return f"{wanted.label} is itself the last revision seen healthy: a failure is not undone"
    return f"no revision of {state.name} has been seen healthy, so there will be no rollback"


def _change(rollout: Sequence[Step], current: TaskDefinition) -> TaskDefinitionChange | None:
    """What changes in the task definition; None if the service is not updated."""
    for step in rollout:
        if isinstance(step, RegisterTaskDefinition):
            after = with_image(step.base.document, step.container, step.image)
            differences = task_definition_diff(step.base.document, after)
            return TaskDefinitionChange(step.base.label, None, differences)
        if isinstance(step, RegisterAgain | UpdateToRevision | StopRollout):
            differences = task_definition_diff(current.document, step.revision.document)
            return TaskDefinitionChange(current.label, step.revision.label, differences)
    return None


def plan_image(facts: ReleaseFacts, service: Service, *, push: bool) -> Plan:
    """The steps that make the image: `build` alone, or `build` and `push`."""
    steps, already = _image_steps(facts, service, _require(facts.repository, "repository"))
    return Plan(tuple(step for step in steps if push or isinstance(step, BuildImage)), already)


def _require(value: T | Unknown | None, what: str) -> T:
    if isinstance(value, Unknown):
        raise Refused(f"the {what} could not be read", value.why, "inv preflight")
    if value is None:
        raise Refused(
            f"the {what} does not exist", "nothing can be deployed without it", "inv preflight"
        )
    return value


def _image_steps(
    facts: ReleaseFacts, service: Service, repository: Repository
) -> tuple[tuple[Step, ...], tuple[str, ...]]:
    """Build, push and `latest`, unless ECR or the engine already has the image."""
    image = f"{repository.uri}:{facts.tag}"
    if isinstance(facts.image, Image):
        return (), (f"{image} is in ECR already ({facts.image.digest}): nothing to build or push",)
    if facts.requested_tag:
        why = "ECR has no such tag, and --tag never builds"
        raise Refused(
            f"image {image}", why, f"inv {facts.service}.deploy, or name a tag that exists"
        )
    commit = _require(facts.checkout, "checkout").commit
    steps: list[Step] = []
    already = []
    if _built_from(facts.local_image, commit.full):
        already.append(f"{image} has been built from this commit already")
    else:
        steps.append(_build_step(facts, service, commit, image))
    steps.append(PushImage(repository.uri, commit.short))
    if not repository.is_immutable("latest"):
        steps.append(TagLatest(repository.uri, commit.short))
    return tuple(steps), tuple(already)


def _build_step(facts: ReleaseFacts, service: Service, commit: Commit, image: str) -> BuildImage:
    """The build, for the architecture of the running revision."""
    revision = facts.revision if isinstance(facts.revision, TaskDefinition) else None
    return BuildImage(
        image,
        commit,
        platform=f"linux/{revision.architecture if revision else 'amd64'}",
        context=service.context,
        dockerfile=service.dockerfile,
        build_args=service.filled_build_args(commit.short, commit.full),
        options=_build_options(service),
    )


def _build_options(service: Service) -> BuildOptions:
    return BuildOptions(
        service.target or "",
        tuple(
            BuildSecret(name, source.environment, source.file)
            for name, source in sorted(service.build_secrets.items())
        ),
        tuple(service.cache_from),
        tuple(service.cache_to),
        service.provenance,
    )


def _built_from(local: LocalImage | Unknown | None, commit: str) -> bool:
    return isinstance(local, LocalImage) and local.revision == commit


def _rollout_steps(
    facts: ReleaseFacts,
    service: Service,
    state: ServiceState,
    revision: TaskDefinition,
    image: str,
    *,
    no_rollback: bool,
) -> tuple[tuple[Step, ...], tuple[str, ...]]:
    """Register, update and watch, unless the service runs `image` already (`rollout: ecs`)."""
    primary = state.primary
    back = _last_healthy(facts, revision, cached=bool(service.invalidate))
    watch = WatchDeployment(state.name, no_rollback)
    if primary and _runs(facts, revision, service.container, image):
        if primary.is_under_way and _can_continue(facts, primary):
            already = f"{state.name} is rolling {revision.label} out already ({primary.id})"
            return (ContinueRollout(image, back, no_rollback, primary.id), watch), (already,)
        if _settled(state, primary):
            return (), (f"{state.name} runs {image} already, as {revision.label}",)
    register = RegisterTaskDefinition(revision, service.container, image)
    update = UpdateService(image, back, no_rollback, state.name, state.desired)
    return (register, update, watch), ()


def _can_continue(facts: ReleaseFacts, primary: Deployment) -> bool:
    """Whether the rollout in progress may be judged as this release's own.

    Not if its image is pushed only now (as after a first apply), or if all its tasks have failed:
    their failures precede whatever this run mends, so it starts a deployment of its own.
    """
    all_failed = primary.failed > 0 and primary.running == 0
    return isinstance(facts.image, Image) and not all_failed


def _revision_steps(
    facts: ReleaseFacts,
    service: Service,
    state: ServiceState,
    revision: TaskDefinition,
    wanted: TaskDefinition,
) -> tuple[tuple[Step, ...], tuple[str, ...]]:
    """Update to `wanted` and watch, unless the service runs its content already.

    A deployment in progress that began from `wanted` is stopped by ECS, which rolls it back.
    """
    primary, image = state.primary, str((wanted.container(service.container) or {}).get("image"))
    back = _last_healthy(facts, revision, cached=bool(service.invalidate))
    undo = None if back is None or back.arn == wanted.arn else back
    watch = WatchDeployment(state.name, False)
    moving = primary is not None and primary.is_under_way
    if primary and not task_definition_diff(revision.document, wanted.document):
        if moving:
            already = f"{state.name} is rolling {revision.label} out already ({primary.id})"
            return (ContinueRollout(image, undo, False, primary.id), watch), (already,)
        if _settled(state, primary):
            return (), (f"{state.name} runs {image} already, as {revision.label}",)
    if primary and moving and any(_completed(each, wanted) for each in state.deployments):
        return (StopRollout(image, undo, False, state.name, primary.id, wanted), watch), ()
    if wanted.status == "ACTIVE":
        update = UpdateToRevision(image, undo, False, state.name, wanted, state.desired)
        return (update, watch), ()
    again = UpdateService(image, undo, False, state.name, state.desired)
    return (RegisterAgain(wanted), again, watch), ()


def _completed(deployment: Deployment, wanted: TaskDefinition) -> bool:
    return deployment.rollout_state == "COMPLETED" and deployment.task_definition == wanted.arn


def _last_healthy(
    facts: ReleaseFacts, revision: TaskDefinition, *, cached: bool
) -> LastHealthy | None:
    arn = undo_target(facts)
    if arn is None:
        return None
    return LastHealthy(arn, revision.arn == arn and revision.status == "INACTIVE", cached)


def _cache_steps(facts: ReleaseFacts, service: Service, state: ServiceState) -> tuple[Step, ...]:
    """The step that invalidates the CDN's cache (runbook 3, step 5).

    It is also planned without a rollout, which completes a run that was killed just before it.
    A deployment's invalidation is created only once, however often it is requested.
    """
    if not service.invalidate or facts.distribution is None:
        return ()
    distribution: Distribution = _require(facts.distribution, "CloudFront distribution")
    running = state.primary.id if state.primary else state.name
    return (InvalidatePages(distribution, tuple(service.invalidate), running),)


def _runs(facts: ReleaseFacts, revision: TaskDefinition, container: str, image: str) -> bool:
    """Whether the service's revision names `image` and its running tasks have its digest.

    A tag can move, so the digests are compared.
    """
    definition = revision.container(container)
    if not definition or definition.get("image") != image:
        return False
    if isinstance(facts.running, Unknown) or not isinstance(facts.image, Image):
        return True
    seen = [
        task.container(container) for task in facts.running if task.task_definition == revision.arn
    ]
    return all(found.digest in (None, facts.image.digest) for found in seen if found)


def _settled(state: ServiceState, primary: Deployment) -> bool:
    """Whether the rollout is over and complete.

    ECS has no rolloutState for some old services.
    """
    over = primary.rollout_state in (None, "COMPLETED") and len(state.deployments) == 1
    return over and primary.running == primary.desired == state.desired


def undo_target(facts: ReleaseFacts) -> str | None:
    """ARN of the last healthy revision, whose rollout completed and whose tasks run, or None."""
    if not isinstance(facts.state, ServiceState):
        return None
    over = [
        deployment
        for deployment in facts.state.deployments
        if deployment.rollout_state in (None, "COMPLETED")
    ]
    healthy = [
        deployment for deployment in over if deployment.running >= max(1, deployment.desired)
    ]
    serving = (
        isinstance(facts.targets, Unknown)
        or not facts.targets
        or any(target.state == "healthy" for target in facts.targets)
    )
    return healthy[0].task_definition if healthy and serving else None


def with_image(document: Mapping[str, Any], container: str, image: str) -> dict[str, Any]:
    """The task definition with one container's image changed.

    Raises Refused if it has no such container.
    """
    definitions = document.get("containerDefinitions", ())
    names = [definition.get("name") for definition in definitions]
    if container not in names:
        why = f"the task definition's containers are: {', '.join(map(str, names))}"
        raise Refused(f"container {container}", why, "correct `container:` in invoke.yaml")
    return {
        **document,
        "containerDefinitions": [
            {**each, "image": image} if each.get("name") == container else dict(each)
            for each in definitions
        ],
    }
