"""The locks that are held, as others see them, and taking one away from a holder that is known to
be gone.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from ops.aws import s3
from ops.aws.session import AwsSession
from ops.core import host_identity
from ops.core.errors import ConfigError, Refused
from ops.state.lock import LockLocation, expired
from ops.state.rules.lock import EXPIRY_S, Holder, holder, is_free

if TYPE_CHECKING:
    from ops.core.config.settings import Settings


@dataclass(frozen=True)
class LockStatus:
    """A lock that somebody holds. `expired`: not renewed in time, or its process ended here: the
    next run takes it over.
    """

    place: LockLocation
    holder: Holder
    stored: s3.S3Object
    expired: bool

    @property
    def age_s(self) -> float | None:
        """Seconds since it was taken (its owner's clock) until it was read (S3's); None where the
        lock does not say when.
        """
        try:
            at = datetime.fromisoformat(self.holder.at)
        except ValueError:
            return None
        return max(
            0.0, (self.stored.read - (at if at.tzinfo else at.replace(tzinfo=UTC))).total_seconds()
        )

    @property
    def expires(self) -> datetime:
        """When it may be taken over, unless it is renewed before."""
        return self.stored.written + timedelta(seconds=EXPIRY_S)

    def as_document(self) -> dict[str, object]:
        """A lock of `lock.status --json`: `at` and `age_s` since it was taken, `heartbeat_s` since
        it was renewed.
        """
        them, age = self.holder, self.age_s
        return {
            "name": self.place.name,
            "owner": them.owner,
            "host": them.host,
            "at": them.at,
            "age_s": None if age is None else round(age, 1),
            "reason": them.reason,
            "commit": them.commit,
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
        return f"{self.place.name}: {self.holder.describe(self.stored.age_s)}{commit} ({ends})"


def lock_status(cloud: AwsSession, settings: Settings) -> tuple[LockStatus, ...]:
    """Every lock of the environment that is not free."""
    state = settings.environment.state
    if state is None:
        raise Refused(
            "locks",
            "the environment names no state bucket",
            f"set environments.{settings.name}.state.bucket in invoke.yaml",
        )
    prefix = f"{state.prefix}/locks/{settings.name}/"
    found = []
    for key in s3.keys(cloud, state.bucket, prefix, 1000):
        stored = s3.read(cloud, state.bucket, key)
        if stored and not is_free(stored.document):
            place = LockLocation(
                cloud, state.bucket, key, key.removeprefix(prefix).removesuffix(".json")
            )
            found.append(LockStatus(place, holder(stored.document), stored, expired(stored)))
    return tuple(found)


def find_lock(locks: tuple[LockStatus, ...], name: str | None) -> LockStatus:
    """The lock to be freed. Raises ConfigError where none is named, Refused where that one is not
    held.
    """
    names = ", ".join(lock.place.name for lock in locks) or "none"
    if name is None:
        first = locks[0].place.name if locks else "SERVICE"
        raise ConfigError(
            "lock.release: which lock?",
            f"--name was not given; held are: {names}",
            f"inv lock.release --name {first}",
        )
    found = next((lock for lock in locks if lock.place.name == name), None)
    if found is None:
        raise Refused(f"lock {name}", f"held are: {names}", "inv lock.status")
    return found


def force_release(lock: LockStatus) -> None:
    """Free somebody else's lock, if it is still the one that was shown. Whoever held it reads there
    who took it away.
    """
    document = {
        **lock.holder.as_document(released=True),
        "freed_by": f"{host_identity.owner()} on {host_identity.host()} (lock.release)",
    }
    if (
        s3.replace(lock.place.cloud, lock.place.bucket, lock.place.key, document, lock.stored.etag)
        is None
    ):
        raise Refused(
            f"lock {lock.place.name}",
            "it changed since it was shown: its owner is alive",
            "inv lock.status",
        )
