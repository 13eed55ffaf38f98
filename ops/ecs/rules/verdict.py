"""How a roll-out stands (pure): its verdict, or the phase that it is in, from what has been seen of
*our deployment's id*.

Stable is not deployed: a completed rollback looks as stable as a success, so nothing here asks
whether the service is stable. `rolloutState` becomes FAILED only with the circuit breaker on;
without it, the stopped tasks that our deployment started tell. Slow start is no failure: a task
that runs and is not healthy yet is waited for until ECS stops it, or the time is up.

What earlier answers showed and later ones no longer do (ECS drops a failed deployment once its
rollback is done) is folded into `History`."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, replace

from ops.aws.facts import Deployment, Event, ServiceState, TaskState
from ops.core.findings import Verdict
from ops.ecs.rules.stop_diagnosis import StopCause, find_cause

_APPEARS_S = (
    12.0  # ECS is eventually consistent: a deployment may be missing from the first answers
)
# with rollback on, ECS starts it within seconds of FAILED; without a completed deployment to go to,
# never
_ROLLS_BACK_S = 60.0
_GONE_AFTER = 2  # consecutive answers without the service; one may be odd
SETTLE_S = 30.0  # how long the tasks of a service without target group must run after the roll-out
_SHIFTED = frozenset(
    {"PRODUCTION_TRAFFIC_SHIFT", "POST_PRODUCTION_TRAFFIC_SHIFT", "BAKE_TIME", "CLEAN_UP"}
)
_ROLLING_BACK = re.compile(r"roll(?:ing|ed)[ -]?back", re.IGNORECASE)
_NAMED = re.compile(r"rolling back to deployment(?:Id)? \(?(?P<id>ecs-svc/\w+)", re.IGNORECASE)


@dataclass(frozen=True)
class RolloutHistory:
    """What has been seen so far: our deployment as last seen, and when (seconds); when it first was
    FAILED; the id of its rollback.

    `missing`: consecutive answers, up to the last one, that did not have the service.
    """

    ours: Deployment | None = None
    seen_at: float = 0.0
    failed_at: float | None = None
    rollback: str | None = None
    missing: int = 0


@dataclass(frozen=True)
class Observation:
    """One look: seconds since the watch began, the service (None: ECS knows none of that name), and
    all stopped tasks of ours so far.

    `stage`: the lifecycleStage of the service deployment, empty where it was not read.
    """

    at: float
    service: ServiceState | None
    stopped: tuple[TaskState, ...] = ()
    history: RolloutHistory = RolloutHistory()
    container: str | None = None
    stage: str = ""


@dataclass(frozen=True)
class Settling:
    """A completed deployment that no target group checks: since when (seconds) these tasks run, and
    the stops known by then.
    """

    since: float
    tasks: frozenset[str]
    stopped: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Decision:
    """A verdict, or None while it goes on; `phase` is one word or two for the table, `why` a
    sentence.

    `baking`: all new tasks run, and ECS only waits for its bake time.
    """

    verdict: Verdict | None
    phase: str
    why: str = ""
    baking: bool = False


def remember(
    history: RolloutHistory, service: ServiceState | None, id: str, at: float
) -> RolloutHistory:
    """`history` with one more answer folded in."""
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
    """ECS says it in an event too, which stays when the deployment is no longer listed."""
    return any(f"deployment {id}) deployment failed" in event.message for event in service.events)


def _rollback_of(history: RolloutHistory, service: ServiceState, id: str) -> str | None:
    """The id of the deployment by which ECS takes ours back: its reason or an event says so, or it
    is an older one in front again.
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
    came_back = _older(primary, ours) and (
        service.deployment(id) is not None or history.failed_at is not None
    )
    return primary.id if came_back else None  # UpdateService always makes a newer one


def _older(one: Deployment, other: Deployment) -> bool:
    return bool(one.created_at and other.created_at and one.created_at < other.created_at)


def _after(event: Event, ours: Deployment) -> bool:
    return not (event.at and ours.created_at) or event.at >= ours.created_at


def _older_than_known(
    primary: Deployment, ours: Deployment, service: ServiceState, id: str
) -> bool:
    """An answer from before our deployment, whose PRIMARY was itself a rollback of something
    earlier.
    """
    return (
        _older(primary, ours) and service.deployment(id) is None and ours.rollout_state != "FAILED"
    )


def decide(
    sight: Observation,
    deployment_id: str,
    *,
    timeout_s: float,
    patient: bool = False,
    bounded: bool = False,
) -> Decision:
    """The verdict on our deployment. `patient`: where the service's own circuit breaker rolls back,
    leave failing tasks to it.

    `bounded`: `timeout_s` includes the bake time; otherwise a bake time comes on top of it.
    """
    decision = _terminal_decision(sight, deployment_id, patient)
    limit = deadline(sight, deployment_id, timeout_s, bounded=bounded)
    if decision.verdict is None and sight.at >= limit:
        why = f"{limit:g} s passed: {decision.phase}; {_counts(sight, deployment_id)}"
        return Decision(Verdict.TIMED_OUT, decision.phase, why, baking(sight, deployment_id))
    return decision


