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
from tests.deploy.deploying import REGISTERED
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
def test_killed_in_the_middle_the_next_command_names_it(platform: Checkout) -> None:
    """kill -9: refused while its deployment is in flight; then the dead run's lock names it."""
    process = world.start(platform, "backend.restart")
    world.read_until(process, "  deployment ecs-svc/")
    process.kill()
    process.communicate()
    refused = platform.inv("backend.restart")
    assert refused.returncode == 3, refused.stderr
    assert "a deployment of backend is in flight" in refused.stderr
    assert "next: inv backend.watch, then inv backend.restart" in refused.stderr
    assert platform.document("backend.watch")["verdict"] in ("succeeded", None)
    done = platform.inv("backend.restart")
    assert done.returncode == 0, done.stderr
    assert "took over a dead run's lock" in done.stderr
    assert f"(restart {world.version(platform)})" in done.stderr
    assert platform.document("lock.status") == {"locks": []}


@pytest.mark.xdist_group("platform")
@pytest.mark.timeout(240)
def test_an_image_that_is_named_by_its_digest(platform: Checkout) -> None:
    """Restarted by the tag that ECR has for the digest; without one, the AWS CLI's command."""
    version = world.version(platform)
    pinned = pin_by_digest(platform, version)
    done = platform.document("backend.restart")
    assert (done["verdict"], done["tag"]) == ("succeeded", version), done
    assert world.service(platform)["taskDefinition"] == pinned
    image = {"repositoryName": "davidshaevel/backend", "imageIds": [{"imageTag": version}]}
    world.aws(platform, "ecr").batch_delete_image(**image)
    refused = platform.inv("backend.restart")
    assert refused.returncode == 3, refused.stderr
    assert "no tag of davidshaevel/backend names it" in refused.stderr
    assert "--service dev-davidshaevel-backend --force-new-deployment" in refused.stderr
    world.commit(platform, {"backend/NOTE": "by tag"}, "By its tag again")
    assert platform.document("backend.deploy", "--skip", "tests")["verdict"] == "succeeded"


def pin_by_digest(platform: Checkout, tag: str) -> str:
    """Roll out a revision whose image is named by its digest; its ARN."""
    ecs, ecr = world.aws(platform, "ecs"), world.aws(platform, "ecr")
    wanted = {"repositoryName": "davidshaevel/backend", "imageIds": [{"imageTag": tag}]}
    digest = ecr.describe_images(**wanted)["imageDetails"][0]["imageDigest"]
    base = world.service(platform)["taskDefinition"]
    found = ecs.describe_task_definition(taskDefinition=base)["taskDefinition"]
    request = {name: found[name] for name in REGISTERED if name in found}
    (container,) = request["containerDefinitions"]
    container["image"] = f"{container['image'].rpartition(':')[0]}@{digest}"
    made = ecs.register_task_definition(**request)["taskDefinition"]["taskDefinitionArn"]
    ecs.update_service(
        cluster="dev-davidshaevel-cluster", service="dev-davidshaevel-backend", taskDefinition=made
    )
    assert platform.document("backend.watch")["verdict"] in ("succeeded", None)
    return str(made)


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
