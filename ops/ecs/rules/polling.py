"""Decide when a watch reads more, and whether the call budget allows it (pure)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime

from ops.aws.facts import Deployment, Event, ServiceState, Target, TaskState
from ops.core.findings import Evidence, Finding
from ops.core.redaction.redact import redact

_CALLS_A_SECOND = 0.5  # on average, over the whole watch
_CALLS_A_POLL = 2.0  # where the configuration asks for more frequent polls
_RESERVED_CALLS = 5.0  # reserved for a stopped task, whose diagnosis then stays in the budget
# extra calls at the start, so that the table shows targets at once; none after _INITIAL_BURST_S
_INITIAL_BURST = 2.0
_INITIAL_BURST_S = 24.0
LONGEST_PAUSE_S = 60.0  # between two polls while AWS does not answer
FAST_POLLS = 3  # polls for a stop that DescribeServices counts and ListTasks does not list yet
MAX_FULL_DIAGNOSES = 2  # of stops with the same cause; later ones get one line
HEARTBEAT_S = 20.0  # target health changes without any change in DescribeServices
TASKS_COST = 2  # ListTasks, DescribeTasks
TARGETS_COST = 1  # DescribeTargetHealth
STAGE_COST = 2  # ListServiceDeployments, DescribeServiceDeployments
WEIGHTS_COST = 1  # DescribeRules
ALARMS_COST = 1  # DescribeAlarms
_TROUBLE = re.compile(r"unable|fail|unhealthy|rolling back|stopped|error", re.IGNORECASE)
_OLD_TASKS = re.compile(
    r"has stopped \d+ running tasks", re.IGNORECASE
)  # draining; our own stops change the counts
_STARTED = re.compile(r"has started \d+ tasks", re.IGNORECASE)
_UNHEALTHY = re.compile(r"is unhealthy in", re.IGNORECASE)


def within_budget(calls: int, *, made: int, elapsed_s: float, poll_s: float = 4.0) -> bool:
    """Whether `calls` more, after `made` in `elapsed_s` seconds, stay within the budget."""
    rate = max(_CALLS_A_SECOND, _CALLS_A_POLL / poll_s) if poll_s else _CALLS_A_SECOND
    head_start = (_RESERVED_CALLS + _INITIAL_BURST) * max(0.0, 1 - elapsed_s / _INITIAL_BURST_S)
    return made + calls <= rate * elapsed_s - _RESERVED_CALLS + head_start + 1


def may_have_stopped_tasks(previous: ServiceState | None, current: ServiceState, id: str) -> bool:
    """Whether this answer may mean that a task of deployment `id` stopped.

    It counts a failure, lost or replaced a task, or an event says so.
    """
    ours, was = current.deployment(id), previous.deployment(id) if previous else None
    if ours is None:
        return False
    if was is None or previous is None:
        return ours.failed > 0 or ours.rollout_state == "FAILED"
    new = _new_messages(previous, current)
    said = any(_TROUBLE.search(text) and not _OLD_TASKS.search(text) for text in new)
    replaced = was.running + was.pending >= was.desired > 0 and any(
        _STARTED.search(text) for text in new
    )
    return said or replaced or _lost_tasks(was, ours)


def _lost_tasks(was: Deployment, ours: Deployment) -> bool:
    turned = ours.rollout_state == "FAILED" != was.rollout_state
    gone = ours.running < was.running or was.pending - ours.pending > max(
        0, ours.running - was.running
    )
    return turned or gone or ours.failed > was.failed


def _new_messages(previous: ServiceState, current: ServiceState) -> list[str]:
    known = {event.id for event in previous.events}
    return [event.message for event in current.events if event.id not in known]


def _oldest_first(events: Iterable[Event]) -> list[Event]:
    """Sort events by time.

    ECS lists the newest first; events of the same moment keep their order.
    """
    newest_last = tuple(events)[::-1]
    return sorted(newest_last, key=lambda event: event.at.timestamp() if event.at else 0.0)


def unseen_events(
    service: ServiceState, since: datetime | None, seen: Iterable[str]
) -> list[Event]:
    """Events from `since` on that were not reported yet, oldest first.

    `since` is in AWS's clock; None means not known yet, and gives no events.
    """
    known = set(seen)
    new = [event for event in _oldest_first(service.events) if event.id not in known]
    return [event for event in new if since and (event.at is None or event.at >= since)]


def health_check_events(service: ServiceState, id: str) -> tuple[str, ...]:
    """ECS's latest events about failed health checks of deployment `id`."""
    ours = service.deployment(id)
    since = ours.created_at if ours else None
    new = [
        event
        for event in _oldest_first(service.events)
        if not (since and event.at and event.at < since)
    ]
    return tuple(event.message for event in new if _UNHEALTHY.search(event.message))[-2:]


def stopped_order(task: TaskState) -> float:
    return task.stopped_at.timestamp() if task.stopped_at else float("inf")


def timeout_finding(
    id: str, why: str, service: ServiceState, targets: Iterable[Target], name: str
) -> Finding:
    """The finding for a deployment that timed out: what it was waiting for."""
    ours = service.deployment(id)
    evidence = []
    if ours:
        counts = (
            f"desired {ours.desired} running {ours.running} pending {ours.pending} failed "
            f"{ours.failed}"
        )
        evidence.append(
            Evidence(
                f"DescribeServices deployments[{id}]",
                f"{ours.status} {ours.rollout_state or ''} {counts}",
            )
        )
    for target in targets:
        if target.state != "healthy":
            said = " ".join(
                part for part in (target.state, target.reason, target.description) if part
            )
            evidence.append(
                Evidence(f"DescribeTargetHealth {target.id}:{target.port}", redact(said))
            )
    evidence += [
        Evidence("DescribeServices events", redact(event.message))
        for event in _oldest_first(service.events)[-3:]
    ]
    return Finding(
        "not_ready_in_time",
        why,
        "certain",
        tuple(evidence),
        (f"inv {name}.status",) if name else (),
    )


def still_baking(why: str, stage: str, name: str) -> Finding:
    """The finding for a deployment that timed out while baking.

    It stays in place; ECS ends it.
    """
    evidence = (
        Evidence("DescribeServiceDeployments lifecycleStage", stage or "could not be read"),
    )
    return Finding(
        "still_baking",
        why,
        "certain",
        evidence,
        (f"inv {name}.deploy", f"inv {name}.status") if name else (),
    )
