"""A lock for each environment and service, shared by all machines through the state bucket.

It is held from the first change to the end of an undo, and released on every exit: return, error,
Ctrl-C. After a kill -9 it expires (`ops.state.rules.lock`). Terraform's own lock is separate and
never touched here.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ops.aws import s3 as bucket
from ops.aws.session import AwsSession
from ops.core import host_identity, ui
from ops.core.errors import OpsError, Refused
from ops.state.rules.lock import EXPIRY_S, HEARTBEAT_S, Holder, holder, is_free

if TYPE_CHECKING:
    from ops.core.config.settings import Settings

_POLL_S = 3.0
_AGAIN = "inv lock.status, then run it again"
_RACES = 5  # lost in a row before giving up; in each, another run got the lock


@dataclass(frozen=True)
class LockLocation:
    """The bucket and key of one lock."""

    cloud: AwsSession
    bucket: str
    key: str
    name: str

    @classmethod
    def of(cls, cloud: AwsSession, settings: Settings, service: str) -> LockLocation | None:
        """The lock of a service; None if the environment has no state bucket.

        Then there is no lock, and that is reported.
        """
        state = settings.environment.state
        return (
            cls(
                cloud, state.bucket, f"{state.prefix}/locks/{settings.name}/{service}.json", service
            )
            if state
            else None
        )


@dataclass
class HeldLock:
    """A lock that is ours while its heartbeat runs.

    `lost` is set if another run took it over, which `lost_to` names.

    `clock` is the wall clock, which also runs while a laptop sleeps. `had_to_wait`: another run
    held it before.
    """

    location: LockLocation
    holder: Holder
    etag: str
    had_to_wait: bool = False
    clock: Callable[[], float] = time.time
    heartbeat: int = 0
    renewed: float = field(init=False)
    lost_to: str = ""
    lost: threading.Event = field(default_factory=threading.Event)
    stopped: threading.Event = field(default_factory=threading.Event)
    write_lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.renewed = self.clock()

    def renew_until_released(self) -> None:
        """Rewrite the lock until it is released.

        A failed write is retried at the next heartbeat: the lock outlives three of them.
        """
        reported = False
        while not self.stopped.wait(HEARTBEAT_S):
            with self.write_lock:
                if self.stopped.is_set():
                    return
                try:
                    self.write(released=False)
                except OpsError as problem:
                    if self.overdue and not reported:
                        ui.progress(self.renewal_problem(problem))
                reported = self.overdue

    def write(self, *, released: bool) -> None:
        """Write the lock conditionally.

        If an answer was lost, our own newer version is in the bucket: it is accepted unless
        the lock was released.
        """
        for _ in range(2):
            self.heartbeat += 1
            began, document = (
                self.clock(),
                self.holder.as_document(released=released, beat=self.heartbeat),
            )
            etag = bucket.replace(
                self.location.cloud, self.location.bucket, self.location.key, document, self.etag
            )
            if etag:
                self.etag, self.renewed = etag, began
                return
            found = bucket.read(self.location.cloud, self.location.bucket, self.location.key)
            self.lost_to = _held_by_other(found)
            if not found or is_free(found.document) or holder(found.document).id != self.holder.id:
                break
            self.etag = found.etag
        self.lost.set()
        self.stopped.set()

    def check(self, *, strict: bool = False) -> None:
        """Raise OpsError if the lock is no longer ours: going on could meet another deploy.

        `strict`: renew it now, which shows the owner. A lock that was not renewed in time
        (this machine slept, or lost its network) and cannot be renewed now counts as lost.
        """
        if strict and not self.lost.is_set():
            try:
                with self.write_lock:
                    self.write(released=False)
            except OpsError as problem:
                if self.overdue:
                    raise OpsError(
                        f"lock {self.location.name} may be lost",
                        self.renewal_problem(problem),
                        _AGAIN,
                    ) from None
        if self.lost.is_set():
            raise OpsError(f"lock {self.location.name} was lost", self.lost_to, _AGAIN)

    @property
    def overdue(self) -> bool:
        """Whether others may take the lock by now."""
        return self.clock() - self.renewed > EXPIRY_S

    def renewal_problem(self, problem: OpsError) -> str:
        return (
            f"lock {self.location.name} could not be renewed for "
            f"{self.clock() - self.renewed:.0f} s, others may take it: {problem.why}"
        )

    def release(self) -> None:
        self.stopped.set()
        with self.write_lock:
            if not self.lost.is_set():
                self.write(released=True)


def _held_by_other(found: bucket.S3Object | None) -> str:
    """Why a lock is no longer its holder's."""
    if found is None:
        return "its object in the bucket was deleted"
    other = holder(found.document)
    if is_free(found.document):
        return (
            f"it was freed by {found.document.get('freed_by') or f'{other.owner} on {other.host}'}"
        )
    return other.describe(found.age_s)


