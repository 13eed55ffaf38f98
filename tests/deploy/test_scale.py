"""`inv SERVICE.scale` on the sandbox, as a user runs it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.checkout import Checkout
from tests.deploy import deploying as world

pytestmark = [pytest.mark.xdist_group("platform"), pytest.mark.timeout(240)]
RESOURCE = "service/dev-davidshaevel-cluster/dev-davidshaevel-backend"
DIMENSION: dict[str, Any] = {
    "ServiceNamespace": "ecs",
    "ResourceId": RESOURCE,
    "ScalableDimension": "ecs:service:DesiredCount",
}


def test_scaled_to_0_and_back(platform: Checkout) -> None:
    """No new deployment; each time it is over when the tasks are gone, or run and are healthy."""
    before = world.service(platform)
    planned = platform.document("backend.scale", "--count", "0", "--plan")
    assert [step["verb"] for step in planned["plan"]] == ["scale", "watch"]
    down = platform.document("backend.scale", "--count", "0")
    empty = world.service(platform)
    assert (down["verdict"], down["before"], down["running"]) == ("succeeded", 2, 0), down
    assert (empty["desiredCount"], empty["runningCount"]) == (0, 0)
    notes = "\n".join(down["notes"])
    assert "answers nothing" in notes and "Auto Scaling does not set the count" in notes
    assert "Terraform" in notes
    up = platform.document("backend.scale", "--count", "2")
    after = world.service(platform)
    assert (up["verdict"], up["before"], up["running"]) == ("succeeded", 0, 2), up
    assert "2 targets healthy" in up["why"]
    assert after["deployments"][0]["id"] == before["deployments"][0]["id"]
    again = platform.inv("backend.scale", "--count", "2")
    assert again.returncode == 0 and "runs that many tasks already" in again.stdout


def test_a_scale_that_fails_sets_the_previous_count_again(platform: Checkout) -> None:
    """The image is no longer in ECR, so another task cannot start: exit 4, with the reason."""
    tag = world.version(platform)
    image = {"repositoryName": "davidshaevel/backend", "imageIds": [{"imageTag": tag}]}
    world.aws(platform, "ecr").batch_delete_image(**image)
    done = platform.inv("backend.scale", "--count", "3", "--json")
    state = world.service(platform)
    world.commit(platform, {"backend/NOTE": "again"}, "An image again")
    again = platform.document("backend.deploy", "--skip", "tests")
    result = json.loads(done.stdout)
    assert (done.returncode, result["verdict"]) == (4, "rolled_back"), done.stderr
    assert result["findings"][0]["cause"] == "image_missing"
    assert (state["desiredCount"], result["running"]) == (2, 2)
    assert again["verdict"] == "succeeded"


def test_killed_in_the_middle_the_next_command_names_it(platform: Checkout) -> None:
    """kill -9: the next one takes the dead run's lock over, says what it was, and ends right."""
    process = world.start(platform, "backend.scale", "--count", "3")
    world.read_until(process, "event:")
    process.kill()
    process.communicate()
    done = platform.inv("backend.scale", "--count", "2")
    assert done.returncode == 0, done.stderr
    assert "took over a dead run's lock" in done.stderr and "(scale to 3)" in done.stderr
    state = world.service(platform)
    assert (state["desiredCount"], state["runningCount"]) == (2, 2)
    assert platform.document("lock.status") == {"locks": []}


def test_outside_of_the_limits_of_auto_scaling_it_is_refused(platform: Checkout) -> None:
    """Exit 3, with the command that raises the limit; inside of them, the plan names them."""
    scaling = world.aws(platform, "application-autoscaling")
    scaling.register_scalable_target(**DIMENSION, MinCapacity=1, MaxCapacity=4)
    try:
        done = platform.inv("backend.scale", "--count", "9", "--json")
        inside = platform.inv("backend.scale", "--count", "3", "--plan")
    finally:
        scaling.deregister_scalable_target(**DIMENSION)
    error = json.loads(done.stdout)["error"]
    assert done.returncode == 3 and "between 1 and 4" in error["why"]
    assert f"--resource-id {RESOURCE} --max-capacity 9" in error["next"]
    assert inside.returncode == 0 and "between 1 and 4" in inside.stdout


@pytest.mark.parametrize("count", ["-1", "many", "6000", None])
def test_a_bad_count_is_three_lines(platform: Checkout, count: str | None) -> None:
    words = ("backend.scale", *(("--count", count) if count else ()))
    done = platform.inv(*words)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 3
