"""Two machines, one lock: against a real S3 API (moto's server), with threads as the machines."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from ops.aws import s3, session
from ops.core import host_identity as machine
from ops.core.errors import Interrupted, OpsError, Refused
from ops.state import lock, lock_admin
from tests import plain_aws


@pytest.fixture(scope="module")
def cloud() -> Iterator[session.AwsSession]:
    yield from plain_aws.with_bucket("state")


@pytest.fixture
def place(cloud: session.AwsSession, request: pytest.FixtureRequest) -> lock.LockLocation:
    return lock.LockLocation(cloud, "state", f"ops/locks/here/{request.node.name}.json", "backend")


def test_one_runs_and_the_other_is_told_who_has_it(place: lock.LockLocation) -> None:
    """The second deploy is refused with the first one's owner, host and reason, exit 3."""
    second = lock.hold(place, lock.myself("deploy def5678", "def5678"))
    with (
        lock.hold(place, lock.myself("deploy abc1234", "abc1234")),
        pytest.raises(Refused) as caught,
        second,
    ):
        pytest.fail("held twice")
    assert (
        "deploy abc1234" in str(caught.value)
        and "--lock-wait" in str(caught.value)
        and caught.value.code == 3
    )


@pytest.mark.parametrize(
    "way_out", [OpsError("failed"), Interrupted("SIGTERM"), KeyboardInterrupt()]
)
def test_it_is_freed_on_every_way_out(place: lock.LockLocation, way_out: BaseException) -> None:
    """An error, a signal and Ctrl-C free it; the next run takes it at once."""
    with pytest.raises(type(way_out)), lock.hold(place, lock.myself("one", "")):
        raise way_out
    with lock.hold(place, lock.myself("two", "")) as ours:
        assert ours and not ours.lost.is_set()


def test_waiting_takes_it_when_it_is_freed(place: lock.LockLocation) -> None:
    """`--lock-wait` looks again until the holder is done."""
    inside, done = threading.Event(), threading.Event()

    def first() -> None:
        with lock.hold(place, lock.myself("one", "")):
            inside.set()
            done.wait(20)

    thread = threading.Thread(target=first)
    thread.start()
    inside.wait(20)
    with lock.hold(place, lock.myself("two", ""), wait_s=20, sleep=lambda _: done.set()):
        assert done.is_set()
    thread.join()


def test_a_dead_owners_lock_is_taken_over_with_a_note(
    place: lock.LockLocation, capsys: pytest.CaptureFixture[str]
) -> None:
    """After a kill -9 nobody renews it; past its expiry the next run takes it and says whose it
    was.
    """
    lock.acquire(place, lock.myself("killed", ""), 0, lambda: 0.0, lambda _: None)
    assert lock.try_acquire(place, lock.myself("next", ""))[0] is None
    ours, _ = lock.try_acquire(place, lock.myself("next", ""), expiry_s=-1)
    assert ours and "took over a dead run's lock" in capsys.readouterr().err


def test_a_run_that_was_killed_on_this_machine_is_known_to_be_gone(
    place: lock.LockLocation,
) -> None:
    """The next run on the same machine need not wait for the expiry; a process elsewhere is never
    called gone.
    """
    killed = subprocess.Popen([sys.executable, "-c", ""])
    killed.wait()
    here = machine.here()
    for process, free in (
        (f"elsewhere/{killed.pid}", False),
        (f"{here}/{os.getpid()}", False),
        (f"{here}/{killed.pid}", True),
    ):
        lock.acquire(
            place,
            replace(lock.myself("killed", ""), process=process),
            0,
            lambda: 0.0,
            lambda _: None,
        )
        ours, _ = lock.try_acquire(place, lock.myself("next", ""))
        assert (ours is not None) == free
        (ours or lock.try_acquire(place, lock.myself("", ""), expiry_s=-1)[0]).release()  # type: ignore[union-attr]


def test_a_lock_that_was_taken_over_says_so_before_the_next_step(place: lock.LockLocation) -> None:
    """A holder that slept past the expiry does not go on beside the new one."""
    ours = lock.acquire(place, lock.myself("slept", ""), 0, lambda: 0.0, lambda _: None)
    s3.replace(
        place.cloud, place.bucket, place.key, lock.myself("other", "").as_document(), ours.etag
    )
    ours.write(released=False)
    with pytest.raises(OpsError, match="was lost"):
        ours.check()


def test_a_lost_answer_does_not_lose_the_lock(place: lock.LockLocation) -> None:
    """Our own write whose answer never came is recognised as ours."""
    ours = lock.acquire(place, lock.myself("one", ""), 0, lambda: 0.0, lambda _: None)
    s3.replace(place.cloud, place.bucket, place.key, ours.holder.as_document(beat=1), ours.etag)
    ours.write(released=False)
    ours.check()


