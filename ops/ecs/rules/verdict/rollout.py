"""Decide the verdict or phase of a rollout from observations of our deployment (pure).

Stable is not deployed: a completed rollback looks as stable as a success, so nothing here asks
whether the service is stable. Slow start is no failure: a running task that is not healthy yet is
waited for until ECS stops it or the time is up.
"""

from __future__ import annotations

from ops.aws.facts import Deployment, ServiceState, TaskDefinitionArn
from ops.core.findings import Verdict
from ops.ecs.rules.stop_diagnosis import find_cause
from ops.ecs.rules.verdict.failure import blames_revision, failure_reason
from ops.ecs.rules.verdict.observation import Decision, Observation, RolloutHistory, older

APPEARS_S = 12.0  # ECS is eventually consistent: a deployment may be missing from the first answers
# with rollback on, ECS starts it within seconds of FAILED, or never if no deployment has completed
_ROLLS_BACK_S = 60.0
GONE_AFTER = 2  # consecutive answers without the service; a single one may be wrong
# lifecycle stages without production traffic; one that is not known here may have it
_BEFORE_SHIFT = frozenset(
    {
        "RECONCILE_SERVICE",
        "PRE_SCALE_UP",
        "SCALE_UP",
        "POST_SCALE_UP",
        "TEST_TRAFFIC_SHIFT",
        "POST_TEST_TRAFFIC_SHIFT",
        "PRE_PRODUCTION_TRAFFIC_SHIFT",
    }
)
_KNOWN_STATES = (None, "IN_PROGRESS", "COMPLETED", "FAILED")


def decide(
    observation: Observation,
    deployment_id: str,
    *,
    timeout_s: float,
    leave_to_circuit_breaker: bool = False,
    timeout_includes_bake: bool = False,
) -> Decision:
    """The verdict on our deployment, or the phase it is in.

    `leave_to_circuit_breaker`: if the service's own circuit breaker rolls back, leave failing
    tasks to it. `timeout_includes_bake`: `timeout_s` includes the bake time; otherwise the bake
    time is added to it.
    """
    decision = _terminal_decision(observation, deployment_id, leave_to_circuit_breaker)
    limit = deadline(
        observation, deployment_id, timeout_s, timeout_includes_bake=timeout_includes_bake
    )
    if decision.verdict is None and observation.at >= limit:
        phase = f"{decision.phase} ({decision.why})" if decision.why else decision.phase
        why = f"{limit:g} s passed: {phase}; {_counts(observation, deployment_id)}"
        return Decision(Verdict.TIMED_OUT, decision.phase, why, baking(observation, deployment_id))
    return decision


def deadline(
    observation: Observation, id: str, timeout_s: float, *, timeout_includes_bake: bool = False
) -> float:
    """Seconds after which the watch times out.

    `timeout_s`, later while the deployment bakes as configured.
    """
    if timeout_includes_bake or observation.service is None or not baking(observation, id):
        return timeout_s
    return timeout_s + observation.service.bake_s


def baking(observation: Observation, id: str) -> bool:
    """Whether all our tasks run while ECS shifts traffic to them or bakes them (not ROLLING).

    If the stage could not be read, the task counts alone decide: a deployment that may carry
    all traffic is not rolled back.
    """
    ours = observation.service.deployment(id) if observation.service else None
    if observation.service is None or ours is None or observation.service.strategy == "ROLLING":
        return False
    if (
        ours.rollout_state in ("COMPLETED", "FAILED")
        or not ours.running >= ours.desired > 0
        or ours.pending
    ):
        return False
    return observation.stage not in _BEFORE_SHIFT


def _terminal_decision(
    observation: Observation, id: str, leave_to_circuit_breaker: bool
) -> Decision:
    service, history = observation.service, observation.history
    if service is None and history.missing < GONE_AFTER:
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
    if primary and primary.id != id and (ours or history.ours or observation.at >= APPEARS_S):
        return _superseded_decision(observation, ours, primary)
    if ours is None:
        return _missing(observation)
    if _completed(ours, service):
        nothing = "; its desired count is 0, so nothing runs" if service.desired == 0 else ""
        return Decision(
            Verdict.SUCCEEDED, "completed", f"{ours.running} of {ours.desired} tasks run{nothing}"
        )
    if ours.rollout_state == "FAILED":
        return _failed(observation, ours, service)
    return _in_progress_decision(observation, ours, service, leave_to_circuit_breaker)


