"""The platform before and after a migration, and after a deploy that was taken back: what changed,
and what was ill already.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.checkout import Checkout
from tests.deploy import deploying as world
from tests.health.sweeps import break_it, ill, until_well

pytestmark = pytest.mark.timeout(240)
CRASH = {"backend/server.py": world.CRASH, "backend/test_server.py": ""}


@pytest.fixture(autouse=True)
def mended(platform: Checkout) -> Iterator[None]:
    """Whatever a test broke is mended after it, and the database is at its head."""
    yield
    platform.inv("sandbox.mend", "--all", "db.upgrade", "--yes")


def changed(health: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {change["name"]: (change["before"], change["after"]) for change in health["changes"]}


def test_a_migration_tells_what_it_changed(platform: Checkout) -> None:
    """Down and up again on one line: each looks before and after, tells the schema's change, and
    not of the lock that was held already.
    """
    platform.inv("db.upgrade")
    until_well(platform)
    break_it(platform, "state-lock")
    done = platform.inv("db.downgrade", "--yes", "--json", "db.upgrade", "--json")
    assert done.returncode == 0, done.stderr
    down, up = (json.loads(line) for line in done.stdout.splitlines())
    for document, about in ((down, "db.downgrade to 0002"), (up, "db.upgrade to 0003")):
        health = document["health"]
        assert (
            health["before"]["about"] == f"before {about}"
            and health["after"]["about"] == f"after {about}"
        )
        assert "terraform · state lock" in ill(
            health["before"]
        ) and "terraform · state lock" in ill(health["after"])
        assert "terraform · state lock" not in changed(health)
    was, now = changed(down["health"])["db · schema"]
    assert was.startswith("0003") and now.startswith("0002")
    was, now = changed(up["health"])["db · schema"]
    assert was.startswith("0002") and now.startswith("0003")
    text = platform.inv("db.downgrade", "--yes").stdout
    assert "db · schema 0003 → 0002" in text and "state lock" in text and "(as before)" in text


def test_a_deploy_that_was_taken_back_left_all_as_it_was(platform: Checkout) -> None:
    """Rolled back (exit 4): both looks are in its document, and neither image nor pages are told as
    changed.
    """
    until_well(platform)
    world.commit(platform, CRASH, "A version that crashes")
    try:
        done = platform.inv("backend.deploy", "--json", "--skip", "tests")
    finally:
        world.revert(platform)
    assert done.returncode == 4, done.stderr
    health = json.loads(done.stdout)["health"]
    assert health["before"]["healthy"] and {
        check["group"] for check in health["after"]["checks"]
    } >= {"ecs", "endpoints", "targets"}
    told = changed(health)
    assert not [
        name for name in told if name.startswith("/") or name.endswith((" image", " tasks"))
    ], told
