"""One at a time for each environment and service, across machines, with nothing but the state bucket.

Held from the first change to the end of an undo, and freed on every way out: return, error, Ctrl-C. After a kill -9 it expires
(`ops.rules.lock`). Terraform's own lock is another one and is never touched here.
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

from ops import ui
from ops.adapters import bucket, machine
from ops.adapters.aws import Cloud
from ops.errors import OpsError, Refused
from ops.rules.lock import EXPIRY_S, HEARTBEAT_S, Holder, holder, is_free

if TYPE_CHECKING:
    from ops.settings import Settings

POLL_S = 3.0


@dataclass(frozen=True)
class Place:
    """Where one lock is kept."""

    cloud: Cloud
    bucket: str
    key: str
    name: str

    @classmethod
    def of(cls, cloud: Cloud, settings: Settings, service: str) -> Place | None:
        """The lock of a service; None where the environment names no state bucket (then there is no lock, and that is said)."""
        state = settings.environment.state
        return cls(cloud, state.bucket, f"{state.prefix}/locks/{settings.name}/{service}.json", service) if state else None


@dataclass
class Held:
    """A lock that is ours while its heartbeat goes on; `lost` when somebody took it over all the same."""

    place: Place
    holder: Holder
    etag: str
    beat: int = 0
    lost: threading.Event = field(default_factory=threading.Event)
    stopped: threading.Event = field(default_factory=threading.Event)
    writing: threading.Lock = field(default_factory=threading.Lock)

    def keep(self) -> None:
        """Rewrite the lock until released. A write that fails is tried again at the next beat: the lock outlives three of them."""
        while not self.stopped.wait(HEARTBEAT_S):
            with self.writing:
                if self.stopped.is_set():
                    return
                try:
                    self.write(released=False)
                except OpsError:
                    continue

    def write(self, *, released: bool) -> None:
        """One conditional write. An answer that got lost left our own newer version there: that one is taken for ours."""
        for _ in range(2):
            self.beat += 1
            document = self.holder.as_document(released=released, beat=self.beat)
            etag = bucket.replace(self.place.cloud, self.place.bucket, self.place.key, document, self.etag)
            if etag:
                self.etag = etag
                return
            found = bucket.read(self.place.cloud, self.place.bucket, self.place.key)
            if not found or holder(found.document).id != self.holder.id:
                break
            self.etag = found.etag
        self.lost.set()
        self.stopped.set()

    def check(self) -> None:
        """Raises OpsError when the lock is no longer ours: going on could meet another deploy."""
        if self.lost.is_set():
            why = "it was not renewed in time (this machine slept, or lost its network), and somebody else took it"
            raise OpsError(f"lock {self.place.name} was lost", why, "inv lock.status, then run it again")

    def release(self) -> None:
        self.stopped.set()
        with self.writing:
            if not self.lost.is_set():
                self.write(released=True)


def myself(reason: str, commit: str) -> Holder:
    """This run, as others will see it."""
    at = datetime.now(UTC).isoformat(timespec="seconds")
    return Holder(secrets.token_hex(8), machine.owner(), machine.host(), commit, reason, at, machine.process())


@contextmanager
def held(
    place: Place | None,
    me: Holder,
    *,
    wait_s: float = 0.0,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Held | None]:
    """Hold the lock, or raise Refused (exit 3) naming its holder, after waiting for `wait_s` seconds."""
    if place is None:
        ui.say("no lock: the environment names no state bucket (state.bucket)")
        yield None
        return
    ours = acquired(place, me, wait_s, clock, sleep)
    keeper = threading.Thread(target=ours.keep, name="lock heartbeat", daemon=True)
    keeper.start()
    try:
        yield ours
    finally:
        try:
            ours.release()
        except OpsError as problem:
            ui.say(f"the lock could not be freed ({problem.why}); it expires by itself")


@contextmanager
def held_each(cloud: Cloud, settings: Settings, me: Holder, *, wait_s: float = 0.0) -> Iterator[None]:
    """Every service's lock, for what may change any of them. In one order always, so that no two wait for each other."""
    with ExitStack() as stack:
        for service in sorted(settings.environment.services) if settings.environment.state else [""]:
            stack.enter_context(held(Place.of(cloud, settings, service), me, wait_s=wait_s))
        yield


