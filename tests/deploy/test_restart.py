"""`inv SERVICE.restart`: its plan by table, and a restart on the sandbox."""

from __future__ import annotations

import json
import time
import urllib.request
from dataclasses import replace
from typing import Any

import pytest

from ops.core.errors import Refused
from ops.core.findings import Unknown
from ops.deploy.rules.plan import start_only
from ops.deploy.rules.restart import plan_restart
from tests.checkout import Checkout
from tests.deploy import deploying as world
from tests.deploy.test_plan import FACTS, SERVICE, deployment, service

CRASHES_IF = """
import os as _os, sys as _sys
if _os.path.exists({flag!r}):
    print("the cache is full", flush=True)
    _sys.exit(1)
"""
STATE = service(deployment())


def test_the_plan_of_a_restart_keeps_the_revision() -> None:
    """Nothing is built or registered, and there is no undo; `--no-wait` ends with the restart."""
    plan = plan_restart(FACTS, SERVICE)
    assert [step.verb for step in plan.steps] == ["restart", "watch", "prove"]
    assert "same revision backend:7 (2 tasks)" in str(plan.steps[0])
    assert plan.steps[0].undo is None
    assert [step.verb for step in start_only(plan).steps] == ["restart"]


@pytest.mark.parametrize(
    ("changes", "what", "how"),
    [
        ({"state": Unknown("denied")}, "could not be read", "inv preflight"),
        ({"state": None}, "does not exist", "inv preflight"),
        ({"revision": Unknown("denied")}, "could not be read", "inv preflight"),
        (
            {"state": service(deployment(state="IN_PROGRESS"))},
            "is in flight",
            "inv backend.watch, then inv backend.restart",
        ),
        ({"state": replace(STATE, desired=0)}, "no task", "inv backend.scale --count N"),
    ],
)
def test_what_cannot_be_restarted_is_refused(changes: dict[str, Any], what: str, how: str) -> None:
    with pytest.raises(Refused) as refused:
        plan_restart(replace(FACTS, **changes), SERVICE)
    assert what in refused.value.what and refused.value.next == how


@pytest.mark.xdist_group("platform")
@pytest.mark.timeout(240)
def test_a_restart_replaces_the_tasks_and_nobody_notices(platform: Checkout) -> None:
    """New tasks of the same revision, verified; a client in a loop sees no failed request."""
    before = world.service(platform)
    with world.client(world.overlay(platform)["site"]) as client:
        done = platform.document("backend.restart")
    after = world.service(platform)
    assert done["verdict"] == "succeeded", done
    assert [step["name"] for step in done["steps"]] == ["restart", "watch", "prove"]
    assert done["deployment"] == after["deployments"][0]["id"] != before["deployments"][0]["id"]
    assert after["taskDefinition"] == before["taskDefinition"]
    assert client.failed == [] and client.asked > 10
    assert done["tag"] == world.version(platform)
    assert not [each for each in done["health"]["changes"] if each["name"].endswith(" image")]
    row, *_ = platform.document("backend.releases")["releases"]
    assert (row["kind"], row["tag"], row["current"]) == ("restart", done["tag"], True)
    assert row["commit"].startswith(done["tag"])
    planned = platform.document("backend.restart", "--plan")
    assert [step["verb"] for step in planned["plan"]] == ["restart", "watch", "prove"]
    assert world.service(platform)["deployments"][0]["id"] == done["deployment"]


@pytest.mark.xdist_group("platform")
@pytest.mark.timeout(240)
def test_a_restart_makes_no_cached_page_old(platform: Checkout) -> None:
    """Its deployment is younger than the pages, and what they show is not."""
    with urllib.request.urlopen(world.overlay(platform)["site"] + "/", timeout=10) as answer:
        assert answer.status == 200
    time.sleep(4)  # the page is clearly older than the restart
    assert platform.document("frontend.restart")["verdict"] == "succeeded"
    checked = platform.document("cdn.check")
    page = next(page for page in checked["pages"] if page["path"] == "/")
    assert checked["healthy"] and page["cache"] == "hit", checked
    assert page["cached_before_deployment"] is None and page["state"] == "fresh", page
    text = platform.inv("cdn.check").stdout
    assert "cached before" not in text and "inv cdn.invalidate" not in text
    cached = platform.document("health.cdn")["checks"]
    assert {each["status"] for each in cached if each["name"].startswith("cache /")} == {"ok"}, (
        cached
    )


@pytest.mark.xdist_group("platform")
@pytest.mark.timeout(300)
def test_a_restart_that_fails_is_not_undone_and_says_what_runs(platform: Checkout) -> None:
    """New tasks crash: exit 1 with their log, and the old ones go on serving."""
    flag = platform.root / "cache-full"
    server = (world.source(platform) / "backend/server.py").read_text()
    code = CRASHES_IF.format(flag=str(flag)) + server
    tag = world.commit(platform, {"backend/server.py": code}, "Starts once")
    assert platform.document("backend.deploy", "--skip", "tests")["verdict"] == "succeeded"
    flag.write_text("")
    done = platform.inv("backend.restart", "--json")
    serving = world.version(platform)
    flag.unlink()
    world.revert(platform)
    assert platform.document("backend.deploy", "--skip", "tests")["verdict"] == "succeeded"
    result = json.loads(done.stdout)
    assert (done.returncode, result["verdict"]) in ((1, "failed"), (4, "rolled_back"))
    evidence = [each["text"] for each in result["findings"][0]["evidence"]]
    assert "the cache is full" in evidence
    assert "running now: " in result["next"] and serving == tag
    assert "inv backend.watch" in result["next"] and "backend.deploy" not in result["next"]
