"""`SERVICE.rollback` with `rollout: terraform` on the sandbox, by a real terraform.

Planned, undone, killed, refused: one sandbox for all, in this order.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.deploy import deploying as world
from tests.real.terraform_team import FRONTEND, LONG, Team, owned, step_names

__all__ = ["owned"]  # a fixture

pytestmark = [pytest.mark.xdist_group("terraform"), pytest.mark.timeout(300)]
STEPS = ["tf-check", "tf-plan", "tf-apply", "watch", "prove"]
KILLED_AT = {
    "planning": "terraform plan in",
    "applying": "terraform apply of",
    "service changed": "  deployment ecs-svc/",
    "rolled out": "== completed",
}


def deployed(owned: Team, note: str) -> str:
    tag = world.commit(owned.checkout, {"backend/NOTE": note}, f"Release {note}")
    done = owned.document("backend.deploy", "--skip", "tests")
    assert done["verdict"] == "succeeded", done
    return tag


def newest(owned: Team) -> dict[str, Any]:
    return dict(owned.document("backend.releases", "--limit", "1")["releases"][0])


@pytest.fixture(scope="module")
def releases(owned: Team) -> tuple[str, str]:
    """Two releases by Terraform, the older one first."""
    return deployed(owned, "one"), deployed(owned, "two")


def test_a_rollback_is_a_saved_plan_with_the_old_image(
    owned: Team, releases: tuple[str, str]
) -> None:
    """Checked, planned, applied, proved and recorded; no request fails, the sibling keeps its
    revision, and Terraform has no difference left.
    """
    older, newer = releases
    sibling = world.service(owned.checkout, FRONTEND)["taskDefinition"]
    plan = owned.document("backend.rollback", "--plan")
    assert [step["verb"] for step in plan["plan"]] == STEPS
    (change,) = plan["task_definition"]["changes"]
    assert change["before"].endswith(newer) and change["after"].endswith(older)
    assert world.version(owned.checkout) == newer
    with world.client(world.overlay(owned.checkout)["site"]) as client:
        done = owned.document("backend.rollback")
    assert (done["verdict"], done["tag"], step_names(done)) == ("succeeded", older, STEPS)
    assert client.asked and client.failed == []
    assert world.version(owned.checkout) == older
    assert world.service(owned.checkout, FRONTEND)["taskDefinition"] == sibling
    row = newest(owned)
    assert (row["kind"], row["tag"], row["verdict"]) == ("rollback", older, "succeeded")
    assert row["current"] is True
    assert owned.document("tf.plan")["changes"] == []
    assert owned.document("lock.status")["locks"] == []
    assert owned.document("tf.locks")["locks"] == []


def test_restart_and_scale_say_what_terraform_does(owned: Team) -> None:
    """A restart leaves Terraform no difference; a scale says that the next apply reverts it."""
    assert owned.document("backend.restart")["verdict"] == "succeeded"
    assert owned.document("tf.plan")["changes"] == []
    plan = owned.inv("backend.scale", "--count", "3", "--plan")
    assert plan.returncode == 0, plan.stderr
    assert "Terraform sets desired_count: the next apply sets the count back" in plan.stdout


def test_what_goes_beyond_the_rollback_stops_it(owned: Team, releases: tuple[str, str]) -> None:
    """A change of another service in the plan is refused by its address, and nothing moves."""
    ecs, cluster = world.aws(owned.checkout, "ecs"), "dev-davidshaevel-cluster"
    ecs.update_service(cluster=cluster, service=FRONTEND, desiredCount=1)
    refused = owned.inv("backend.rollback", "--to", releases[1])
    ecs.update_service(cluster=cluster, service=FRONTEND, desiredCount=2)
    assert refused.returncode == 3, refused.stdout + refused.stderr
    assert "beyond this rollback: aws_ecs_service.frontend" in refused.stderr
    assert world.version(owned.checkout) == releases[0]


def test_a_failed_rollback_is_undone_by_a_second_plan(owned: Team) -> None:
    """To a release that never started: exit 4, and the service is back on the image before."""
    before = world.version(owned.checkout)
    crashes = world.commit(owned.checkout, {"backend/server.py": world.CRASH}, "Crash")
    failed = owned.inv("backend.deploy", "--skip", "tests")
    world.revert(owned.checkout)
    assert failed.returncode == 4, failed.stderr
    with world.client(world.overlay(owned.checkout)["site"]) as client:
        done = owned.inv("backend.rollback", "--to", crashes)
    assert done.returncode == 4, done.stdout + done.stderr
    assert client.failed == [] and world.version(owned.checkout) == before
    assert newest(owned)["verdict"] == "rolled_back"
    assert owned.document("tf.plan")["changes"] == []


@pytest.mark.parametrize(
    "step",
    [each if each == "service changed" else pytest.param(each, marks=LONG) for each in KILLED_AT],
)
def test_a_rollback_killed_at_any_step_is_simply_run_again(owned: Team, step: str) -> None:
    """kill -9: Terraform ends its own step, the next run waits for its lock and goes to the same
    release, which is recorded.
    """
    older, _ = deployed(owned, f"{step}, older"), deployed(owned, f"{step}, newer")
    process = owned.start("backend.rollback")
    world.read_until(process, KILLED_AT[step], 200)
    process.kill()
    process.communicate()
    done = owned.document("backend.rollback", "--lock-wait", "1m")
    assert (done["verdict"], done["tag"]) == ("succeeded", older), done
    assert world.version(owned.checkout) == older and newest(owned)["tag"] == older
    assert owned.document("tf.plan")["changes"] == []
    assert owned.document("tf.locks")["locks"] == owned.document("lock.status")["locks"] == []