def acquired(place: Place, me: Holder, wait_s: float, clock: Callable[[], float], sleep: Callable[[float], None]) -> Held:
    end, told = clock() + wait_s, False
    while True:
        ours, other = attempt(place, me)
        if ours:
            return ours
        if clock() >= end:
            raise Refused(f"lock {place.name} is held", other, "wait for it (--wait 10m), or look: inv lock.status")
        if not told:
            ui.say(f"waiting for lock {place.name}: {other}")
            told = True
        sleep(min(POLL_S, max(0.1, end - clock())))


def attempt(place: Place, me: Holder, expiry_s: float = EXPIRY_S) -> tuple[Held | None, str]:
    """The lock, or who has it. A lock that was not renewed for `expiry_s`, or whose process ended here, is taken over, with a note."""
    found = bucket.read(place.cloud, place.bucket, place.key)
    if found is None:
        etag = bucket.create(place.cloud, place.bucket, place.key, me.as_document())
        return (Held(place, me, etag), "") if etag else (None, "somebody took it this moment")
    other = holder(found.document)
    free, dead = is_free(found.document), found.age_s > expiry_s or machine.is_gone(other.process)
    if not free and not dead:
        return None, other.said(found.age_s)
    etag = bucket.replace(place.cloud, place.bucket, place.key, me.as_document(), found.etag)
    if etag is None:
        return None, "somebody took it this moment"
    if not free:
        ui.say(f"took over a dead run's lock: {other.said(found.age_s)}")
    return Held(place, me, etag), ""


def expired(stored: bucket.Stored) -> bool:
    return stored.age_s > EXPIRY_S or machine.is_gone(holder(stored.document).process)


@dataclass(frozen=True)
class Standing:
    """A lock that somebody holds. `expired`: not renewed in time, or its process ended here: the next run takes it over."""

    place: Place
    holder: Holder
    age_s: float
    expired: bool
    etag: str

    def as_document(self) -> dict[str, object]:
        them = self.holder
        return {
            "name": self.place.name,
            "owner": them.owner,
            "host": them.host,
            "at": them.at,
            "age_s": self.age_s,
            "reason": them.reason,
            "expired": self.expired,
        }

    def as_text(self) -> str:
        return f"{self.place.name}: {self.holder.said(self.age_s)}" + (" (expired: the next run takes it over)" if self.expired else "")


def standing(cloud: Cloud, settings: Settings) -> tuple[Standing, ...]:
    """Every lock of the environment that is not free."""
    state = settings.environment.state
    if state is None:
        raise Refused("locks", "the environment names no state bucket", f"set environments.{settings.name}.state.bucket in invoke.yaml")
    prefix = f"{state.prefix}/locks/{settings.name}/"
    found = []
    for key in bucket.keys(cloud, state.bucket, prefix, 1000):
        stored = bucket.read(cloud, state.bucket, key)
        if stored and not is_free(stored.document):
            place = Place(cloud, state.bucket, key, key.removeprefix(prefix).removesuffix(".json"))
            found.append(Standing(place, holder(stored.document), stored.age_s, expired(stored), stored.etag))
    return tuple(found)


def force(lock: Standing) -> None:
    """Free somebody else's lock, if it is still the one that was shown."""
    document = lock.holder.as_document(released=True)
    if bucket.replace(lock.place.cloud, lock.place.bucket, lock.place.key, document, lock.etag) is None:
        raise Refused(f"lock {lock.place.name}", "it changed since it was shown: its owner is alive", "inv lock.status")
