"""Decide whether a service runs the desired count that was set (pure).

A new desired count starts no deployment: ECS adds tasks to the PRIMARY deployment, or stops some.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from ops.aws.facts import ServiceState, Target
from ops.core.findings import Verdict
from ops.core.text import format_count
from ops.ecs.rules.verdict.failure import failure_reason
from ops.ecs.rules.verdict.observation import Decision, Observation
from ops.ecs.rules.verdict.rollout import APPEARS_S, GONE_AFTER


def decide_count(
    observation: Observation,
    id: str,
    count: int,
    targets: Iterable[Target] | None,
    *,
    timeout_s: float,
) -> Decision:
    """The verdict on a count that was set on the PRIMARY deployment `id`, or the current phase.

    `targets`: of all target groups; None if they could not be read.
    """
    decision = _decide(observation, id, count, targets)
    if decision.verdict is None and observation.at >= timeout_s:
        state = observation.service
        counts = f"; {state.running} of {count} tasks run" if state else ""
        why = f"{timeout_s:g} s passed: {decision.phase}{counts}"
        return Decision(Verdict.TIMED_OUT, decision.phase, why)
    return decision


def _decide(
    observation: Observation, id: str, count: int, targets: Iterable[Target] | None
) -> Decision:
    state = observation.service
    if state is None:
        if observation.history.missing < GONE_AFTER:
            return Decision(None, "waiting for ECS")
        return Decision(Verdict.FAILED, "gone", "ECS knows no such service any more")
    if state.status != "ACTIVE":
        return Decision(Verdict.FAILED, "gone", f"the service is {state.status}")
    primary = state.primary
    if primary is None or primary.id != id:
        other = primary.id if primary else "none"
        why = f"another deployment is PRIMARY now: {other}"
        return Decision(Verdict.SUPERSEDED, "superseded", why)
    if state.desired != count:
        if observation.at < APPEARS_S:
            return Decision(None, "waiting for ECS")
        why = f"the desired count is {state.desired} now; something else has set it"
        return Decision(Verdict.SUPERSEDED, "superseded", why)
    if reason := failure_reason(observation):
        return Decision(Verdict.FAILED, "failed", reason)
    return _progress(state, count, targets)


def _progress(state: ServiceState, count: int, targets: Iterable[Target] | None) -> Decision:
    if state.running < count or (state.pending and state.running <= count):
        return Decision(None, "starting tasks")
    if state.running > count:
        return Decision(None, "stopping tasks")
    why = f"{state.running} of {count} tasks run"
    if not count or not state.load_balancers:
        return Decision(Verdict.SUCCEEDED, "completed", why)
    if targets is None:
        why += "; whether their targets are healthy is unknown"
        return Decision(Verdict.SUCCEEDED, "completed", why)
    healthy = _healthy(targets)
    if healthy < count:
        return Decision(None, "waiting to be healthy")
    return Decision(
        Verdict.SUCCEEDED, "completed", f"{why}, {format_count(healthy, 'target')} healthy"
    )


def _healthy(targets: Iterable[Target]) -> int:
    """Number of targets that are healthy in each of the target groups that list them."""
    states: defaultdict[tuple[str, int], set[str]] = defaultdict(set)
    for target in targets:
        states[target.id, target.port].add(target.state)
    return sum(found == {"healthy"} for found in states.values())
