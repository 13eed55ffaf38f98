"""Rolling updates as an operator drives them through the ECS API, with real processes behind."""

import time

import pytest

from tests.sandbox.aws_platform import CRASH, agent_at_work
from tests.sandbox.visitor import visiting
from tests.waiting import until


@pytest.fixture
def platform():
    with agent_at_work() as made:
        yield made


def test_first_version_runs(platform):
    """A new service starts its tasks, registers them, and its first deployment completes."""
    made = platform.create(platform.revision(platform.image("v1")))
    assert made["deployments"][0]["rolloutState"] == "IN_PROGRESS"
    service = platform.completed()
    platform.ecs.get_waiter("services_stable").wait(cluster="demo", services=["web"])
    assert (service["runningCount"], service["pendingCount"]) == (2, 0)
    assert {each["State"] for each in platform.health().values()} == {"healthy"}
    until(lambda: "(service web) has reached a steady state." in platform.events())
    assert platform.lines().count("listening as v1") == 2
    assert (
        platform.ecs.describe_clusters(clusters=["demo"])["clusters"][0]["runningTasksCount"] == 2
    )


def test_new_version_rolls_without_a_failed_request(platform):
    """While version 2 replaces version 1 a visitor sees both and no error; the old tasks drain and
    stop.
    """
    platform.create(platform.revision(platform.image("v1")))
    platform.completed()
    old = {task["taskArn"] for task in platform.tasks(serviceName="web")}
    with visiting(platform) as visitor:
        updated = platform.update(taskDefinition=platform.revision(platform.image("v2")))
        assert [each["status"] for each in updated["deployments"]] == ["PRIMARY", "ACTIVE"]
        service = platform.completed()
    assert visitor.failures == []
    assert {"v1", "v2"} <= set(visitor.seen) and visitor.seen[-1] == "v2"
    assert len(service["deployments"]) == 1
    stopped = {task["taskArn"]: task for task in platform.tasks("STOPPED", serviceName="web")}
    assert old <= set(stopped)
    for arn in old:
        assert stopped[arn]["stopCode"] == "ServiceSchedulerInitiated"
        assert stopped[arn]["stoppedReason"].startswith(
            "Scaling activity initiated by (deployment ecs-svc/"
        )
        assert stopped[arn]["containers"][0]["exitCode"] == 0
    assert any("has begun draining connections on 1 tasks." in each for each in platform.events())


def test_crashing_image_without_breaker_is_retried_and_never_serves(platform):
    """An image that exits 1 keeps the deployment IN_PROGRESS with failed tasks counted, while the
    old version serves on.
    """
    platform.create(platform.revision(platform.image("v1")))
    platform.completed()
    with visiting(platform) as visitor:
        deployment = platform.update(
            taskDefinition=platform.revision(platform.image("bad", CRASH))
        )["deployments"][0]["id"]
        until(lambda: platform.deployment(deployment)["failedTasks"] >= 3)
    assert visitor.failures == [] and set(visitor.seen) == {"v1"}
    assert platform.deployment(deployment)["rolloutState"] == "IN_PROGRESS"
    stopped = platform.tasks("STOPPED", startedBy=deployment)[0]
    assert (stopped["stopCode"], stopped["stoppedReason"]) == (
        "EssentialContainerExited",
        "Essential container in task exited",
    )
    assert stopped["containers"][0]["exitCode"] == 1
    assert "boom: cannot start" in platform.lines()
    assert any(
        "is unable to consistently start tasks successfully" in each for each in platform.events()
    )


BREAKER = {
    "deploymentCircuitBreaker": {"enable": True, "rollback": False},
    "minimumHealthyPercent": 100,
    "maximumPercent": 200,
}
ROLLBACK = {
    "deploymentCircuitBreaker": {"enable": True, "rollback": True},
    "minimumHealthyPercent": 100,
    "maximumPercent": 200,
}


