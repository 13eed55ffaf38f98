"""kill -9 of a deploying process at each step, and a network that drops: the next run converges, nothing is done twice."""

from __future__ import annotations

import time

import pytest

from tests.conftest import Checkout
from tests.flows import deploying as world
from tests.relay import before_aws

pytestmark = [pytest.mark.xdist_group("platform"), pytest.mark.timeout(240)]
STEPS = {
    "preflight": "tests of backend",
    "build": "Step 2/",
    "built": "Successfully tagged",
    "push": "Pushing",
    "pushed": " is sha256:",
    "registered": "revision dev-davidshaevel-backend",
    "updated": "deployment ecs-svc/",
    "watching": "event:",
    "rolled out": "== completed",
}


@pytest.mark.parametrize("step", STEPS)
def test_a_deploy_killed_at_any_step_is_simply_run_again(platform: Checkout, step: str) -> None:
    """The second run ends in the new version: one image, one new revision, one UpdateService, no lock left behind."""
    tag = world.commit(platform, {"backend/NOTE": step}, f"Killed at: {step}")
    before = world.newest_revision(platform)
    process = world.start(platform, "backend.deploy")
    world.read_until(process, STEPS[step])
    process.kill()
    process.communicate()
    done = platform.document("backend.deploy")
    assert done["verdict"] == "succeeded" and world.version(platform) == tag, done
    assert int(world.service(platform)["taskDefinition"].rsplit(":", 1)[1]) == world.newest_revision(platform) == before + 1
    assert platform.document("lock.status") == {"locks": []}
    if step in ("pushed", "registered", "updated", "watching", "rolled out"):
        assert not {"build", "push"} & {entry["name"] for entry in done["steps"]}


def test_a_network_that_drops_while_watching_is_waited_out(platform: Checkout) -> None:
    """AWS unreachable for a few seconds in the middle of the watch: said once, and the deploy succeeds."""
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
