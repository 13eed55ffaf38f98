"""The ECS scheduler's next actions for one service: start tasks, stop tasks.

Pure.

Emulates the rolling update: never more than `maximumPercent` of the desired count (rounded down)
running or pending, and never fewer than `minimumHealthyPercent` (rounded up) running and healthy
because of the update; new tasks must be healthy in their target groups before old ones stop. ECS
may start above and stop below the desired count at the same time; here tasks are stopped first only
when none can be started, which is the gentler behaviour that AWS allows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class TaskView:
    """A task with desired status RUNNING.

    `healthy`: RUNNING, and healthy in every target group of the service.
    """

    id: str
    deployment: str
    healthy: bool
    age: float  # seconds


@dataclass(frozen=True)
class ServiceView:
    """The state of one service at one moment."""

    desired: int
    minimum_percent: int
    maximum_percent: int
    primary: str  # id of the PRIMARY deployment
    may_start: bool  # false when the deployment FAILED or a back-off runs
    tasks: tuple[TaskView, ...]


@dataclass(frozen=True)
class Start:
    """Start `count` tasks of the PRIMARY deployment."""

    count: int


@dataclass(frozen=True)
class Stop:
    """Stop these tasks: drain, then SIGTERM."""

    tasks: tuple[str, ...]


Action = Start | Stop


def reconcile(view: ServiceView) -> tuple[Action, ...]:
    """Return the next actions for a service; none if it is complete or must wait."""
    new = [task for task in view.tasks if task.deployment == view.primary]
    old = [task for task in view.tasks if task.deployment != view.primary]
    missing = max(view.desired - len(new), 0)
    room = max(math.floor(view.desired * view.maximum_percent / 100) - len(view.tasks), 0)
    starting = min(missing, room) if view.may_start else 0
    stopping = (
        *_surplus(new, view.desired),
        *_replaced(view, old, cramped=missing > 0 and room == 0 and view.may_start),
    )
    actions: list[Action] = []
    if starting:
        actions.append(Start(starting))
    if stopping:
        actions.append(Stop(stopping))
    return tuple(actions)


def _surplus(new: list[TaskView], desired: int) -> tuple[str, ...]:
    """Return PRIMARY tasks above the desired count: unhealthy ones first, then the oldest."""
    ordered = sorted(new, key=lambda task: (task.healthy, -task.age))
    return tuple(task.id for task in ordered[: max(len(new) - desired, 0)])


def _replaced(view: ServiceView, old: list[TaskView], cramped: bool) -> tuple[str, ...]:
    """Return tasks of former deployments that can stop now.

    Unhealthy ones stop at once, healthy ones as far as the healthy count allows.
    """
    unhealthy = [task.id for task in old if not task.healthy]
    healthy = sorted((task for task in old if task.healthy), key=lambda task: -task.age)
    floor = math.ceil(view.desired * view.minimum_percent / 100) if cramped else view.desired
    spare = sum(task.healthy for task in view.tasks) - floor
    if not view.may_start and not _has_healthy_new(view):
        unhealthy = []  # nothing replaces them: a struggling old task is better than none
    return (*unhealthy, *(task.id for task in healthy[: max(spare, 0)]))


def _has_healthy_new(view: ServiceView) -> bool:
    return any(task.healthy and task.deployment == view.primary for task in view.tasks)
