"""The failed tasks of a service's newest deployment, and its events since it began.

A service that is steady has none: tasks that failed before it recovered explain nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ops.aws.facts import Event, ServiceState, TaskDefinition, TaskState
from ops.core.findings import Evidence
from ops.diagnosis.facts import Incident, ServiceFact, evidence
from ops.ecs.rules.stop_diagnosis import StopCause, find_cause

STEADY = "has reached a steady state"


@dataclass(frozen=True)
class FailedStop:
    """A task that stopped for a reason that is a failure, with all texts that ECS gave."""

    task: TaskState
    cause: StopCause

    @property
    def texts(self) -> tuple[str, ...]:
        found = (self.task.stopped_reason, *(each.reason for each in self.task.containers))
        return tuple(dict.fromkeys(filter(None, found)))

    @property
    def text(self) -> str:
        return "\n".join(self.texts)


def is_unsteady(service: ServiceFact) -> bool:
    """Whether the service lacks tasks, or its newest deployment is not completed."""
    state = service.state
    if not isinstance(state, ServiceState) or state.primary is None:
        return False
    return state.running < state.desired or state.primary.rollout_state in ("IN_PROGRESS", "FAILED")


def failed_stops(service: ServiceFact) -> tuple[FailedStop, ...]:
    """Failed tasks of the newest deployment, newest first; none of a steady service."""
    if not is_unsteady(service):
        return ()
    found = (FailedStop(each, find_cause(each, service.container)) for each in service.recent_stops)
    return tuple(each for each in found if each.cause.failure)


def troubled(incident: Incident) -> Iterator[tuple[ServiceFact, tuple[FailedStop, ...]]]:
    """The services with failed stops."""
    for service in incident.services:
        if found := failed_stops(service):
            yield service, found


def recent_events(service: ServiceFact) -> tuple[Event, ...]:
    """Events since the newest deployment began, back to the last steady state, newest first."""
    if not is_unsteady(service) or not isinstance(service.state, ServiceState):
        return ()
    primary = service.state.primary
    began = primary.created_at if primary else None
    found = []
    for event in service.events:
        if STEADY in event.message or _is_before(event.at, began):
            break
        found.append(event)
    return tuple(found)


def _is_before(one: datetime | None, other: datetime | None) -> bool:
    return one is not None and other is not None and one < other


def definition(service: ServiceFact) -> TaskDefinition | None:
    """The newest deployment's task definition, if it is known."""
    found = service.revision
    return found if isinstance(found, TaskDefinition) else None


def stop_evidence(stop: FailedStop) -> Evidence:
    """The task's stoppedReason, or the reason of a container."""
    at = stop.task.stopped_at.isoformat() if stop.task.stopped_at else ""
    text = next(iter(stop.texts), stop.task.stop_code or "no reason")
    return Evidence("DescribeTasks stoppedReason", text, at)


def event_evidence(event: Event) -> Evidence:
    return Evidence(
        "DescribeServices events", event.message, event.at.isoformat() if event.at else ""
    )


def place(service: ServiceFact) -> Mapping[str, Any]:
    """The network configuration of the service's tasks (`awsvpcConfiguration`)."""
    found = service.raw.get("networkConfiguration") or {}
    placed: Mapping[str, Any] = found.get("awsvpcConfiguration") or {}
    return placed


def role_evidence(role: str, *texts: object) -> Evidence:
    return evidence(f"GetRole {role.rpartition('/')[2]}", *texts)
