"""`inv db.snapshot` and `inv db.start`: take an RDS snapshot, start a stopped instance.

RDS completes both even if the wait ends before. A migration that loses rows takes a snapshot first
if `database.snapshot` is set; without the snapshot it does not run.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar

from ops.aws import rds, session
from ops.aws.rds import Instance
from ops.aws.session import AwsSession
from ops.core import host_identity, ui
from ops.core.apply import Journal, StepHandlers, apply
from ops.core.errors import ConfigError, OpsError, Refused, TimedOut
from ops.core.plan import Plan, Step
from ops.core.text import format_duration

if TYPE_CHECKING:
    from ops.core.config.settings import Settings

SNAPSHOT_S = 3600.0  # longest wait without --timeout
START_S = 1800.0
_LONGEST_NAME = 255
_BROKEN = (
    "failed",
    "restore-error",
    "storage-full",
    "inaccessible-encryption-credentials",
    "deleting",
    "deleted",
)


@dataclass(frozen=True)
class RdsWait:
    """How to wait for RDS: seconds between two polls, and the longest wait in all."""

    poll_s: float
    timeout_s: float
    sleep: Callable[[float], None] = time.sleep
    progress: Callable[[str], None] = ui.progress


@dataclass(frozen=True)
class TakeSnapshot(Step):
    """Take a snapshot of an RDS instance, and wait until it can be restored.

    `name` None: made of instance, reason and time. `status` is the instance's, if it was read.
    """

    verb: ClassVar[str] = "snapshot"
    instance: str
    reason: str
    name: str | None = None
    status: str = ""

    def __str__(self) -> str:
        status = f" ({self.status})" if self.status else ""
        return f"Take a snapshot of RDS instance {self.instance}{status}"


@dataclass(frozen=True)
class StartInstance(Step):
    """Start an RDS instance with this status, and wait until it is available."""

    verb: ClassVar[str] = "start"
    instance: str
    status: str

    def __str__(self) -> str:
        return f"Start RDS instance {self.instance} ({self.status}) and wait until it is available"


@dataclass(frozen=True)
class InstancePlan(Plan):
    """A plan for an RDS instance; its document also has the instance and its status."""

    instance: str = ""
    status: str = ""

    @property
    def document(self) -> dict[str, Any]:
        return {**super().document, "instance": self.instance, "status": self.status}


@dataclass(frozen=True)
class SnapshotResult:
    """A snapshot that is available; the result of `db.snapshot`."""

    name: str
    instance: str
    took_s: float

    exit_code: ClassVar[int] = 0

    @property
    def document(self) -> dict[str, Any]:
        """The document that `db.snapshot --json` prints."""
        return {"snapshot": self.name, "instance": self.instance, "took_s": round(self.took_s, 1)}

    @property
    def text(self) -> str:
        return f"snapshot {self.name}"


@dataclass(frozen=True)
class StartResult:
    """An instance that is available, with its status before; the result of `db.start`."""

    instance: str
    before: str
    status: str
    took_s: float

    exit_code: ClassVar[int] = 0

    @property
    def document(self) -> dict[str, Any]:
        """The document that `db.start --json` prints."""
        return {
            "instance": self.instance,
            "before": self.before,
            "status": self.status,
            "took_s": round(self.took_s, 1),
        }

    @property
    def text(self) -> str:
        return f"{self.instance} was {self.before}, is {self.status}"


@dataclass(frozen=True)
class InstanceSnapshot:
    """The planned change of `db.snapshot`."""

    settings: Settings
    step: TakeSnapshot
    wait: RdsWait

    @classmethod
    def planned(
        cls, settings: Settings, wait: RdsWait, name: str | None = None
    ) -> InstanceSnapshot:
        """Plan a snapshot of the environment's instance, whose status is read."""
        now = rds.instance(session.connect(settings), instance_name(settings))
        return cls(settings, TakeSnapshot(now.id, "manual", name, now.status), wait)

    def preview(self) -> Plan:
        return InstancePlan((self.step,), (), self.step.instance, self.step.status)

    def confirm(self, *, yes: bool) -> None:
        """Nothing to ask: a snapshot changes no data."""

    def apply(self) -> SnapshotResult:
        results: list[SnapshotResult] = []
        handlers = StepHandlers()
        handlers.add(
            TakeSnapshot,
            lambda step: results.append(take_snapshot(self.settings, step, self.wait)),
        )
        apply(self.preview(), handlers, Journal(ui.progress))
        return results[0]


@dataclass(frozen=True)
class InstanceStart:
    """The planned change of `db.start`; no step if the instance is available."""

    settings: Settings
    instance: str
    status: str
    wait: RdsWait

    @classmethod
    def planned(cls, settings: Settings, wait: RdsWait) -> InstanceStart:
        """Plan the start of the environment's instance, whose status is read."""
        now = rds.instance(session.connect(settings), instance_name(settings))
        return cls(settings, now.id, now.status, wait)

    def preview(self) -> Plan:
        if self.status == "available":
            already = (f"RDS instance {self.instance} is available",)
            return InstancePlan((), already, self.instance, self.status)
        step = StartInstance(self.instance, self.status)
        return InstancePlan((step,), (), self.instance, self.status)

    def confirm(self, *, yes: bool) -> None:
        """Nothing to ask: a start changes no data."""

    def apply(self) -> StartResult:
        results: list[StartResult] = []
        handlers = StepHandlers()
        handlers.add(
            StartInstance,
            lambda step: results.append(start_instance(self.settings, step, self.wait)),
        )
        apply(self.preview(), handlers, Journal(ui.progress))
        return results[0] if results else StartResult(self.instance, self.status, self.status, 0.0)


