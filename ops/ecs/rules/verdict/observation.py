"""What the polls of a rollout show, and what is remembered of earlier ones (pure).

Facts that later answers drop (ECS no longer lists a failed deployment once its rollback is done)
are kept in `RolloutHistory`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from ops.aws.facts import Deployment, Event, ServiceState, TaskState
from ops.core.findings import Verdict

_ROLLING_BACK = re.compile(r"roll(?:ing|ed)[ -]?back", re.IGNORECASE)
_NAMED = re.compile(r"rolling back to deployment(?:Id)? \(?(?P<id>ecs-svc/\w+)", re.IGNORECASE)


@dataclass(frozen=True)
class RolloutHistory:
    """What earlier polls showed of our deployment.

    `ours`: as last seen, at `seen_at` (seconds); `failed_at`: when it first was FAILED;
    `rollback`: the id of its rollback.

    `missing`: consecutive answers, up to the last one, without the service.
    """

    ours: Deployment | None = None
    seen_at: float = 0.0
    failed_at: float | None = None
    rollback: str | None = None
    missing: int = 0


@dataclass(frozen=True)
class Observation:
    """One poll: seconds since the watch began, the service, and our stopped tasks so far.

    `service` is None if ECS has no service of that name.

    `stage`: the lifecycleStage of the service deployment, empty if it was not read.
    """

    at: float
    service: ServiceState | None
    stopped: tuple[TaskState, ...] = ()
    history: RolloutHistory = RolloutHistory()
    container: str | None = None
    stage: str = ""


@dataclass(frozen=True)
class Decision:
    """A verdict, or None while in progress.

    `phase` is one word or two for the table, `why` a sentence.

    `baking`: all new tasks run, and ECS only waits for its bake time.
    """

    verdict: Verdict | None
    phase: str
    why: str = ""
    baking: bool = False


def remember(
    history: RolloutHistory, service: ServiceState | None, id: str, at: float
) -> RolloutHistory:
    """Add one more answer to `history`."""
    if service is None:
        return replace(history, missing=history.missing + 1)
    history = replace(history, missing=0)
    now = service.deployment(id)
    ours = now or history.ours
    failed_at = history.failed_at
    if (
        failed_at is None
        and ours
        and (ours.rollout_state == "FAILED" or _event_says_failed(service, id))
    ):
        failed_at = at
    history = replace(
        history, ours=ours, seen_at=at if now else history.seen_at, failed_at=failed_at
    )
    return replace(history, rollback=history.rollback or _rollback_of(history, service, id))


def _event_says_failed(service: ServiceState, id: str) -> bool:
    """Whether an event reports the failure.

    It stays when the deployment is no longer listed.
    """
    return any(f"deployment {id}) deployment failed" in event.message for event in service.events)


def _rollback_of(history: RolloutHistory, service: ServiceState, id: str) -> str | None:
    """The id of the deployment by which ECS rolls ours back, or None.

    Its reason or an event says so, or it is an older deployment that is PRIMARY again.
    """
    ours, primary = history.ours, service.primary
    if primary is None or primary.id == id or ours is None:
        return None
    if _ROLLING_BACK.search(primary.rollout_reason) and not _older_than_known(
        primary, ours, service, id
    ):
        return primary.id
    if any(
        (named := _NAMED.search(event.message))
        and named["id"] == primary.id
        and _after(event, ours)
        for event in service.events
    ):
        return primary.id
    came_back = older(primary, ours) and (
        service.deployment(id) is not None or history.failed_at is not None
    )
    return primary.id if came_back else None  # UpdateService always makes a newer one


def older(one: Deployment, other: Deployment) -> bool:
    """Whether `one` was created before `other`; False if either time is unknown."""
    return bool(one.created_at and other.created_at and one.created_at < other.created_at)


def _after(event: Event, ours: Deployment) -> bool:
    return not (event.at and ours.created_at) or event.at >= ours.created_at


def _older_than_known(
    primary: Deployment, ours: Deployment, service: ServiceState, id: str
) -> bool:
    """Whether the answer predates our deployment.

    Its PRIMARY was itself a rollback of an earlier one.
    """
    return (
        older(primary, ours) and service.deployment(id) is None and ours.rollout_state != "FAILED"
    )


def wants_details(previous: ServiceState | None, current: ServiceState | None) -> bool:
    """Whether counts, failures, states or events changed since the previous answer."""
    return _fingerprint(previous) != _fingerprint(current)


def _fingerprint(service: ServiceState | None) -> object:
    if service is None:
        return None
    deployments = tuple(
        (
            each.id,
            each.status,
            each.desired,
            each.running,
            each.pending,
            each.failed,
            each.rollout_state,
        )
        for each in service.deployments
    )
    return (
        service.status,
        service.desired,
        service.running,
        service.pending,
        deployments,
        frozenset(event.id for event in service.events),
    )
