"""Decide from its stopped tasks whether a rollout fails (pure).

`rolloutState` becomes FAILED only with the circuit breaker on; without it, these tasks decide.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from ops.aws.facts import TaskState
from ops.ecs.rules.stop_diagnosis import StopCause, find_cause
from ops.ecs.rules.verdict.observation import Observation


def failure_reason(observation: Observation) -> str:
    """Why the rollout fails, or an empty string.

    A final cause, or the second stop with the same cause; stops for lack of capacity never are.
    """
    seen: defaultdict[tuple[str, str, int | None], list[TaskState]] = defaultdict(list)
    for task in by_stop_time(observation.stopped):
        why = find_cause(task, observation.container)
        if not blames_revision(why):
            continue
        if why.kind == "final":
            return f"task {task.id} stopped, and a retry can't help: {cause_words(why)}"
        if any(_is_repeat(why, earlier, task) for earlier in seen[why.key]):
            return f"task {task.id} is the second to stop with the same cause: {cause_words(why)}"
        seen[why.key].append(task)
    return ""


def by_stop_time(tasks: Iterable[TaskState]) -> list[TaskState]:
    """The tasks by when they stopped; those whose time is unknown come first."""
    return sorted(tasks, key=lambda task: task.stopped_at.timestamp() if task.stopped_at else 0.0)


def blames_revision(why: StopCause) -> bool:
    """Whether a stop may be the revision's fault, so that an earlier one would not meet it."""
    return why.failure and not why.reason.capacity


def _is_repeat(why: StopCause, earlier: TaskState, task: TaskState) -> bool:
    """Whether a stop repeats an earlier one.

    A transient cause counts again only for a task created after the first stop: two tasks hit
    by one short outage count once (network failures always count).
    """
    if (
        why.kind != "transient"
        or why.reason.network
        or not (earlier.stopped_at and task.created_at)
    ):
        return True
    return task.created_at >= earlier.stopped_at


def cause_words(why: StopCause) -> str:
    """`OutOfMemoryError, exit code 137`."""
    exit_code = f", exit code {why.exit_code}" if why.exit_code is not None else ""
    return f"{why.code or 'unknown reason'}{exit_code}"
