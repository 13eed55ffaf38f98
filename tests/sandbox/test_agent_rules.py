"""The pure parts of the agent by table: what to start and stop next, the breaker's threshold,
matchers, addresses.
"""

import pytest

from ops.sandbox.agent.access import ResourceError, TaskAccess
from ops.sandbox.agent.addresses import Addresses, NoAddress
from ops.sandbox.agent.breaker import threshold, wait_before_launch
from ops.sandbox.agent.health import codes_match
from ops.sandbox.agent.reconcile import ServiceView, Start, Stop, TaskView, reconcile
from ops.sandbox.agent.resources import log_writer


def view(desired, percent, *tasks, may_start=True):
    """Tasks as `new+` (healthy) `new-` (not yet) `old+` `old-`; ids are `new0`, `old1` … in
    order.
    """
    seen = [
        TaskView(f"{each[:3]}{index}", each[:3], each[3] == "+", float(index))
        for index, each in enumerate(tasks)
    ]
    minimum, maximum = percent
    return ServiceView(desired, minimum, maximum, "new", may_start, tuple(seen))


ROLLING, CRAMPED = (100, 200), (50, 100)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (view(2, ROLLING), (Start(2),)),
        (view(2, ROLLING, "new-"), (Start(1),)),
        (view(2, ROLLING, "new+", "new+"), ()),
        (view(2, ROLLING, "old+", "old+"), (Start(2),)),
        (view(2, ROLLING, "old+", "old+", "new-", "new-"), ()),
        (view(2, ROLLING, "old+", "old+", "new+", "new-"), (Stop(("old1",)),)),
        (view(2, ROLLING, "old+", "old+", "new+", "new+"), (Stop(("old1", "old0")),)),
        (view(2, ROLLING, "old-", "old+", "new-", "new-"), (Stop(("old0",)),)),
        (view(2, (100, 150), "old+", "old+"), (Start(1),)),
        (view(2, (100, 150), "old+", "old+", "new-"), ()),
        (view(2, (100, 150), "old+", "old+", "new+"), (Stop(("old1",)),)),
        (view(2, CRAMPED, "old+", "old+"), (Stop(("old1",)),)),
        (view(2, CRAMPED, "old+"), (Start(1),)),
        (view(2, CRAMPED, "old+", "new-"), ()),
        (view(2, (100, 100), "old+", "old+"), ()),
        (view(3, (0, 200), "old+", "old+", "old+"), (Start(3),)),
        (view(0, ROLLING, "new+", "new-"), (Stop(("new1", "new0")),)),
        (view(1, ROLLING, "new+", "new+"), (Stop(("new1",)),)),
        (view(2, ROLLING, "old+", "old+", may_start=False), ()),
        (view(2, ROLLING, "old-", "old+", may_start=False), ()),
    ],
)
def test_reconcile(given, expected):
    """The next actions keep between minimum and maximum healthy percent, and old tasks leave only
    for healthy new ones.
    """
    assert reconcile(given) == expected


def test_breaker_threshold_and_back_off():
    """The breaker trips at half the desired count, at least 3, at most 200; the waits between
    launches double to a bound.
    """
    assert [threshold(each) for each in (1, 2, 6, 7, 25, 1000)] == [3, 3, 3, 4, 13, 200]
    assert [wait_before_launch(each, 1.0) for each in (0, 2, 3, 4, 5, 50)] == [0, 0, 1, 2, 4, 30]


def test_matchers():
    """A target group's matcher may be a code, a range, or a list of both."""
    assert (
        codes_match("200", 200)
        and codes_match("200-299", 204)
        and codes_match("200,301", 301)
        and codes_match("200, 300-399", 302)
    )
    assert (
        not codes_match("200", 204) and not codes_match("200,301", 302) and not codes_match("", 200)
    )


def test_addresses_are_used_once_and_come_back_late():
    """Each task gets an address of its own, and a freed one is handed out again only after all
    others.
    """
    addresses = Addresses("127.1.2")
    first = addresses.take()
    addresses.give_back(first)
    others = [addresses.take() for _ in range(253)]
    assert first == "127.1.2.1" and first not in others and len(set(others)) == 253
    assert addresses.take() == first
    with pytest.raises(NoAddress, match=r"127\.1\.2\.0/24"):
        addresses.take()


def test_awslogs_options_are_required():
    """A log configuration without its stream prefix is refused by name, as Fargate does."""
    options = {"awslogs-group": "/x", "awslogs-region": "us-east-1"}
    with pytest.raises(ResourceError, match="awslogs-stream-prefix is required"):
        log_writer(
            {"name": "web", "logConfiguration": {"logDriver": "awslogs", "options": options}},
            TaskAccess("id", "", {}),
        )
