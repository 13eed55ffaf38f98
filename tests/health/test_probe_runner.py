"""Many probes under one deadline: none holds the others up, and what does not answer keeps its
names.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable

import pytest

from ops.core.errors import Refused, Unreachable
from ops.core.parallel import with_timeout
from ops.health.model import Check, CheckKey
from ops.health.probe_runner import CONCURRENCY, Probe, run_all

WELL = Check(CheckKey("endpoints", "page", "/", "cdn"), "ok", "200")


def never() -> Iterable[Check]:
    threading.Event().wait(30)
    return [WELL]


def test_calls_that_hang_take_no_place_from_the_pages() -> None:
    """Twice as many hanging calls as there are places, and the pages answer at once."""
    hung = [
        Probe((CheckKey("ecs", "tasks", f"service {number}"),), never)
        for number in range(2 * CONCURRENCY)
    ]
    found = run_all([*hung, Probe((WELL.key,), lambda: [WELL], lane="pages")], deadline_s=1.0)
    assert found[-1].status == "ok" and {check.status for check in found[:-1]} == {"unknown"}


def test_no_answer_keeps_the_names_of_the_checks() -> None:
    """Late, crashed and empty alike: a change from one run to the next is seen, and whose it is."""

    def crash() -> Iterable[Check]:
        raise KeyError("x")

    keys = (CheckKey("ecs", "tasks", "backend"), CheckKey("ecs", "image", "backend"))
    for ask, why in (
        (never, "no answer within"),
        (crash, "KeyError"),
        (tuple, "returned no check"),
    ):
        found = run_all(
            [Probe(keys, ask, "backend")],
            deadline_s=0.2,
        )
        assert [(check.name, check.status, check.service) for check in found] == [
            ("backend tasks", "unknown", "backend"),
            ("backend image", "unknown", "backend"),
        ]
        assert all(why in check.detail for check in found)


def test_a_bound_for_one_question() -> None:
    """Its answer, its own error, or that it took too long."""
    assert with_timeout(lambda: 3, 5.0, "x") == 3
    with pytest.raises(Refused):
        with_timeout(refusing, 5.0, "x")
    began = time.monotonic()
    with pytest.raises(Unreachable, match="no answer within"):
        with_timeout(never, 0.2, "x")
    assert time.monotonic() - began < 10


def refusing() -> int:
    raise Refused("no", "because", "ask")
