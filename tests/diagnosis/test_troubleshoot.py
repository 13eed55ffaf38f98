"""`inv troubleshoot.*` on the sandbox: nothing on a healthy platform, the cause first otherwise."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.checkout import Checkout

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(autouse=True)
def mended(platform: Checkout) -> Iterator[None]:
    """Whatever a test broke is mended after it."""
    yield
    platform.inv("sandbox.mend", "--all")


def troubleshoot(platform: Checkout, *words: str) -> dict[str, Any]:
    done = platform.inv(*(words or ("troubleshoot.all",)), "--json")
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["broken_rules"] == []
    assert done.returncode == (1 if found["findings"] else 0), done.stderr
    return found


def test_nothing_is_found_on_a_healthy_platform(platform: Checkout) -> None:
    found = troubleshoot(platform)
    assert found["findings"] == [] and found["unknown"] == []
    assert {"ecs", "db", "ecs/services", "elb/targets"} <= set(found["examined"])


@pytest.mark.parametrize(
    ("fault", "cause"),
    [("database-stopped", "database_stopped"), ("image-missing", "image_missing")],
)
def test_the_cause_of_a_fault_comes_first(platform: Checkout, fault: str, cause: str) -> None:
    assert platform.inv("sandbox.break", fault).returncode == 0
    found = troubleshoot(platform, "troubleshoot.stale")  # a wrong hint
    first = found["findings"][0]
    assert first["cause"] == cause and first["explained_by"] == "" and first["evidence"]
    assert first["fix"]
