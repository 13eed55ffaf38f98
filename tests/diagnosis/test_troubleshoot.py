"""`inv troubleshoot.*` on the sandbox: nothing on a healthy platform, the cause first otherwise."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.checkout import Checkout
from tests.deploy import deploying as world
from tests.diagnosis.looking import until_nothing

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


def test_a_deploy_and_a_rollback_are_no_finding(platform: Checkout) -> None:
    """While new tasks start, when the deploy has ended, and after a rollback."""
    world.commit(platform, {"backend/NOTE": "one"}, "Release one")
    assert platform.inv("backend.deploy", "--skip", "tests").returncode == 0
    world.commit(platform, {"backend/NOTE": "two"}, "Release two")
    deploy = world.start(platform, "backend.deploy", "--skip", "tests")
    world.read_until(deploy, "  deployment ecs-svc/")
    during = troubleshoot(platform)
    if deploy.poll() is None:  # else it ended during the look, which then has facts of two moments
        assert during["findings"] == []
    deploy.communicate(timeout=120)
    assert deploy.returncode == 0
    until_nothing(platform)
    assert platform.inv("backend.rollback", "--yes").returncode == 0
    until_nothing(platform)


def test_a_saved_incident_is_replayed(platform: Checkout) -> None:
    """`--save` and `--from`: the same causes in the same order, without the platform."""
    assert platform.inv("sandbox.break", "image-missing").returncode == 0
    folder = platform.root / "incident"
    live = troubleshoot(platform, "troubleshoot.tasks", "--save", str(folder))
    replayed = troubleshoot(platform, "troubleshoot.tasks", "--from", str(folder))
    assert replayed["findings"] == live["findings"] != []


def test_a_fix_is_planned_run_and_the_cause_is_gone(platform: Checkout) -> None:
    assert platform.inv("sandbox.break", "database-stopped").returncode == 0
    done = platform.inv("troubleshoot.all", "--fix", "--yes", "--json")
    found = json.loads(done.stdout)
    [fix] = found["fixes"]
    assert fix["cause"] == "database_stopped" and fix["exit_code"] == 0 and fix["gone"] is True
    assert "database_stopped" not in [each["cause"] for each in found["findings"]]
