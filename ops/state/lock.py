"""One at a time for each environment and service, across machines, with nothing but the state
bucket.

Held from the first change to the end of an undo, and freed on every way out: return, error, Ctrl-C.
After a kill -9 it expires (`ops.state.rules.lock`). Terraform's own lock is another one and is
never touched here."""

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
_RACES = (
    5  # lost one after the other before it is given up: each loss means that somebody else went on
)


@dataclass(frozen=True)
class LockLocation:
    """Where one lock is kept."""

    cloud: AwsSession
    bucket: str
    key: str
    name: str

    @classmethod
    def of(cls, cloud: AwsSession, settings: Settings, service: str) -> LockLocation | None:
        """The lock of a service; None where the environment names no state bucket (then there is no
        lock, and that is said).
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
    """A lock that is ours while its heartbeat goes on; `lost` when somebody took it over all the
    same, and `lost_to` says who.

    `clock` is the wall's: the one that goes on while a laptop sleeps. `waited`: somebody else had
    it before."""

    place: LockLocation
    holder: Holder
    etag: str
    waited: bool = False
    clock: Callable[[], float] = time.time
    beat: int = 0
    renewed: float = field(init=False)
    lost_to: str = ""
    lost: threading.Event = field(default_factory=threading.Event)
    stopped: threading.Event = field(default_factory=threading.Event)
    writing: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.renewed = self.clock()

    def keep(self) -> None:
        """Rewrite the lock until released. A write that fails is tried again at the next beat: the
        lock outlives three of them.
        """
        told = False
        while not self.stopped.wait(HEARTBEAT_S):
            with self.writing:
                if self.stopped.is_set():
                    return
                try:
                    self.write(released=False)
                except OpsError as problem:
                    if self.overdue and not told:
                        ui.progress(self.unsure(problem))
                told = self.overdue

    def write(self, *, released: bool) -> None:
        """One conditional write. An answer that got lost left our own newer version there: taken
        for ours, unless somebody freed it.
        """
        for _ in range(2):
            self.beat += 1
            began, document = (
                self.clock(),
                self.holder.as_document(released=released, beat=self.beat),
            )
            etag = bucket.replace(
                self.place.cloud, self.place.bucket, self.place.key, document, self.etag
            )
            if etag:
                self.etag, self.renewed = etag, began
                return
            found = bucket.read(self.place.cloud, self.place.bucket, self.place.key)
            self.lost_to = _held_by_other(found)
            if not found or is_free(found.document) or holder(found.document).id != self.holder.id:
                break
            self.etag = found.etag
        self.lost.set()
        self.stopped.set()

    def check(self, *, strict: bool = False) -> None:
        """Raises OpsError when the lock is no longer ours: going on could meet another deploy.

        `strict`: it is renewed now, which shows whose it is; one that was not renewed in time (this
        machine slept, or lost its network) and can't be now is taken for lost."""
        if strict and not self.lost.is_set():
            try:
                with self.writing:
                    self.write(released=False)
            except OpsError as problem:
                if self.overdue:
                    raise OpsError(
                        f"lock {self.place.name} may be lost", self.unsure(problem), _AGAIN
                    ) from None
        if self.lost.is_set():
            raise OpsError(f"lock {self.place.name} was lost", self.lost_to, _AGAIN)

    @property
    def overdue(self) -> bool:
        """Whether others may take it by now."""
        return self.clock() - self.renewed > EXPIRY_S

    def unsure(self, problem: OpsError) -> str:
        return (
            f"lock {self.place.name} could not be renewed for "
            f"{self.clock() - self.renewed:.0f} s, others may take it: {problem.why}"
        )

    def release(self) -> None:
        self.stopped.set()
        with self.writing:
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
    """This run, as others will see it."""
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
    place: LockLocation | None,
    me: Holder,
    *,
    wait_s: float = 0.0,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[HeldLock | None]:
    """Hold the lock, or raise Refused (exit 3) naming its holder, after waiting for `wait_s`
    seconds.
    """
    if place is None:
        ui.progress("no lock: the environment names no state bucket (state.bucket)")
        yield None
        return
    ours = acquire(place, me, wait_s, clock, sleep)
    keeper = threading.Thread(target=ours.keep, name="lock heartbeat", daemon=True)
    keeper.start()
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
    """Every service's lock, for what may change any of them. In one order always, so that no two
    wait for each other.
    """
    with ExitStack() as stack:
        for service in (
            sorted(settings.environment.services) if settings.environment.state else [""]
        ):
            stack.enter_context(hold(LockLocation.of(cloud, settings, service), me, wait_s=wait_s))
        yield


def acquire(
    place: LockLocation,
    me: Holder,
    wait_s: float,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> HeldLock:
    end, told = clock() + wait_s, False
    while True:
        ours, other = try_acquire(place, me)
        if ours:
            ours.waited = told
            return ours
        if clock() >= end:
            raise Refused(
                f"lock {place.name} is held",
                other,
                "wait for it (--wait 10m), or look: inv lock.status",
            )
        if not told:
            ui.progress(f"waiting for lock {place.name}: {other}")
            told = True
        sleep(min(_POLL_S, max(0.1, end - clock())))


def try_acquire(
    place: LockLocation, me: Holder, expiry_s: float = EXPIRY_S
) -> tuple[HeldLock | None, str]:
    """The lock, or who has it. A lock that was not renewed for `expiry_s`, or whose process ended
    here, is taken over, with a note.

    Whoever loses a race looks again: the winner's name stands there, or the lock is free once more.
    """
    other = ""
    for _ in range(_RACES):
        found = bucket.read(place.cloud, place.bucket, place.key)
        if found is None:
            etag = bucket.create(place.cloud, place.bucket, place.key, me.as_document())
        else:
            held, free = holder(found.document), is_free(found.document)
            other = held.describe(found.age_s)
            if held.id == me.id and not free:  # the answer to our own write was lost
                return HeldLock(place, me, found.etag), ""
            if not free and not expired(found, expiry_s):
                return None, other
            etag = bucket.replace(
                place.cloud, place.bucket, place.key, me.as_document(), found.etag
            )
            if etag and not free:
                ui.progress(f"took over a dead run's lock: {other}")
        if etag:
            return HeldLock(place, me, etag), ""
    return None, other or "others want it at the same moment, and none of them has it yet"


def expired(stored: bucket.S3Object, expiry_s: float = EXPIRY_S) -> bool:
    """Not renewed in time, or its process ended here."""
    return stored.age_s > expiry_s or host_identity.is_gone(holder(stored.document).process)