def test_of_many_at_once_one_wins(place: lock.LockLocation) -> None:
    """Eight machines start together: one holds it, seven are refused, with the winner's name."""
    won: list[str] = []
    told: list[str] = []
    barrier = threading.Barrier(8)

    def machine(name: str) -> None:
        barrier.wait()
        ours, other = lock.try_acquire(place, lock.myself(f"deploy {name}", ""))
        won.extend([name] if ours else [])
        told.extend([] if ours else [other])

    threads = [threading.Thread(target=machine, args=(str(number),)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1 and len(told) == 7
    assert all(f"(deploy {won[0]})" in other for other in told), told


@pytest.mark.parametrize("before", ["nothing", "a released lock"])
def test_who_loses_the_race_is_told_by_whom(place: lock.LockLocation, before: str) -> None:
    """Between our look and our write somebody else takes it: S3 refuses our write, and the refusal
    has their name.
    """
    if before != "nothing":
        lock.acquire(place, lock.myself("earlier", ""), 0, lambda: 0.0, lambda _: None).release()
    theirs = place.cloud
    ours = session.of_overlay(str(theirs.endpoint), "AKIATEST", "test", "us-east-1")
    faster = iter([lock.myself("deploy of the faster one", "")])

    def they_come_first(**_: object) -> None:
        for them in faster:
            assert lock.try_acquire(place, them)[0]

    ours.client("s3").meta.events.register("before-call.s3.PutObject", they_come_first)
    with (
        pytest.raises(Refused) as caught,
        lock.hold(replace(place, cloud=ours), lock.myself("ours", "")),
    ):
        pytest.fail("held twice")
    assert "deploy of the faster one" in caught.value.why


def test_a_lock_that_was_freed_in_its_owners_lifetime_is_lost_to_it(
    place: lock.LockLocation,
) -> None:
    """`lock.release` of a living run: its heartbeat does not take it back, its next step is
    refused, and says who freed it.
    """
    ours = lock.acquire(place, lock.myself("one", ""), 0, lambda: 0.0, lambda _: None)
    found = s3.read(place.cloud, place.bucket, place.key)
    assert found
    lock_admin.force_release(lock_admin.LockStatus(place, ours.holder, found, expired=False))
    ours.check()  # only a write shows it
    with pytest.raises(OpsError, match="was lost") as caught:
        ours.check(strict=True)
    assert f"freed by {machine.owner()}" in caught.value.why
    assert lock.try_acquire(place, lock.myself("two", ""))[0]


def test_what_changed_since_it_was_shown_is_not_freed(place: lock.LockLocation) -> None:
    """A heartbeat came between: its owner lives, so the lock stays."""
    ours = lock.acquire(place, lock.myself("one", ""), 0, lambda: 0.0, lambda _: None)
    found = s3.read(place.cloud, place.bucket, place.key)
    assert found
    ours.write(released=False)
    with pytest.raises(Refused, match="its owner is alive"):
        lock_admin.force_release(lock_admin.LockStatus(place, ours.holder, found, expired=False))


def test_a_machine_that_slept_looks_before_it_changes_anything(place: lock.LockLocation) -> None:
    """Past the expiry the lock is renewed before the next step; it is lost where somebody took it
    meanwhile.
    """
    now = [0.0]
    ours = lock.acquire(place, lock.myself("slept", ""), 0, lambda: 0.0, lambda _: None)
    ours.clock = lambda: now[0]
    ours.renewed = 0.0
    now[0] = 3600.0
    assert ours.overdue
    ours.check(strict=True)
    assert not ours.overdue
    now[0] = 7200.0
    assert lock.try_acquire(place, lock.myself("deploy of another", ""), expiry_s=-1)[0]
    with pytest.raises(OpsError, match="was lost") as caught:
        ours.check(strict=True)
    assert "deploy of another" in caught.value.why


def test_a_lock_that_cannot_be_renewed_stops_what_has_changed_nothing_yet(
    place: lock.LockLocation,
) -> None:
    """The bucket is out of reach for over a minute: nobody knows whose it is, so nothing is begun;
    a running rollout goes on.
    """
    ours = lock.acquire(place, lock.myself("one", ""), 0, lambda: 0.0, lambda _: None)
    ours.location = replace(place, bucket="gone")
    ours.renewed -= 90
    ours.check()
    ours.renewed += 90
    ours.check(strict=True)  # for a moment: no reason to stop
    ours.renewed -= 90
    with pytest.raises(OpsError, match="may be lost") as caught:
        ours.check(strict=True)
    assert "could not be renewed for" in caught.value.why


def test_a_lock_is_shown_with_its_own_age(place: lock.LockLocation) -> None:
    """`age_s` since it was taken, by S3's clock; `heartbeat_s` since it was renewed."""
    at = datetime.now(UTC) - timedelta(hours=1)
    ours = lock.acquire(
        place,
        replace(lock.myself("one", "abc1234"), at=at.isoformat()),
        0,
        lambda: 0.0,
        lambda _: None,
    )
    found = s3.read(place.cloud, place.bucket, place.key)
    assert found
    shown = lock_admin.LockStatus(place, ours.holder, found, expired=False).as_document()
    assert 3595 < float(str(shown["age_s"])) < 3700 and float(str(shown["heartbeat_s"])) < 1800
    assert shown["commit"] == "abc1234"
    assert datetime.fromisoformat(str(shown["expires"])) > datetime.now(UTC)
    unknown = lock_admin.LockStatus(place, replace(ours.holder, at="?"), found, expired=False)
    assert unknown.age_s is None and unknown.as_document()["at"] == "?"