def test_breaker_without_rollback_stops_launching(platform):
    """With the circuit breaker alone a crashing image ends FAILED, nothing more is started, and the
    old tasks stay.
    """
    platform.create(platform.revision(platform.image("v1")), deploymentConfiguration=BREAKER)
    platform.completed()
    deployment = platform.update(taskDefinition=platform.revision(platform.image("bad", CRASH)))[
        "deployments"
    ][0]["id"]
    until(lambda: platform.deployment(deployment)["rolloutState"] == "FAILED")
    failed = platform.deployment(deployment)
    assert failed["rolloutStateReason"] == "ECS deployment circuit breaker: tasks failed to start."
    assert failed["status"] == "PRIMARY" and failed["failedTasks"] >= 3
    until(lambda: not platform.tasks(startedBy=deployment))
    started = len(platform.tasks("STOPPED", startedBy=deployment))
    assert len([each for each in platform.health().values() if each["State"] == "healthy"]) == 2
    time.sleep(1.5)
    assert len(platform.tasks("STOPPED", startedBy=deployment)) == started


def test_breaker_with_rollback_returns_to_the_last_completed_revision(platform):
    """With rollback a new PRIMARY of the former revision says so at once, completes, and the failed
    deployment was FAILED.
    """
    good = platform.revision(platform.image("v1"))
    platform.create(good, deploymentConfiguration=ROLLBACK)
    platform.completed()
    with visiting(platform) as visitor:
        deployment = platform.update(
            taskDefinition=platform.revision(platform.image("bad", CRASH))
        )["deployments"][0]["id"]
        back = until(lambda: platform.primary()["id"] != deployment and platform.primary())
        assert (
            back["rolloutStateReason"]
            == f"ECS deployment circuit breaker: rolling back to deploymentId {back['id']}."
        )
        assert back["taskDefinition"] == good
        assert platform.deployment(deployment)["rolloutState"] == "FAILED"
        service = platform.completed()
    assert visitor.failures == []
    assert service["taskDefinition"] == good
    events = platform.events()
    assert (
        f"(service web) (deployment {deployment}) deployment failed: tasks failed to start."
        in events
    )
    assert f"(service web) rolling back to deployment {back['id']}." in events
    assert f"(service web) (deployment {back['id']}) deployment completed." in events


def test_newer_deployment_supersedes(platform):
    """A second update while the first rolls: the first becomes ACTIVE, its tasks stop, only the
    newest completes.
    """
    platform.create(platform.revision(platform.image("v1")))
    platform.completed()
    second = platform.update(taskDefinition=platform.revision(platform.image("v2", STATUS="503")))[
        "deployments"
    ][0]["id"]
    until(lambda: platform.tasks(startedBy=second))
    third = platform.update(taskDefinition=platform.revision(platform.image("v3")))["deployments"][
        0
    ]["id"]
    assert platform.deployment(second)["status"] == "ACTIVE"
    platform.completed()
    assert platform.primary()["id"] == third and len(platform.service()["deployments"]) == 1
    assert {task["startedBy"] for task in platform.tasks(serviceName="web")} == {third}


def test_forced_deployment_keeps_the_revision(platform):
    """--force-new-deployment replaces every task and runs the same revision; a changed count makes
    no deployment.
    """
    revision = platform.revision(platform.image("v1"))
    platform.create(revision)
    first = platform.completed()["deployments"][0]["id"]
    before = {task["taskArn"] for task in platform.tasks(serviceName="web")}
    assert platform.update(desiredCount=1)["deployments"][0]["id"] == first
    until(lambda: platform.service()["runningCount"] == 1)
    forced = platform.update(forceNewDeployment=True)["deployments"][0]
    assert forced["id"] != first and forced["taskDefinition"] == revision
    platform.completed()
    assert before.isdisjoint({task["taskArn"] for task in platform.tasks(serviceName="web")})


def test_room_below_is_used_where_there_is_none_above(platform):
    """minimumHealthyPercent 50, maximumPercent 100: never more than two tasks run, and the update
    still completes.
    """
    below = {"minimumHealthyPercent": 50, "maximumPercent": 100}
    platform.create(platform.revision(platform.image("v1")), deploymentConfiguration=below)
    platform.completed()
    deployment = platform.update(taskDefinition=platform.revision(platform.image("v2")))[
        "deployments"
    ][0]["id"]
    most = 0

    def done():
        nonlocal most
        service = platform.service()
        most = max(most, service["runningCount"] + service["pendingCount"])
        return service["deployments"][0]["rolloutState"] == "COMPLETED"

    until(done)
    assert most == 2 and platform.primary()["id"] == deployment
