"""`inv backend.deploy` on the sandbox, as a user runs it: from a commit to a proven version, and
back from one that fails.
"""

from __future__ import annotations

import signal
import time

import pytest

from tests.checkout import Checkout
from tests.deploy import deploying as world

pytestmark = [pytest.mark.xdist_group("platform"), pytest.mark.timeout(240)]


def test_a_commit_becomes_a_proven_version_and_nobody_notices(platform: Checkout) -> None:
    """A commit, `backend.deploy --json`, and the site says the new version; a client in a loop sees
    no failed request.
    """
    tag = world.commit(platform, {"backend/NOTE": "one"}, "A new version")
    with world.client(world.overlay(platform)["site"]) as client:
        done = platform.document("backend.deploy")
    assert (done["verdict"], done["tag"]) == ("succeeded", tag), done
    assert world.version(platform) == tag
    assert client.failed == [] and client.asked > 50
    assert [step["name"] for step in done["steps"]] == [
        "build",
        "push",
        "register",
        "update",
        "watch",
        "prove",
    ]
    assert done["digest"].startswith("sha256:") and done["deployment"].startswith("ecs-svc/")
    assert done["health"]["before"]["healthy"] and done["health"]["after"]["healthy"]
    running = world.aws(platform, "ecs").list_tasks(
        cluster="dev-davidshaevel-cluster", serviceName="dev-davidshaevel-backend"
    )["taskArns"]
    tasks = world.aws(platform, "ecs").describe_tasks(
        cluster="dev-davidshaevel-cluster", tasks=running
    )["tasks"]
    assert {task["containers"][0]["imageDigest"] for task in tasks} == {done["digest"]}


def test_a_second_deploy_of_the_same_commit_does_nothing(platform: Checkout) -> None:
    """Run again, nothing is built, pushed or rolled out; what runs is proved once more."""
    before = world.service(platform)["taskDefinition"]
    done = platform.document("backend.deploy")
    assert done["verdict"] == "succeeded" and [step["name"] for step in done["steps"]] == ["prove"]
    assert world.service(platform)["taskDefinition"] == before


def test_the_plan_changes_nothing(platform: Checkout) -> None:
    """`--plan` prints the steps with their undo; no revision, image or deployment appears. Invoke's
    `--dry` is the same.
    """
    world.commit(platform, {"backend/NOTE": "planned"}, "Only planned")
    before = world.service(platform)
    plan = platform.document("backend.deploy", "--plan")["plan"]
    assert [step["verb"] for step in plan] == [
        "build",
        "push",
        "register",
        "update",
        "watch",
        "prove",
    ]
    assert "UpdateService to" in plan[3]["undo"]
    assert platform.document("--dry", "backend.deploy")["plan"] == plan
    assert platform.document("backend.deploy", INVOKE_RUN_DRY="1")["plan"] == plan
    after = world.service(platform)
    assert (after["taskDefinition"], after["deployments"][0]["id"]) == (
        before["taskDefinition"],
        before["deployments"][0]["id"],
    )


def test_an_image_that_crashes_is_diagnosed_and_taken_back(platform: Checkout) -> None:
    """Exit 4, its own log line among the findings, the old version serves all the time, and
    contacts are printed.
    """
    old = world.version(platform)
    world.commit(
        platform,
        {"backend/server.py": world.CRASH, "backend/test_server.py": ""},
        "A version that crashes",
    )
    with world.client(world.overlay(platform)["site"]) as client:
        process = platform.inv("backend.deploy", "--json", "--skip", "tests")
    assert process.returncode == 4, process.stderr
    assert (
        '"rolled_back"' in process.stdout and "boom: no such setting DATABSE_URL" in process.stdout
    )
    assert "contact: " in process.stderr
    assert client.failed == [] and world.version(platform) == old
    world.revert(platform)


def test_no_rollback_keeps_the_failed_rollout_and_a_hotfix_goes_out(platform: Checkout) -> None:
    """`--no-rollback` is exit 1 and the service is left as it is; the next good commit deploys over
    it.
    """
    world.commit(platform, {"backend/server.py": world.CRASH}, "Crashes, and is kept")
    kept = platform.document("backend.deploy", "--no-rollback", "--skip", "tests")
    assert kept["verdict"] == "failed"
    assert world.service(platform)["deployments"][0]["id"] == kept["deployment"]
    tag = world.revert(platform)
    fixed = platform.document("backend.deploy")
    assert fixed["verdict"] == "succeeded" and world.version(platform) == tag


