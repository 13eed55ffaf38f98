"""Facts of an incident, as the rules see them: read from a snapshot's JSON documents.

A fact that could not be read is `Unknown`. Nothing follows from an unknown fact.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from ops.aws.facts import (
    Event,
    ServiceState,
    ServiceUpdate,
    Target,
    TargetGroup,
    TaskDefinition,
    TaskState,
)
from ops.core.findings import Evidence, Finding, Unknown


@dataclass(frozen=True)
class CheckFact:
    """A check of the sweep (`ops.health.model.Check`), with the label of what explains it."""

    group: str
    kind: str
    name: str
    status: str
    detail: str
    subject: str = ""
    layer: str = ""
    service: str = ""
    finding: Finding | None = None
    explained_by: str = ""

    @property
    def label(self) -> str:
        return f"{self.group} · {self.name}"


@dataclass(frozen=True)
class GroupFact:
    """A target group of a service, with its targets; `raw` as DescribeTargetGroups returned it."""

    group: TargetGroup
    targets: tuple[Target, ...] | Unknown
    port: int
    container: str
    raw: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ServiceFact:
    """A configured service.

    `revision` is the task definition of the newest deployment; `previous` is that of the newest
    release that succeeded, or of an older deployment that completed. `stopped` includes tasks that
    ECS has forgotten, if they were recorded on this machine. `logs`: task id → the last lines of
    the container that ended, or of ours. `updates` are the calls that deployed it, newest first.
    `raw` is the service as DescribeServices returned it.
    """

    name: str
    ecs_service: str
    container: str
    state: ServiceState | Unknown | None
    revision: TaskDefinition | Unknown | None = None
    previous: TaskDefinition | None = None
    running: tuple[TaskState, ...] | Unknown = ()
    stopped: tuple[TaskState, ...] | Unknown = ()
    groups: tuple[GroupFact, ...] | Unknown = ()
    logs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    updates: tuple[ServiceUpdate, ...] = ()
    raw: Mapping[str, Any] = field(default_factory=dict)

    @property
    def rollback(self) -> tuple[str, ...]:
        """The command that rolls the service back to `previous`; empty if that is not known."""
        return (f"inv {self.name}.rollback --to {self.previous.label}",) if self.previous else ()

    @property
    def events(self) -> tuple[Event, ...]:
        return self.state.events if isinstance(self.state, ServiceState) else ()

    @property
    def stopped_tasks(self) -> tuple[TaskState, ...]:
        """Stopped tasks, newest first; empty if they are unknown."""
        found = () if isinstance(self.stopped, Unknown) else self.stopped
        return tuple(sorted(found, key=_created, reverse=True))

    @property
    def recent_stops(self) -> tuple[TaskState, ...]:
        """Stopped tasks of the newest deployment, newest first."""
        state = self.state
        if not isinstance(state, ServiceState) or state.primary is None:
            return ()
        return tuple(task for task in self.stopped_tasks if task.started_by == state.primary.id)

    @property
    def target_groups(self) -> tuple[GroupFact, ...]:
        return () if isinstance(self.groups, Unknown) else self.groups


def _created(task: TaskState) -> float:
    return task.created_at.timestamp() if task.created_at else 0.0


@dataclass(frozen=True)
class Incident:
    """All facts of one snapshot.

    `subject` holds names from the configuration. `aws` is the AWS command line with the
    environment's options, for commands that none of our tasks replaces. `contents`: document key →
    its JSON; use `content` and `unknown`.
    """

    environment: str
    at: datetime
    subject: Mapping[str, Any]
    services: tuple[ServiceFact, ...]
    checks: tuple[CheckFact, ...]
    contents: Mapping[str, Any]
    problems: Mapping[str, Unknown]
    aws: str = "aws"

    def content(self, key: str) -> Any:
        """The JSON of a document, or None if it was not collected or could not be read."""
        return self.contents.get(key)

    def unknown(self, key: str) -> Unknown | None:
        """Why a document could not be read; None if it was read or never asked for."""
        return self.problems.get(key)

    def service(self, name: str) -> ServiceFact | None:
        return next((each for each in self.services if each.name == name), None)

    def failed_checks(self, group: str = "") -> Iterator[CheckFact]:
        """The failed checks of a group, or of all groups."""
        for check in self.checks:
            if check.status == "failed" and group in ("", check.group):
                yield check


def parse_time(value: object) -> datetime | None:
    """A datetime, or ISO 8601 text, in UTC; None for anything else. A time without zone is UTC."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.replace("Z", "+00:00"))
        except ValueError:
            return None
    if not isinstance(value, datetime):
        return None
    return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)


def evidence(source: str, *fields: object, at: str = "") -> Evidence:
    """Evidence of one field or text, joined by blanks; empty ones are left out."""
    return Evidence(source, " ".join(str(each) for each in fields if each not in (None, "")), at)
