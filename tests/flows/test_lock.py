"""Two machines, one lock: against a real S3 API (moto's server), with threads as the machines."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest

from ops.adapters import aws, bucket, machine
from ops.errors import Interrupted, OpsError, Refused
from ops.flows import lock
from tests import plain_aws


@pytest.fixture(scope="module")
def cloud() -> Iterator[aws.Cloud]:
    for endpoint in plain_aws.served():
        found = aws.of_overlay(endpoint, "AKIATEST", "test", "us-east-1")
        found.client("s3").create_bucket(Bucket="state")
        yield found


@pytest.fixture
def place(cloud: aws.Cloud, request: pytest.FixtureRequest) -> lock.Place:
    return lock.Place(cloud, "state", f"ops/locks/here/{request.node.name}.json", "backend")


def test_one_runs_and_the_other_is_told_who_has_it(place: lock.Place) -> None:
    """The second deploy is refused with the first one's owner, host and reason, exit 3."""
    second = lock.held(place, lock.myself("deploy def5678", "def5678"))
    with lock.held(place, lock.myself("deploy abc1234", "abc1234")), pytest.raises(Refused) as caught, second:
        pytest.fail("held twice")
    assert "deploy abc1234" in str(caught.value) and "--wait" in str(caught.value) and caught.value.code == 3


@pytest.mark.parametrize("way_out", [OpsError("failed"), Interrupted("SIGTERM"), KeyboardInterrupt()])
def test_it_is_freed_on_every_way_out(place: lock.Place, way_out: BaseException) -> None:
    """An error, a signal and Ctrl-C free it; the next run takes it at once."""
    with pytest.raises(type(way_out)), lock.held(place, lock.myself("one", "")):
        raise way_out
    with lock.held(place, lock.myself("two", "")) as ours:
        assert ours and not ours.lost.is_set()


def test_waiting_takes_it_when_it_is_freed(place: lock.Place) -> None:
    """`--wait` looks again until the holder is done."""
    inside, done = threading.Event(), threading.Event()

    def first() -> None:
        with lock.held(place, lock.myself("one", "")):
            inside.set()
            done.wait(20)

    thread = threading.Thread(target=first)
    thread.start()
    inside.wait(20)
    with lock.held(place, lock.myself("two", ""), wait_s=20, sleep=lambda _: done.set()):
        assert done.is_set()
    thread.join()


def test_a_dead_owners_lock_is_taken_over_with_a_note(place: lock.Place, capsys: pytest.CaptureFixture[str]) -> None:
    """After a kill -9 nobody renews it; past its expiry the next run takes it and says whose it was."""
    lock.acquired(place, lock.myself("killed", ""), 0, lambda: 0.0, lambda _: None)
    assert lock.attempt(place, lock.myself("next", ""))[0] is None
    ours, _ = lock.attempt(place, lock.myself("next", ""), expiry_s=-1)
    assert ours and "took over a dead run's lock" in capsys.readouterr().err


def test_a_run_that_was_killed_on_this_machine_is_known_to_be_gone(place: lock.Place) -> None:
    """The next run on the same machine need not wait for the expiry; a process elsewhere is never called gone."""
    killed = subprocess.Popen([sys.executable, "-c", ""])
    killed.wait()
    here = machine.here()
    for process, free in ((f"elsewhere/{killed.pid}", False), (f"{here}/{os.getpid()}", False), (f"{here}/{killed.pid}", True)):
        lock.acquired(place, replace(lock.myself("killed", ""), process=process), 0, lambda: 0.0, lambda _: None)
        ours, _ = lock.attempt(place, lock.myself("next", ""))
        assert (ours is not None) == free
        (ours or lock.attempt(place, lock.myself("", ""), expiry_s=-1)[0]).release()   # type: ignore[union-attr]


def test_a_lock_that_was_taken_over_says_so_before_the_next_step(place: lock.Place) -> None:
    """A holder that slept past the expiry does not go on beside the new one."""
    ours = lock.acquired(place, lock.myself("slept", ""), 0, lambda: 0.0, lambda _: None)
    bucket.replace(place.cloud, place.bucket, place.key, lock.myself("other", "").as_document(), ours.etag)
    ours.write(released=False)
    with pytest.raises(OpsError, match="was lost"):
        ours.check()


def test_a_lost_answer_does_not_lose_the_lock(place: lock.Place) -> None:
    """Our own write whose answer never came is recognised as ours."""
    ours = lock.acquired(place, lock.myself("one", ""), 0, lambda: 0.0, lambda _: None)
    bucket.replace(place.cloud, place.bucket, place.key, ours.holder.as_document(beat=1), ours.etag)
    ours.write(released=False)
    ours.check()


def test_of_many_at_once_one_wins(place: lock.Place) -> None:
    """Eight machines start together: one holds it, seven are refused."""
    won: list[str] = []
    barrier = threading.Barrier(8)

    def machine(name: str) -> None:
        barrier.wait()
        ours, _ = lock.attempt(place, lock.myself(name, ""))
        if ours:
            won.append(name)

    threads = [threading.Thread(target=machine, args=(str(number),)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