def test_a_health_path_that_answers_404_is_taken_back(platform: Checkout) -> None:
    """The load balancer's own reason is the finding; no request of a client fails."""
    server = (world.source(platform) / "backend/server.py").read_text()
    assert '"/api/health"' in server
    world.commit(
        platform,
        {"backend/server.py": server.replace('"/api/health"', '"/api/healthz"')},
        "Moves its health path",
    )
    with world.client(world.overlay(platform)["site"]) as client:
        process = platform.inv("backend.deploy", "--json", "--skip", "tests")
    assert process.returncode == 4, process.stderr
    assert "ELB health checks" in process.stdout
    assert client.failed == []
    world.revert(platform)


def test_an_image_deleted_from_ecr_after_the_check_is_taken_back(platform: Checkout) -> None:
    """The first task's own reason, that no retry mends, is the verdict."""
    tag = world.commit(platform, {"backend/NOTE": "deleted"}, "To be deleted from ECR")
    ecr = world.aws(platform, "ecr")  # ready before the tasks pull
    process = world.start(platform, "backend.deploy", "--json")
    world.read_until(process, " is sha256:")
    ecr.batch_delete_image(repositoryName="davidshaevel/backend", imageIds=[{"imageTag": tag}])
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 4, out
    assert "CannotPullContainerError" in out


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_in_the_middle_takes_it_back(platform: Checkout, name: str) -> None:
    """Ctrl-C, a kill or a lost terminal: back to the version that served, exit 130, and no lock is
    left.
    """
    world.commit(platform, {"backend/NOTE": name}, f"Interrupted by {name}")
    old = world.service(platform)["taskDefinition"]
    process = world.start(platform, "backend.deploy", "--json", "--yes")
    world.read_until(process, "deployment ecs-svc/")
    time.sleep(1)
    process.send_signal(getattr(signal, name))
    out, said = process.communicate(timeout=120)
    assert process.returncode == 130, out + said
    assert (
        '"interrupted"' in out
        and '"not_undone": []' in out
        and world.service(platform)["taskDefinition"] == old
    )
    assert platform.document("lock.status") == {"locks": []}


def test_a_timeout_is_its_own_verdict_and_undone(platform: Checkout) -> None:
    """`--timeout` is exit 6, and the service is back where it was."""
    world.commit(platform, {"backend/NOTE": "slow"}, "Too slow for its limit")
    old = world.service(platform)["taskDefinition"]
    process = platform.inv("backend.deploy", "--json", "--timeout", "1s")
    assert process.returncode == 6, process.stderr
    assert '"timed_out"' in process.stdout and world.service(platform)["taskDefinition"] == old
    assert '"not_undone": []' in process.stdout


def test_a_newer_deployment_supersedes_ours(platform: Checkout) -> None:
    """Somebody else's UpdateService during ours: exit 5, and theirs is left alone."""
    theirs = world.service(platform)["taskDefinition"]
    world.commit(platform, {"backend/NOTE": "superseded"}, "To be superseded")
    process = world.start(platform, "backend.deploy", "--json")
    world.read_until(process, "deployment ecs-svc/")
    names = {"cluster": "dev-davidshaevel-cluster", "service": "dev-davidshaevel-backend"}
    world.aws(platform, "ecs").update_service(
        **names, taskDefinition=theirs, forceNewDeployment=True
    )
    out, said = process.communicate(timeout=120)
    assert process.returncode == 5, out + said
    assert world.service(platform)["taskDefinition"] == theirs


def test_two_services_on_one_line_deploy_both(platform: Checkout) -> None:
    """`inv backend.deploy frontend.deploy` is two deploys, and two JSON documents."""
    tag = world.commit(platform, {"backend/NOTE": "both", "frontend/NOTE": "both"}, "Both at once")
    done = platform.inv("backend.deploy", "--json", "frontend.deploy", "--json")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(f'"tag": "{tag}"') == 2 and done.stdout.count('"succeeded"') == 2
    listed = platform.document("backend.releases")["releases"]
    assert listed[0]["tag"] == tag and listed[0]["current"] and listed[0]["by"]