def deadline(sight: Observation, id: str, timeout_s: float, *, bounded: bool = False) -> float:
    """When the watch times out, in seconds since it began: `timeout_s`, later while the deployment
    bakes as configured.
    """
    if bounded or sight.service is None or not baking(sight, id):
        return timeout_s
    return timeout_s + sight.service.bake_s


def baking(sight: Observation, id: str) -> bool:
    """Whether all our tasks run and ECS shifts production traffic to them or bakes them (not
    ROLLING).

    Where the stage could not be read the task counts alone tell: what may carry all traffic is not
    taken back."""
    ours = sight.service.deployment(id) if sight.service else None
    if sight.service is None or ours is None or sight.service.strategy == "ROLLING":
        return False
    if (
        ours.rollout_state not in (None, "IN_PROGRESS")
        or not ours.running >= ours.desired > 0
        or ours.pending
    ):
        return False
    return not sight.stage or sight.stage in _SHIFTED


def _terminal_decision(sight: Observation, id: str, patient: bool) -> Decision:
    service, history = sight.service, sight.history
    if service is None and history.missing < _GONE_AFTER:
        return Decision(None, "waiting for ECS")
    if service is None or service.status in ("INACTIVE", "DRAINING"):
        return Decision(
            Verdict.FAILED,
            "gone",
            "ECS knows no such service any more"
            if service is None
            else "the service is being deleted",
        )
    if history.rollback:
        return _rolling_back(service, history)
    ours, primary = service.deployment(id), service.primary
    if primary and primary.id != id and (ours or history.ours or sight.at >= _APPEARS_S):
        return _superseded_decision(sight, ours, primary)
    if ours is None:
        return _missing(sight)
    if _completed(ours, service):
        nothing = "; its desired count is 0, so nothing runs" if service.desired == 0 else ""
        return Decision(
            Verdict.SUCCEEDED, "completed", f"{ours.running} of {ours.desired} tasks run{nothing}"
        )
    if ours.rollout_state == "FAILED":
        return _failed(sight, ours, service)
    return _in_progress_decision(sight, ours, service, patient)


def _superseded_decision(
    sight: Observation, ours: Deployment | None, primary: Deployment
) -> Decision:
    """Another deployment is in front. An answer older than our deployment (it is not in it) is
    waited out.
    """
    target = primary.task_definition.rsplit("/", 1)[-1]
    last = sight.history.ours
    if ours is None and last and _older(primary, last):
        if sight.at - sight.history.seen_at < _APPEARS_S:
            return Decision(None, "waiting for ECS")
        why = (
            f"ours is no longer listed; the earlier deployment {primary.id} to {target} is in "
            f"front again"
        )
        return Decision(Verdict.ROLLED_BACK, "rolled back", why)
    return Decision(
        Verdict.SUPERSEDED, "superseded", f"deployment {primary.id} took over, to {target}"
    )


def _missing(sight: Observation) -> Decision:
    if sight.history.ours is not None and sight.at - sight.history.seen_at < _APPEARS_S:
        return Decision(None, "waiting for ECS")
    if sight.history.ours is not None:
        return Decision(
            Verdict.SUPERSEDED,
            "superseded",
            "our deployment is no longer listed, and no other is PRIMARY",
        )
    if sight.at >= _APPEARS_S:
        return Decision(Verdict.FAILED, "gone", "ECS never listed our deployment")
    return Decision(None, "waiting for ECS")


def _completed(ours: Deployment, service: ServiceState) -> bool:
    """By `rolloutState`; where ECS keeps none, all of the service's tasks run and no other
    deployment is left.
    """
    if ours.rollout_state is not None:
        return ours.rollout_state == "COMPLETED"
    return (
        len(service.deployments) == 1
        and ours.pending == 0
        and ours.running == ours.desired == service.desired
    )


def _failed(sight: Observation, ours: Deployment, service: ServiceState) -> Decision:
    """ECS said FAILED (by its breaker or an alarm); where it rolls back, that is waited for, though
    not for ever.
    """
    waited = sight.at - (
        sight.history.failed_at if sight.history.failed_at is not None else sight.at
    )
    if service.rolls_back and waited < _ROLLS_BACK_S:
        return Decision(None, "failed, rollback expected", ours.rollout_reason)
    kept = (
        ""
        if not service.rolls_back
        else "; ECS began no rollback (it needs an earlier completed deployment)"
    )
    return Decision(
        Verdict.FAILED, "failed", (ours.rollout_reason or "rolloutState is FAILED") + kept
    )


def _rolling_back(service: ServiceState, history: RolloutHistory) -> Decision:
    """Our deployment failed and ECS takes it back: followed to that deployment's own end, which is
    never a success of ours.
    """
    reason = (history.ours.rollout_reason if history.ours else "") or "our deployment failed"
    back, primary = service.deployment(str(history.rollback)), service.primary
    if primary and primary.id != history.rollback:
        why = f"deployment {primary.id} took over from ECS's rollback; ours had failed: {reason}"
        return Decision(Verdict.SUPERSEDED, "superseded", why)
    if primary is None:
        return Decision(None, "waiting for ECS", reason)
    if back is None:
        return Decision(
            Verdict.FAILED, "rollback lost", f"{reason}; the rollback is no longer listed"
        )
    target = back.task_definition.rsplit("/", 1)[-1]
    if _completed(back, service):
        return Decision(Verdict.ROLLED_BACK, "rolled back", f"{reason}; ECS went back to {target}")
    if back.rollout_state == "FAILED":
        return Decision(
            Verdict.FAILED,
            "rollback failed",
            f"{reason}; ECS's rollback to {target} failed too: {back.rollout_reason}",
        )
    return Decision(None, "rolling back", f"{reason}; ECS goes back to {target}")


