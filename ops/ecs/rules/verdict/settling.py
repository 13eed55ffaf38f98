"""Decide whether the tasks of a completed rollout keep running (pure)."""

from __future__ import annotations

from dataclasses import dataclass

from ops.aws.facts import ServiceState
from ops.core.findings import Verdict
from ops.ecs.rules.stop_diagnosis import find_cause
from ops.ecs.rules.verdict.failure import blames_revision, by_stop_time, cause_words
from ops.ecs.rules.verdict.observation import Decision, Observation

_SETTLE_S = 30.0  # how long tasks without a target group must run after the rollout


@dataclass(frozen=True)
class Settling:
    """A completed deployment whose tasks must keep running before it succeeds.

    `since` (seconds): when these tasks were first seen; `stopped`: the stops known by then.
    """

    since: float
    tasks: frozenset[str]
    stopped: frozenset[str] = frozenset()


def settle_time(configured: float | None, service: ServiceState, id: str) -> float:
    """Seconds that the tasks of deployment `id` must run after its rollout completed.

    Without a `configured` time: 30 if no target group checks the tasks, since only running for a
    while shows that they are healthy, else 0.
    """
    ours = service.deployment(id)
    if ours is None or not ours.desired:
        return 0.0
    if configured is not None:
        return configured
    return 0.0 if service.load_balancers else _SETTLE_S


def settle(settling: Settling, observation: Observation, settle_s: float) -> Decision:
    """Fail if a task stopped since the rollout completed, else wait for `settle_s`."""
    for task in by_stop_time(observation.stopped):
        why = find_cause(task, observation.container)
        if task.arn not in settling.stopped and blames_revision(why):
            why_failed = (
                f"task {task.id} stopped within {settle_s:g} s of the completed rollout: "
                f"{cause_words(why)}"
            )
            return Decision(Verdict.FAILED, "failed", why_failed)
    if observation.at - settling.since < settle_s:
        return Decision(None, "settling")
    return Decision(Verdict.SUCCEEDED, "completed", f"the same tasks have run for {settle_s:g} s")


def same_tasks(settling: Settling, running: frozenset[str], desired: int) -> bool:
    """Whether the tasks of `settling` still run.

    Tasks that a smaller desired count removed do not matter.
    """
    kept = settling.tasks & running
    return bool(settling.tasks) and len(kept) >= min(desired, len(settling.tasks))