def instance_name(settings: Settings) -> str:
    """The identifier of the environment's RDS instance. Raises ConfigError."""
    settings.refuse_none("database", "database")
    database = settings.environment.database
    if database is None or not database.instance:
        key = f"environments.{settings.name}.database.instance"
        raise ConfigError(
            f"environment {settings.name} names no RDS instance",
            f"{key} is missing",
            f"set {key} in invoke.yaml",
        )
    return database.instance


def snapshot_before_data_loss(settings: Settings, reason: str) -> TakeSnapshot | None:
    """The snapshot that a migration that loses rows takes first, if it is configured."""
    database = settings.environment.database
    if database is None or not database.snapshot:
        return None
    return TakeSnapshot(instance_name(settings), reason)


def take_snapshot(settings: Settings, step: TakeSnapshot, wait: RdsWait) -> SnapshotResult:
    """Take a snapshot of an available instance, and wait until it is available.

    Raises Refused, TimedOut, OpsError.
    """
    began, cloud = time.monotonic(), session.connect(settings)
    now = rds.instance(cloud, step.instance)
    if now.status in ("stopped", "stopping"):
        raise Refused(
            f"snapshot of RDS instance {step.instance}",
            f"it is {now.status}",
            "inv db.start, then run it again",
        )
    _wait_until_available(cloud, now, began, wait)
    name = step.name or _snapshot_name(
        step.instance, step.reason, datetime.now(UTC), secrets.token_hex(2)
    )
    tags = {
        "environment": settings.name,
        "by": f"{host_identity.owner()}@{host_identity.host()}",
        "reason": re.sub(r"[^\w .:/=+@-]", " ", step.reason),
    }
    found = rds.create_snapshot(cloud, step.instance, name, tags)
    wait.progress(f"creating snapshot {name}")
    reported = -1
    while found.status != "available":
        if found.status in _BROKEN or found.status.startswith("incompatible-"):
            raise OpsError(
                f"snapshot {name} of RDS instance {step.instance}",
                f"it is {found.status}",
                "see RDS's events, then run it again",
            )
        if found.percent != reported:
            reported = found.percent
            wait.progress(f"  {found.status}, {reported} %")
        _pause(f"snapshot {name}", found.status, began, wait)
        found = rds.snapshot(cloud, name)
    took_s = time.monotonic() - began
    wait.progress(f"snapshot {name} is available after {format_duration(took_s)}")
    return SnapshotResult(name, step.instance, took_s)


def _snapshot_name(instance: str, reason: str, at: datetime, token: str) -> str:
    """`dev-db-before-0001-20260102t030405z-1f3c`, of letters, digits and single hyphens."""
    words = re.sub(r"[^a-z0-9]+", "-", reason.lower()).strip("-") or "manual"
    tail = f"-{at:%Y%m%dt%H%M%Sz}-{token}"
    return f"{instance}-{words}"[: _LONGEST_NAME - len(tail)].rstrip("-") + tail


def start_instance(settings: Settings, step: StartInstance, wait: RdsWait) -> StartResult:
    """Start a stopped or stopping instance, and wait until it is available."""
    began, cloud, instance = time.monotonic(), session.connect(settings), step.instance
    now = rds.instance(cloud, instance)
    if now.status == "stopping":
        wait.progress(f"RDS instance {instance} is stopping: it can be started once it has stopped")
    while now.status == "stopping":
        _pause(f"RDS instance {instance}", now.status, began, wait)
        now = rds.instance(cloud, instance)
    if now.status == "stopped":
        wait.progress(f"starting RDS instance {instance}")
        rds.start(cloud, instance)
        now = rds.instance(cloud, instance)
    now = _wait_until_available(cloud, now, began, wait)
    return StartResult(instance, step.status, now.status, time.monotonic() - began)


def _wait_until_available(
    cloud: AwsSession, now: Instance, began: float, wait: RdsWait
) -> Instance:
    """Wait while the instance is starting, backing-up, modifying and the like.

    Raises OpsError for a state that it does not leave by itself, and TimedOut.
    """
    reported = ""
    while now.status != "available":
        if now.status in _BROKEN or now.status.startswith("incompatible-"):
            raise OpsError(
                f"RDS instance {now.id}",
                f"it is {now.status}, and does not recover by itself",
                "see RDS's events: aws rds describe-events --source-type db-instance",
            )
        if now.status != reported:
            reported = now.status
            wait.progress(f"RDS instance {now.id} is {reported}")
        _pause(f"RDS instance {now.id}", now.status, began, wait)
        now = rds.instance(cloud, now.id)
    return now


def _pause(what: str, status: str, began: float, wait: RdsWait) -> None:
    """Sleep until the next poll. Raises TimedOut."""
    left = wait.timeout_s - (time.monotonic() - began)
    if left <= 0:
        raise TimedOut(
            what,
            f"it is {status} after {format_duration(wait.timeout_s)}; RDS continues by itself",
            "run it with a longer --timeout, or see: aws rds describe-db-instances",
        )
    wait.sleep(min(wait.poll_s, left))