def _in_progress_decision(
    sight: Observation, ours: Deployment, service: ServiceState, patient: bool
) -> Decision:
    """In progress: doomed by a final cause, by a cause that came twice, or simply under way."""
    doom = _failure_reason(sight)
    if doom and not (patient and service.breaker and service.breaker_rollback):
        return Decision(Verdict.FAILED, "failed", doom)
    if doom:
        return Decision(None, "failing, ECS will roll back", doom)
    if any(find_cause(task, sight.container).failure for task in sight.stopped):
        return Decision(None, "a task stopped, retried")
    if ours.running < ours.desired or ours.pending:
        return Decision(None, "starting tasks")
    if baking(sight, ours.id):
        return Decision(
            None, "baking" if sight.stage in ("", "BAKE_TIME") else _stage_words(sight.stage)
        )
    if service.strategy != "ROLLING" and sight.stage:
        return Decision(None, _stage_words(sight.stage))
    others = [each for each in service.deployments if each.id != ours.id and each.running]
    if any(each.desired for each in others):
        return Decision(None, "waiting to be healthy")
    return Decision(None, "draining old tasks" if others else "settling")


def _stage_words(stage: str) -> str:
    """`PRODUCTION_TRAFFIC_SHIFT` as `production traffic shift`."""
    return stage.lower().replace("_", " ")


def unchecked(service: ServiceState, id: str) -> bool:
    """Whether no target group checks the tasks of deployment `id`, so that only their lasting shows
    that they are healthy.
    """
    ours = service.deployment(id)
    return ours is not None and ours.desired > 0 and not service.load_balancers


def settle(settling: Settling, sight: Observation, settle_s: float) -> Decision:
    """Whether a task of ours failed since the roll-out completed; no verdict while the tasks have
    not run for `settle_s`.
    """
    for task in sorted(
        sight.stopped, key=lambda task: task.stopped_at.timestamp() if task.stopped_at else 0.0
    ):
        why = find_cause(task, sight.container)
        if task.arn not in settling.stopped and why.failure:
            said = (
                f"task {task.id} stopped within {settle_s:g} s of the completed roll-out: "
                f"{_words(why)}"
            )
            return Decision(Verdict.FAILED, "failed", said)
    if sight.at - settling.since < settle_s:
        return Decision(None, "settling")
    return Decision(Verdict.SUCCEEDED, "completed", f"the same tasks have run for {settle_s:g} s")


def same_tasks(settling: Settling, running: frozenset[str], desired: int) -> bool:
    """Whether the tasks that `settling` began with still run, apart from those that a smaller
    desired count no longer asks for.
    """
    kept = settling.tasks & running
    return bool(settling.tasks) and len(kept) >= min(desired, len(settling.tasks))


def _failure_reason(sight: Observation) -> str:
    """The sentence that ends a roll-out, or nothing: a final cause, or the second stop with the
    same cause.
    """
    seen: defaultdict[tuple[str, str, int | None], list[TaskState]] = defaultdict(list)
    for task in sorted(
        sight.stopped, key=lambda task: task.stopped_at.timestamp() if task.stopped_at else 0.0
    ):
        why = find_cause(task, sight.container)
        if not why.failure:
            continue
        if why.kind == "final":
            return f"task {task.id} stopped, and no retry mends it: {_words(why)}"
        if any(_is_repeat(why, earlier, task) for earlier in seen[why.key]):
            return f"task {task.id} is the second to stop with the same cause: {_words(why)}"
        seen[why.key].append(task)
    return ""


def _is_repeat(why: StopCause, earlier: TaskState, task: TaskState) -> bool:
    """A transient cause counts again only for a task made after the first stop: two tasks hit by
    one blip are one (a network is not).
    """
    if (
        why.kind != "transient"
        or why.code.endswith("-NET")
        or not (earlier.stopped_at and task.created_at)
    ):
        return True
    return task.created_at >= earlier.stopped_at


def _words(why: StopCause) -> str:
    exit_code = f", exit code {why.exit_code}" if why.exit_code is not None else ""
    return f"{why.code or 'unknown reason'}{exit_code}"


def _counts(sight: Observation, id: str) -> str:
    ours = sight.service.deployment(id) if sight.service else None
    return (
        f"{ours.running} of {ours.desired} tasks run, {ours.pending} pending"
        if ours
        else "our deployment is not listed"
    )


def wants_details(previous: ServiceState | None, current: ServiceState | None) -> bool:
    """Whether tasks and targets are worth another look: counts, failures, states or events
    changed.
    """
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
