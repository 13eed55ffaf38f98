"""kill -9 of a deploying process at each step, and a network that drops: the next run converges,
nothing is done twice.
"""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.checkout import Checkout
from tests.deploy import deploying as world
from tests.relay import before_aws

pytestmark = [pytest.mark.xdist_group("platform"), pytest.mark.timeout(240)]
ONE_AFTER_THE_OTHER = {
    "preflight": "tests of backend",
    "built": "Successfully tagged",
    "pushed": " is sha256:",
    "registered": "revision dev-davidshaevel-backend",
    "updated": "deployment ecs-svc/",
}
# The engine may end what it has begun, and ECS does: what the next run meets is not the same each
# time.
AT_WORK = {
    "build": "Step 2/",
    "push": "Pushing",
    "watching": "event:",
    "rolled out": "== completed",
}


def kill_at(platform: Checkout, words: str) -> str:
    """Start a deploy, and kill it with -9 once it has said `words`; what it had said until then."""
    process = world.start(platform, "backend.deploy", "--verbose")
    said = world.read_until(process, words)
    process.kill()
    process.communicate()
    return said


def converged(platform: Checkout, tag: str, before: int) -> dict[str, Any]:
    """The deploy that is not killed: it ends in the new version, on one new revision, with no lock
    left behind.
    """
    done = platform.document("backend.deploy")
    assert done["verdict"] == "succeeded" and world.version(platform) == tag, done
    assert (
        int(world.service(platform)["taskDefinition"].rsplit(":", 1)[1])
        == world.newest_revision(platform)
        == before + 1
    )
    assert platform.document("lock.status") == {"locks": []}
    (runs,) = [row for row in platform.document("backend.releases")["releases"] if row["current"]]
    assert (runs["tag"], runs["verdict"], runs["recorded"]) == (
        tag,
        "succeeded",
        True,
    )  # also where only the proof was left to do
    return done


def test_a_deploy_killed_again_and_again_goes_on_where_it_was(platform: Checkout) -> None:
    """Five runs, each killed one step later than the one before: one image, one new revision, one
    UpdateService.
    """
    tag = world.commit(platform, {"backend/NOTE": "killed five times"}, "Killed after each step")
    before = world.newest_revision(platform)
    for step, words in ONE_AFTER_THE_OTHER.items():
        said = kill_at(platform, words)
        assert ("Step 1/" in said) is (step == "built") and ("Pushing" in said) is (
            step == "pushed"
        ), (step, said)
    done = converged(platform, tag, before)
    assert not {"build", "push", "register"} & {entry["name"] for entry in done["steps"]}


@pytest.mark.parametrize("step", AT_WORK)
def test_a_deploy_killed_at_work_is_simply_run_again(platform: Checkout, step: str) -> None:
    """The second run ends in the new version: one image, one new revision, one UpdateService, no
    lock left behind.
    """
    tag = world.commit(platform, {"backend/NOTE": step}, f"Killed at: {step}")
    before = world.newest_revision(platform)
    kill_at(platform, AT_WORK[step])
    done = converged(platform, tag, before)
    if step in ("watching", "rolled out"):
        assert not {"build", "push", "register"} & {entry["name"] for entry in done["steps"]}


def test_a_network_that_drops_while_watching_is_waited_out(platform: Checkout) -> None:
    """AWS unreachable for a few seconds in the middle of the watch: said once, and the deploy
    succeeds.
    """
    tag = world.commit(platform, {"backend/NOTE": "dropped"}, "While the network drops")
    with before_aws(platform) as way:
        process = world.start(platform, "backend.deploy", "--json")
        world.read_until(process, "deployment ecs-svc/")
        way.cut.set()
        time.sleep(7)
        way.cut.clear()
        out, said = process.communicate(timeout=150)
    assert process.returncode == 0, said
    assert '"succeeded"' in out and world.version(platform) == tag
