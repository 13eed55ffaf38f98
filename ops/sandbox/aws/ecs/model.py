"""The ECS objects that change: services, deployments, tasks and their containers.

Emulates the parts of ECS's data model that DescribeServices and DescribeTasks show. moto keeps
clusters and task definitions; its services never change and its tasks progress by themselves, so
these replace them. All fields are guarded by `EcsStore.lock`; times are aware UTC datetimes.
"""

from __future__ import annotations

import secrets
import threading
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

_EVENTS_KEPT = 100  # DescribeServices shows the newest hundred


def utc_now() -> datetime:
    return datetime.now(UTC)


def deployment_id() -> str:
    """Return a new id, `ecs-svc/` and nineteen digits, in ECS's format."""
    return f"ecs-svc/{secrets.randbelow(9 * 10**18) + 10**18}"


@dataclass
class Event:
    """One service event."""

    id: str
    created_at: datetime
    message: str


@dataclass
class Deployment:
    """One deployment of a service (API: `Deployment`), with the scheduler's own fields."""

    id: str
    task_definition: str
    network_configuration: dict[str, Any]
    load_balancers: list[dict[str, Any]]
    created_at: datetime = field(default_factory=utc_now)
    updated_at: datetime = field(default_factory=utc_now)
    # PRIMARY | ACTIVE | INACTIVE (INACTIVE ones are history, no longer shown by DescribeServices)
    status: str = "PRIMARY"
    rollout_state: str = "IN_PROGRESS"  # IN_PROGRESS | COMPLETED | FAILED
    rollout_reason: str = ""
    failed_tasks: int = 0
    finished_at: datetime | None = None

    rollback_of: str | None = None  # id of the failed deployment that this one takes back
    not_before: float = 0.0  # monotonic seconds: no task is started before (back-off)
    steady_since: float | None = None  # monotonic seconds since which all is running and healthy
    announced_stuck: bool = False
    announced_unstable: bool = False

    def __post_init__(self) -> None:
        self.rollout_reason = self.rollout_reason or f"ECS deployment {self.id} in progress."

    def conclude(self, state: str, reason: str) -> None:
        """Set the rollout state to COMPLETED or FAILED."""
        self.rollout_state = state
        self.rollout_reason = reason
        self.updated_at = self.finished_at = utc_now()


@dataclass
class Container:
    """One container of a task (API: `Container`). `exit_code` is None if it never ran."""

    name: str
    image: str
    essential: bool
    id: str = field(default_factory=lambda: secrets.token_hex(16))
    status: str = "PENDING"
    digest: str | None = None
    exit_code: int | None = None
    reason: str | None = None
    health: str = "UNKNOWN"  # UNKNOWN | HEALTHY | UNHEALTHY, of the definition's health check
    definition: dict[str, Any] = field(default_factory=dict)

    @property
    def has_check(self) -> bool:
        command = (self.definition.get("healthCheck") or {}).get("command") or ["NONE"]
        return bool(command[0] != "NONE")


@dataclass
class Task:
    """One task (API: `Task`)."""

    id: str
    arn: str
    cluster: str
    cluster_arn: str
    task_definition: str
    family: str
    group: str
    started_by: str
    containers: list[Container]
    service: str | None = None  # ARN of the service that owns it; None for RunTask
    network_configuration: dict[str, Any] = field(default_factory=dict)
    overrides: dict[str, Any] = field(default_factory=dict)
    load_balancers: list[dict[str, Any]] = field(default_factory=list)
    tags: list[dict[str, str]] = field(default_factory=list)
    launch_type: str = "FARGATE"
    platform_version: str = "1.4.0"
    cpu: str | None = None
    memory: str | None = None
    enable_execute_command: bool = False
    desired_status: str = "RUNNING"
    last_status: str = "PROVISIONING"
    address: str | None = None
    created_at: datetime = field(default_factory=utc_now)
    pull_started_at: datetime | None = None
    pull_stopped_at: datetime | None = None
    started_at: datetime | None = None
    stopping_at: datetime | None = None
    execution_stopped_at: datetime | None = None
    stopped_at: datetime | None = None
    stop_code: str | None = None
    stopped_reason: str | None = None

    established: bool = False  # it ran, and every target group found it healthy
    accounted: bool = False  # the scheduler has seen that it stopped
    healthy_deadline: float = 0.0  # monotonic seconds: the end of the health check grace period
    stop_asked: threading.Event = field(default_factory=threading.Event)

    def ask_to_stop(self, code: str, reason: str) -> bool:
        """Set the desired status to STOPPED; return False if it already was.

        The first reason is retained, as in ECS.
        """
        if self.desired_status == "STOPPED":
            return False
        self.desired_status = "STOPPED"
        self.stop_code = code
        self.stopped_reason = reason
        self.stopping_at = utc_now()
        self.stop_asked.set()
        return True

    @property
    def health(self) -> str:
        """The health of its essential containers that have a health check, as ECS sums it up."""
        found = {each.health for each in self.containers if each.essential and each.has_check}
        return next((each for each in ("UNHEALTHY", "UNKNOWN", "HEALTHY") if each in found), "")

    @property
    def running(self) -> bool:
        return self.desired_status == "RUNNING" and self.last_status == "RUNNING"


@dataclass
class Service:
    """One service (API: `Service`).

    `deployments[0]` is the PRIMARY; INACTIVE ones stay at the end as history.
    """

    name: str
    arn: str
    cluster: str
    cluster_arn: str
    task_definition: str
    desired_count: int
    settings: dict[
        str, Any
    ]  # CreateService's and UpdateService's own words, answered as they were given
    deployments: list[Deployment] = field(default_factory=list)
    events: deque[Event] = field(default_factory=lambda: deque(maxlen=_EVENTS_KEPT))
    status: str = "ACTIVE"
    created_at: datetime = field(default_factory=utc_now)
    last_completed: Deployment | None = None
    announced_steady: bool = False

    @property
    def primary(self) -> Deployment:
        return self.deployments[0]

    @property
    def current(self) -> list[Deployment]:
        """Return the deployments that DescribeServices shows: PRIMARY and ACTIVE."""
        return [deployment for deployment in self.deployments if deployment.status != "INACTIVE"]

    @property
    def load_balancers(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.settings.get("loadBalancers") or []
        return found

    def percentages(self) -> tuple[int, int]:
        """Return (minimumHealthyPercent, maximumPercent); the defaults are 100 and 200."""
        configuration = self.settings.get("deploymentConfiguration") or {}
        return configuration.get("minimumHealthyPercent", 100), configuration.get(
            "maximumPercent", 200
        )

    def breaker(self) -> tuple[bool, bool]:
        """Return whether the circuit breaker is enabled, and whether it rolls back."""
        breaker = (self.settings.get("deploymentConfiguration") or {}).get(
            "deploymentCircuitBreaker"
        ) or {}
        return bool(breaker.get("enable")), bool(breaker.get("rollback"))

    def say(self, message: str) -> None:
        """Add an event, newest first, prefixed with `(service NAME) `."""
        identifier = "-".join(secrets.token_hex(size) for size in (4, 2, 2, 2, 6))
        self.events.appendleft(Event(identifier, utc_now(), f"(service {self.name}) {message}"))

    def begin(self, deployment: Deployment) -> Deployment:
        """Make `deployment` the PRIMARY; the former one stays ACTIVE until it is drained."""
        for former in self.current:
            former.status = "ACTIVE"
            former.updated_at = utc_now()
        self.task_definition = deployment.task_definition
        self.announced_steady = False
        self.deployments.insert(0, deployment)
        return deployment
