"""Plan a deploy from facts alone: its steps, its revision, and its rollback target.

A step is planned only if it is still needed, so a deploy that was killed at any point can be run
again: an image in ECR made from this commit is not built, a revision that runs is not registered, a
rollout in progress is watched and not repeated.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from ops.aws.facts import Deployment, Image, Repository, ServiceState, TaskDefinition
from ops.cdn.facts import Distribution
from ops.core.errors import Refused
from ops.core.findings import Unknown
from ops.core.plan import PlainStep, Plan
from ops.preflight.facts import ReleaseFacts
from ops.tools.facts import LocalImage

if TYPE_CHECKING:
    from ops.core.config.settings import Service

_UNDER_WAY = "IN_PROGRESS"
T = TypeVar("T")


def plan_release(facts: ReleaseFacts, service: Service, *, rollback: bool = True) -> Plan:
    """Every step of a deploy.

    Raises Refused if a required fact is missing or could not be read.
    """
    repository, state = _require(facts.repository, "repository"), _require(facts.state, "service")
    revision = _require(facts.revision, "task definition")
    image = f"{repository.uri}:{facts.tag}"
    made, already = _image_steps(facts, repository, image)
    rolled, running = _rollout_steps(facts, service, state, revision, image, rollback=rollback)
    digest = facts.image.digest if isinstance(facts.image, Image) else "the digest that was pushed"
    prove = PlainStep(
        "prove",
        f"Prove it: every running task has {digest}, and the {len(service.endpoints)} "
        f"endpoints answer as they should",
    )
    before = tuple(step for step in made if step.verb != "latest")
    last = tuple(
        step for step in made if step.verb == "latest"
    )  # the tag that others may use moves only after verification
    if rollback and any(step.verb == "update" and not step.undo for step in rolled):
        running = (
            *running,
            f"no revision of {state.name} has been seen healthy: a failure could not be taken back",
        )
    return Plan(
        (*before, *rolled, *_cache_steps(facts, service, state), prove, *last), (*already, *running)
    )


def plan_image(facts: ReleaseFacts, *, push: bool) -> Plan:
    """The steps that make the image: `build` alone, or `build` and `push`."""
    repository = _require(facts.repository, "repository")
    steps, already = _image_steps(facts, repository, f"{repository.uri}:{facts.tag}")
    return Plan(tuple(step for step in steps if push or step.verb == "build"), already)


def _require(value: T | Unknown | None, what: str) -> T:
    if isinstance(value, Unknown):
        raise Refused(f"the {what} could not be read", value.why, "inv preflight")
    if value is None:
        raise Refused(
            f"the {what} does not exist", "nothing can be deployed without it", "inv preflight"
        )
    return value


def _image_steps(
    facts: ReleaseFacts, repository: Repository, image: str
) -> tuple[tuple[PlainStep, ...], tuple[str, ...]]:
    """Build, push and `latest`, unless ECR or the engine already has the image."""
    if isinstance(facts.image, Image):
        return (), (f"{image} is in ECR already ({facts.image.digest}): nothing to build or push",)
    if facts.requested_tag:
        why = "ECR has no such tag, and --tag never builds"
        raise Refused(
            f"image {image}", why, f"inv {facts.service}.deploy, or name a tag that exists"
        )
    checkout = _require(facts.checkout, "checkout")
    revision = facts.revision if isinstance(facts.revision, TaskDefinition) else None
    platform = f"linux/{revision.architecture if revision else 'amd64'}"
    steps, already = [], []
    if _built_from(facts.local_image, checkout.commit.full):
        already.append(f"{image} has been built from this commit already")
    else:
        says = (
            f"Build {image} from commit {checkout.commit.short} “{checkout.commit.subject}” "
            f"for {platform}"
        )
        steps.append(PlainStep("build", says, None, {"platform": platform}))
    steps.append(PlainStep("push", f"Push {image} to ECR"))
    if not repository.immutable:
        steps.append(PlainStep("latest", f"Move {repository.uri}:latest to it"))
    return tuple(steps), tuple(already)


def _built_from(local: LocalImage | Unknown | None, commit: str) -> bool:
    return isinstance(local, LocalImage) and local.revision == commit


def _rollout_steps(
    facts: ReleaseFacts,
    service: Service,
    state: ServiceState,
    revision: TaskDefinition,
    image: str,
    *,
    rollback: bool,
) -> tuple[tuple[PlainStep, ...], tuple[str, ...]]:
    """Register, update and watch, unless the service runs `image` already (`rollout: ecs`)."""
    primary = state.primary
    back = undo_target(facts)
    inactive = revision.arn == back and revision.status == "INACTIVE"
    undo = _undo_sentence(back, rollback, service, inactive=inactive)
    watch = PlainStep(
        "watch",
        f"Watch our deployment until every task of {state.name} is new and healthy, or say why not",
    )
    if primary and _runs(facts, revision, service.container, image):
        if primary.rollout_state == _UNDER_WAY:
            said = f"{state.name} is rolling {revision.label} out already ({primary.id})"
            attach = PlainStep(
                "update",
                f"Go on with the roll-out under way: {primary.id}",
                undo,
                {"deployment": primary.id, "back": back},
            )
            return (attach, watch), (said,)
        if _settled(state, primary):
            return (), (f"{state.name} runs {image} already, as {revision.label}",)
    family = revision.label.rsplit(":", 1)[0]
    return (
        PlainStep(
            "register",
            f"Register a new revision of {family} from {revision.label}, only container "
            f"{service.container}'s image changed",
        ),
        PlainStep(
            "update",
            f"Update service {state.name} to it ({state.desired} tasks)",
            undo,
            {"back": back},
        ),
        watch,
    ), ()


def _undo_sentence(
    back: str | None, rollback: bool, service: Service, *, inactive: bool = False
) -> str | None:
    if not rollback or not back:
        return None
    cache = "; then invalidate the CDN's cache again" if service.invalidate else ""
    label = back.rsplit("/", 1)[-1]
    to = f"a copy of {label} (INACTIVE, so registered again)" if inactive else label
    return f"UpdateService back to {to}, the last revision seen healthy, and watch that too{cache}"


def _cache_steps(
    facts: ReleaseFacts, service: Service, state: ServiceState
) -> tuple[PlainStep, ...]:
    """The step that invalidates the CDN's cache (runbook 3, step 5).

    It is also planned without a rollout, which completes a run that was killed just before it.
    A deployment's invalidation is created only once, however often it is requested.
    """
    if not service.invalidate or facts.distribution is None:
        return ()
    distribution: Distribution = _require(facts.distribution, "CloudFront distribution")
    says = (
        f"Invalidate {', '.join(service.invalidate)} at CloudFront distribution "
        f"{distribution}, once a deployment, and wait for it"
    )
    return (
        PlainStep(
            "invalidate",
            says,
            None,
            {"deployment": state.primary.id if state.primary else state.name},
        ),
    )


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