def myself(reason: str, commit: str) -> Holder:
    """This run as the holder of a lock."""
    at = datetime.now(UTC).isoformat(timespec="seconds")
    return Holder(
        secrets.token_hex(8),
        host_identity.owner(),
        host_identity.host(),
        commit,
        reason,
        at,
        host_identity.process(),
    )


@contextmanager
def hold(
    location: LockLocation | None,
    me: Holder,
    *,
    wait_s: float = 0.0,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[HeldLock | None]:
    """Hold the lock, or raise Refused (exit 3) naming its holder after `wait_s` seconds."""
    if location is None:
        ui.progress("no lock: the environment has no state bucket")
        yield None
        return
    ours = acquire(location, me, wait_s, clock, sleep)
    heartbeat = threading.Thread(
        target=ours.renew_until_released, name="lock heartbeat", daemon=True
    )
    heartbeat.start()
    try:
        yield ours
    finally:
        try:
            ours.release()
        except OpsError as problem:
            ui.progress(f"the lock could not be freed ({problem.why}); it expires by itself")


@contextmanager
def hold_each(
    cloud: AwsSession, settings: Settings, me: Holder, *, wait_s: float = 0.0
) -> Iterator[None]:
    """Hold the lock of every service, always in the same order to avoid a deadlock."""
    with ExitStack() as stack:
        for service in (
            sorted(settings.environment.services) if settings.environment.state else [""]
        ):
            stack.enter_context(hold(LockLocation.of(cloud, settings, service), me, wait_s=wait_s))
        yield


def acquire(
    location: LockLocation,
    me: Holder,
    wait_s: float,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> HeldLock:
    end, reported = clock() + wait_s, False
    while True:
        ours, other = try_acquire(location, me)
        if ours:
            ours.had_to_wait = reported
            return ours
        if clock() >= end:
            raise Refused(
                f"lock {location.name} is held",
                other,
                "wait for it (--lock-wait 10m), or see inv lock.status",
            )
        if not reported:
            ui.progress(f"waiting for lock {location.name}: {other}")
            reported = True
        sleep(min(_POLL_S, max(0.1, end - clock())))


def try_acquire(
    location: LockLocation, me: Holder, expiry_s: float = EXPIRY_S
) -> tuple[HeldLock | None, str]:
    """Acquire the lock, or return its holder.

    A lock that was not renewed for `expiry_s`, or whose process ended on this machine, is taken
    over, with a note.

    After a lost race the lock is read again: the winner holds it, or it is free once more.
    """
    other = ""
    for _ in range(_RACES):
        found = bucket.read(location.cloud, location.bucket, location.key)
        if found is None:
            etag = bucket.create(location.cloud, location.bucket, location.key, me.as_document())
        else:
            held, free = holder(found.document), is_free(found.document)
            other = held.describe(found.age_s)
            if held.id == me.id and not free:  # the answer to our own write was lost
                return HeldLock(location, me, found.etag), ""
            if not free and not expired(found, expiry_s):
                return None, other
            etag = bucket.replace(
                location.cloud, location.bucket, location.key, me.as_document(), found.etag
            )
            if etag and not free:
                ui.progress(f"took over a dead run's lock: {other}")
        if etag:
            return HeldLock(location, me, etag), ""
    return None, other or "others want it at the same moment, and none of them has it yet"


def expired(stored: bucket.S3Object, expiry_s: float = EXPIRY_S) -> bool:
    """Whether the lock was not renewed in time, or its process ended on this machine."""
    return stored.age_s > expiry_s or host_identity.is_gone(holder(stored.document).process)