def _superseded_decision(
    observation: Observation, ours: Deployment | None, primary: Deployment
) -> Decision:
    """The decision when another deployment is PRIMARY.

    An answer that predates our deployment is waited out.
    """
    target = TaskDefinitionArn(primary.task_definition).label
    last = observation.history.ours
    if ours is None and last and older(primary, last):
        if observation.at - observation.history.seen_at < APPEARS_S:
            return Decision(None, "waiting for ECS")
        why = (
            f"ours is no longer listed; the earlier deployment {primary.id} to {target} is in "
            f"front again"
        )
        return Decision(Verdict.ROLLED_BACK, "rolled back", why)
    return Decision(
        Verdict.SUPERSEDED, "superseded", f"deployment {primary.id} took over, to {target}"
    )


def _missing(observation: Observation) -> Decision:
    if (
        observation.history.ours is not None
        and observation.at - observation.history.seen_at < APPEARS_S
    ):
        return Decision(None, "waiting for ECS")
    if observation.history.ours is not None:
        return Decision(
            Verdict.SUPERSEDED,
            "superseded",
            "our deployment is no longer listed, and no other is PRIMARY",
        )
    if observation.at >= APPEARS_S:
        return Decision(Verdict.FAILED, "gone", "ECS never listed our deployment")
    return Decision(None, "waiting for ECS")


def _completed(ours: Deployment, service: ServiceState) -> bool:
    """Whether the rollout is completed.

    By `rolloutState`; for services without one, all of the service's tasks run and no other
    deployment is left.
    """
    if ours.rollout_state is not None:
        return ours.rollout_state == "COMPLETED"
    return (
        len(service.deployments) == 1
        and ours.pending == 0
        and ours.running == ours.desired == service.desired
    )


def _failed(observation: Observation, ours: Deployment, service: ServiceState) -> Decision:
    """The decision after FAILED (by circuit breaker or alarm).

    If ECS rolls back, wait for that for a limited time.
    """
    waited = observation.at - (
        observation.history.failed_at
        if observation.history.failed_at is not None
        else observation.at
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
    """The decision while ECS rolls our deployment back.

    The rollback is followed to its end, which is never a success of ours.
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
    target = TaskDefinitionArn(back.task_definition).label
    if _completed(back, service):
        return Decision(Verdict.ROLLED_BACK, "rolled back", f"{reason}; ECS went back to {target}")
    if back.rollout_state == "FAILED":
        return Decision(
            Verdict.FAILED,
            "rollback failed",
            f"{reason}; ECS's rollback to {target} failed too: {back.rollout_reason}",
        )
    return Decision(None, "rolling back", f"{reason}; ECS rolls back to {target}")


def _in_progress_decision(
    observation: Observation,
    ours: Deployment,
    service: ServiceState,
    leave_to_circuit_breaker: bool,
) -> Decision:
    """The decision while in progress: a failure reason, or the current phase."""
    doom = failure_reason(observation)
    if doom and not (leave_to_circuit_breaker and service.breaker and service.breaker_rollback):
        return Decision(Verdict.FAILED, "failed", doom)
    if doom:
        return Decision(None, "failing, ECS will roll back", doom)
    causes = [find_cause(task, observation.container) for task in observation.stopped]
    if any(blames_revision(cause) for cause in causes):
        return Decision(None, "a task stopped, retried")
    if ours.running < ours.desired and (lacking := [each for each in causes if each.failure]):
        return Decision(None, "waiting for capacity", lacking[-1].reason.says)
    if ours.running < ours.desired or ours.pending:
        return Decision(None, "starting tasks")
    if baking(observation, ours.id):
        return Decision(
            None,
            "baking" if observation.stage in ("", "BAKE_TIME") else _stage_words(observation.stage),
        )
    if service.strategy != "ROLLING" and observation.stage:
        return Decision(None, _stage_words(observation.stage))
    if ours.rollout_state not in _KNOWN_STATES:
        return Decision(None, f"rollout state {ours.rollout_state}")
    others = [each for each in service.deployments if each.id != ours.id and each.running]
    if any(each.desired for each in others):
        return Decision(None, "waiting to be healthy")
    return Decision(None, "draining old tasks" if others else "settling")


def _stage_words(stage: str) -> str:
    """`PRODUCTION_TRAFFIC_SHIFT` as `production traffic shift`."""
    return stage.lower().replace("_", " ")


def _counts(observation: Observation, id: str) -> str:
    ours = observation.service.deployment(id) if observation.service else None
    return (
        f"{ours.running} of {ours.desired} tasks run, {ours.pending} pending"
        if ours
        else "our deployment is not listed"
    )
