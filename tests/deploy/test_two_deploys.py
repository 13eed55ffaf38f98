"""Two people deploy the same service at once: one runs, the other is told, or waits."""

from __future__ import annotations

import json

import pytest

from tests.checkout import Checkout
from tests.deploy import deploying as world

pytestmark = [pytest.mark.xdist_group("platform"), pytest.mark.timeout(240)]


def test_of_two_deploys_at_once_one_runs_and_the_other_is_told_by_whom(platform: Checkout) -> None:
    """Both are started together: one succeeds, the other ends with 3, names the first one and has
    changed nothing.
    """
    tag = world.commit(platform, {"backend/NOTE": "two at once"}, "Two at once")
    both = [world.start(platform, "backend.deploy", "--json") for _ in range(2)]
    said = [each.communicate(timeout=200) for each in both]
    assert sorted(each.returncode for each in both) == [0, 3], said
    told = next(
        json.loads(out) for each, (out, _) in zip(both, said, strict=True) if each.returncode == 3
    )
    assert told["verdict"] == "refused"
    assert (
        "lock backend is held" in told["error"]["what"] and f"deploy {tag}" in told["error"]["why"]
    )
    assert world.version(platform) == tag
    releases = platform.document("backend.releases")["releases"]
    (mine,) = [row for row in releases if row["tag"] == tag]
    assert mine["current"] and mine["schema_revision"]
    assert platform.document("lock.status")["locks"] == []


def test_the_second_waits_and_then_finds_it_done(platform: Checkout) -> None:
    """With --lock-wait the second runs after the first, and has nothing left to roll out."""
    tag = world.commit(platform, {"backend/NOTE": "one after the other"}, "One after the other")
    both = [
        world.start(platform, "backend.deploy", "--json", "--lock-wait", "3m") for _ in range(2)
    ]
    documents = [json.loads(each.communicate(timeout=200)[0]) for each in both]
    assert [each["verdict"] for each in documents] == ["succeeded", "succeeded"]
    rolled = ["update" in [step["name"] for step in each["steps"]] for each in documents]
    assert sorted(rolled) == [False, True]
    told = [tag in json.dumps(each["health"]["changes"]) for each in documents]
    assert told == rolled, "what the first one changed is not told as the second one's"
    assert world.version(platform) == tag
