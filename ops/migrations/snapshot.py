"""`inv db.snapshot` and `inv db.start`: RDS's own snapshot, and a stopped instance started, both
waited for.

RDS goes on by itself whatever happens to us, so a wait that times out is said with what goes on. A
migration that loses rows takes a snapshot first where `database.snapshot` says so; without one it
is not done."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ops.aws import rds, session
from ops.aws.rds import Instance
from ops.aws.session import AwsSession
from ops.core import host_identity, ui
from ops.core.errors import ConfigError, OpsError, Refused, TimedOut
from ops.core.text import format_duration

if TYPE_CHECKING:
    from ops.core.config.settings import Settings

SNAPSHOT_S = 3600.0  # longest wait without --timeout
START_S = 1800.0
LONGEST_NAME = 255
BROKEN = (
    "failed",
    "restore-error",
    "storage-full",
    "inaccessible-encryption-credentials",
    "deleting",
)


@dataclass(frozen=True)
class RdsWait:
    """How to wait: seconds between two looks, and the longest in all."""

    poll_s: float
    timeout_s: float
    sleep: Callable[[float], None] = time.sleep
    say: Callable[[str], None] = ui.progress


@dataclass(frozen=True)
class SnapshotResult:
    """A finished snapshot."""

    name: str
    instance: str
    took_s: float

    def as_document(self) -> dict[str, Any]:
        """The shape that `db.snapshot --json` prints."""
        return {"snapshot": self.name, "instance": self.instance, "took_s": round(self.took_s, 1)}


def configured(settings: Settings) -> str:
    """The instance's identifier. Raises ConfigError."""
    database = settings.environment.database
    if database is None or not database.instance:
        key = f"environments.{settings.name}.database.instance"
        raise ConfigError(
            f"environment {settings.name} names no RDS instance",
            f"{key} is missing",
            f"set {key} in invoke.yaml",
        )
    return database.instance


def name(instance: str, why: str, at: datetime, token: str) -> str:
    """`davidshaevel-dev-db-before-0001-20260102t030405z-1f3c`: RDS takes letters, digits and single
    hyphens.
    """
    words = re.sub(r"[^a-z0-9]+", "-", why.lower()).strip("-") or "manual"
    tail = f"-{at:%Y%m%dt%H%M%Sz}-{token}"
    return f"{instance}-{words}"[: LONGEST_NAME - len(tail)].rstrip("-") + tail


def take(settings: Settings, why: str, wait: RdsWait, given: str | None = None) -> SnapshotResult:
    """Make a snapshot of an available instance, and wait until it can be restored from. Raises
    Refused, TimedOut, OpsError.
    """
    began, instance, cloud = time.monotonic(), configured(settings), session.connect(settings)
    now = rds.instance(cloud, instance)
    if now.status in ("stopped", "stopping"):
        raise Refused(
            f"snapshot of RDS instance {instance}",
            f"it is {now.status}",
            "inv db.start, then run it again",
        )
    until_available(cloud, now, began, wait)
    called = given or name(instance, why, datetime.now(UTC), secrets.token_hex(2))
    tags = {
        "environment": settings.name,
        "by": f"{host_identity.owner()}@{host_identity.host()}",
        "reason": re.sub(r"[^\w .:/=+@-]", " ", why),
    }
    found = rds.create_snapshot(cloud, instance, called, tags)
    wait.say(f"snapshot {called} is being made")
    shown = -1
    while found.status != "available":
        if found.status not in ("creating", "pending", "copying"):
            raise OpsError(
                f"snapshot {called} of RDS instance {instance}",
                f"it is {found.status}",
                "see RDS's events, then run it again",
            )
        if found.percent != shown:
            shown = found.percent
            wait.say(f"  {found.status}, {shown} %")
        pause(f"snapshot {called}", found.status, began, wait)
        found = rds.snapshot(cloud, called)
    wait.say(f"snapshot {called} is there after {format_duration(time.monotonic() - began)}")
    return SnapshotResult(called, instance, time.monotonic() - began)


def pause(what: str, status: str, began: float, wait: RdsWait) -> None:
    left = wait.timeout_s - (time.monotonic() - began)
    if left <= 0:
        why = f"it is {status} after {format_duration(wait.timeout_s)}; RDS goes on by itself"
        raise TimedOut(
            what, why, "run it with a longer --timeout, or look: aws rds describe-db-instances"
        )
    wait.sleep(min(wait.poll_s, left))


def until_available(cloud: AwsSession, now: Instance, began: float, wait: RdsWait) -> Instance:
    """Wait through starting, backing-up, modifying … Raises OpsError for a state that does not end
    well, TimedOut.
    """
    shown = ""
    while now.status != "available":
        if now.status in BROKEN or now.status.startswith("incompatible-"):
            why = f"it is {now.status}, and will not come out of it by itself"
            raise OpsError(
                f"RDS instance {now.id}",
                why,
                "see RDS's events: aws rds describe-events --source-type db-instance",
            )
        if now.status != shown:
            shown = now.status
            wait.say(f"RDS instance {now.id} is {shown}")
        pause(f"RDS instance {now.id}", now.status, began, wait)
        now = rds.instance(cloud, now.id)
    return now


def started(settings: Settings, wait: RdsWait) -> dict[str, Any]:
    """Start the instance where it is stopped (or about to be), and wait until it is available; one
    that is available stays as it is.
    """
    began, instance, cloud = time.monotonic(), configured(settings), session.connect(settings)
    before = now = rds.instance(cloud, instance)
    if now.status == "stopping":
        wait.say(f"RDS instance {instance} is stopping: it can be started once it has stopped")
    while now.status == "stopping":
        pause(f"RDS instance {instance}", now.status, began, wait)
        now = rds.instance(cloud, instance)
    if now.status == "stopped":
        wait.say(f"starting RDS instance {instance}")
        rds.start(cloud, instance)
        now = rds.instance(cloud, instance)
    now = until_available(cloud, now, began, wait)
    return {
        "instance": instance,
        "before": before.status,
        "status": now.status,
        "took_s": round(time.monotonic() - began, 1),
    }


def planned(settings: Settings, verb: str) -> dict[str, Any]:
    """The shape that `--plan --json` prints; looks at the instance."""
    now = rds.instance(session.connect(settings), configured(settings))
    says = (
        f"Take a snapshot of RDS instance {now.id} ({now.status})"
        if verb == "snapshot"
        else describe_start(now)
    )
    steps = [{"verb": verb, "says": says, "undo": None}] if says else []
    return {"plan": steps, "instance": now.id, "status": now.status}


def describe_start(now: Instance) -> str:
    return (
        ""
        if now.status == "available"
        else f"Start RDS instance {now.id} ({now.status}) and wait until it is available"
    )


def snapshot_before_data_loss(settings: Settings) -> bool:
    """Whether a migration that loses rows takes a snapshot first."""
    return bool(settings.environment.database and settings.environment.database.snapshot)
