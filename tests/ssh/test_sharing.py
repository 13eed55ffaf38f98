"""One connection to a bastion for all that need it during one task."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest

from ops.core.errors import Unreachable
from ops.ssh.sharing import SharedConnections

pytestmark = pytest.mark.timeout(60)


@dataclass
class Opened:
    """A connection that counts how often it was closed."""

    alive: bool = True
    closed: list[bool] = field(default_factory=list)

    def is_alive(self) -> bool:
        return self.alive

    def close(self) -> None:
        self.alive = False
        self.closed.append(True)


def test_threads_that_ask_at_the_same_time_share_one() -> None:
    """It is opened once, and once more after it was lost."""
    pool, opened = SharedConnections[Opened](), list[Opened]()

    def open_one() -> Opened:
        time.sleep(0.1)
        opened.append(Opened())
        return opened[-1]

    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda _: pool.get("a", open_one), range(8)))
    assert len(opened) == 1 and all(each is opened[0] for each in found)
    opened[0].alive = False
    assert pool.get("a", open_one) is opened[1]
    assert opened[0].closed == [True], "its gateways may still be connected"
    assert pool.get("b", open_one) is opened[2]
    pool.close()
    assert [each.closed for each in opened] == [[True], [True], [True]]


def test_who_waits_gets_the_error_too() -> None:
    """A bastion that does not answer is tried once by all who ask meanwhile, and later again."""
    pool, tries = SharedConnections[Opened](), list[int]()

    def fail() -> Opened:
        tries.append(1)
        time.sleep(0.2)
        raise Unreachable("bastion", "no answer", "try again")

    def ask(_: int) -> str:
        with pytest.raises(Unreachable) as error:
            pool.get("a", fail)
        return error.value.why

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(ask, range(4))) == ["no answer"] * 4
    assert len(tries) == 1
    assert pool.get("a", Opened).alive


def test_what_opens_after_the_end_is_closed() -> None:
    """A read that was given up leaves no connection open."""
    pool, ends, late = SharedConnections[Opened](), threading.Event(), Opened()

    def open_late() -> Opened:
        assert ends.wait(10)
        return late

    with ThreadPoolExecutor(1) as threads:
        reading = threads.submit(pool.get, "a", open_late)
        while not pool._opened:
            time.sleep(0.01)
        pool.close()
        ends.set()
        assert reading.result(10) is late
    assert late.closed == [True]
