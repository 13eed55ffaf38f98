"""List the held locks, and release one whose holder is gone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, ClassVar

from ops.aws import s3
from ops.aws.session import AwsSession
from ops.core import host_identity, ui
from ops.core.apply import Journal, StepHandlers, apply
from ops.core.errors import ConfigError, Refused
from ops.core.plan import Plan, Step
from ops.core.result import Report
from ops.state.lock import LockLocation, expired
from ops.state.rules.lock import EXPIRY_S, Holder, holder, is_free

if TYPE_CHECKING:
    from ops.core.config.settings import Settings


@dataclass(frozen=True)
class LockStatus:
    """A held lock.

    `expired`: not renewed in time, or its process ended on this machine; the next run takes it
    over.
    """

    location: LockLocation
    holder: Holder
    stored: s3.S3Object
    expired: bool

    @property
    def age_s(self) -> float | None:
        """Seconds from its start (owner's clock) to this read (S3's); None if not recorded."""
        try:
            at = datetime.fromisoformat(self.holder.at)
        except ValueError:
            return None
        return max(
            0.0, (self.stored.read - (at if at.tzinfo else at.replace(tzinfo=UTC))).total_seconds()
        )

    @property
    def expires(self) -> datetime:
        """When it may be taken over unless it is renewed before."""
        return self.stored.written + timedelta(seconds=EXPIRY_S)

    def as_document(self) -> dict[str, object]:
        """A lock of `lock.status --json`.

        `at` and `age_s`: since it was taken; `heartbeat_s`: since it was renewed.
        """
        holder, age = self.holder, self.age_s
        return {
            "name": self.location.name,
            "owner": holder.owner,
            "host": holder.host,
            "at": holder.at,
            "age_s": None if age is None else round(age, 1),
            "reason": holder.reason,
            "commit": holder.commit,
            "heartbeat_s": round(self.stored.age_s, 1),
            "expires": self.expires.astimezone(UTC).isoformat(timespec="seconds"),
            "expired": self.expired,
        }

    def as_text(self) -> str:
        ends = (
            "expired: the next run takes it over"
            if self.expired
            else f"expires {EXPIRY_S:.0f} s after that, unless it is renewed"
        )
        commit = (
            f", commit {self.holder.commit}" if self.holder.commit not in self.holder.reason else ""
        )
        return f"{self.location.name}: {self.holder.describe(self.stored.age_s)}{commit} ({ends})"


def lock_status(cloud: AwsSession, settings: Settings) -> tuple[LockStatus, ...]:
    """Every held lock of the environment. Raises ConfigError with `state: none`."""
    settings.refuse_none("state", "state bucket")
    state = settings.environment.state
    if state is None:
        raise Refused(
            "locks",
            "the environment has no state bucket",
            f"set environments.{settings.name}.state.bucket in invoke.yaml",
        )
    prefix = f"{state.prefix}/locks/{settings.name}/"
    found = []
    for key in (entry.key for entry in s3.entries(cloud, state.bucket, prefix)):
        stored = s3.read(cloud, state.bucket, key)
        name = key.removeprefix(prefix).removesuffix(".json")
        held = held_lock(LockLocation(cloud, state.bucket, key, name), stored)
        if held:
            found.append(held)
    return tuple(found)


def holder_of(cloud: AwsSession, settings: Settings, service: str) -> Holder | None:
    """The run that holds the service's lock, also one that is dead; None if it is free."""
    location = LockLocation.of(cloud, settings, service)
    if location is None:
        return None
    stored = s3.read(location.cloud, location.bucket, location.key)
    return None if stored is None or is_free(stored.document) else holder(stored.document)


def held_lock(location: LockLocation, stored: s3.S3Object | None) -> LockStatus | None:
    """The lock stored at this location; None if it is free, or was never taken."""
    if stored is None or is_free(stored.document):
        return None
    return LockStatus(location, holder(stored.document), stored, expired(stored))


def find_lock(locks: tuple[LockStatus, ...], name: str | None) -> LockStatus:
    """The lock called `name`.

    Raises ConfigError if no name is given, Refused if that lock is not held.
    """
    names = ", ".join(lock.location.name for lock in locks)
    held = f"held: {names}" if names else "no lock is held"
    if name is None:
        first = locks[0].location.name if locks else "SERVICE"
        raise ConfigError(
            "lock.release: which lock?",
            f"--name was not given; {held}",
            f"inv lock.release --name {first}",
        )
    found = next((lock for lock in locks if lock.location.name == name), None)
    if found is None:
        raise Refused(f"lock {name}", held, "inv lock.status")
    return found


@dataclass(frozen=True)
class FreeLock(Step):
    """Free a lock that another run holds."""

    verb: ClassVar[str] = "free"
    lock: LockStatus

    def __str__(self) -> str:
        return f"Free {self.lock.as_text()}"


@dataclass(frozen=True)
class LockRelease:
    """The planned change of `lock.release`."""

    lock: LockStatus

    def preview(self) -> Plan:
        return Plan((FreeLock(self.lock),))

    def confirm(self, *, yes: bool) -> None:
        """Ask for the lock's name. Raises Refused on any other answer."""
        ui.confirm(f"free {self.lock.as_text()}", yes=yes, typed=self.lock.location.name)

    def apply(self) -> Report:
        handlers = StepHandlers()
        handlers.add(FreeLock, lambda step: force_release(step.lock))
        apply(self.preview(), handlers, Journal(ui.progress))
        return Report({"released": self.lock.as_document()}, f"freed {self.lock.as_text()}")


def force_release(lock: LockStatus) -> None:
    """Release another run's lock if it has not changed since it was read.

    Its holder reads there who released it.
    """
    document = {
        **lock.holder.as_document(released=True),
        "freed_by": f"{host_identity.owner()} on {host_identity.host()} (lock.release)",
    }
    if (
        s3.replace(
            lock.location.cloud, lock.location.bucket, lock.location.key, document, lock.stored.etag
        )
        is None
    ):
        raise Refused(
            f"lock {lock.location.name}",
            "it changed since it was shown: its owner is alive",
            "inv lock.status",
        )
