"""A healthy deployment by a pipeline or a colleague: reported with its maker, not as a failure."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ops.aws.facts import Deployment, Event, ServiceState, ServiceUpdate, TaskDefinition
from ops.core.findings import Unknown
from ops.health.rules.deployments import later_deployment, other_deployment
from ops.state.model import ReleaseRecord
from tests.checkout import Checkout
from tests.deploy import deploying as world
from tests.health.sweeps import look, until_well

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
NEW = "arn:aws:ecs:us-east-1:1:task-definition/b:7"
OLD = NEW.replace(":7", ":5")
DONE = Deployment("ecs-svc/9", "PRIMARY", NEW, 2, 2, 0, 0, "COMPLETED", "", NOW)
STATE = ServiceState("b", "ACTIVE", NEW, 2, 2, 0, (DONE,), (), ())
RELEASE = ReleaseRecord(
    tag="abc",
    at=(NOW - timedelta(hours=1)).isoformat(),
    deployment="ecs-svc/8",
    task_definition=NEW.replace(":7", ":6"),
)
BACK = Event("1", NOW, "(service b) rolling back to deployment ecs-svc/9.")
REVISION = TaskDefinition(
    NEW, "ACTIVE", "amd64", {"registeredBy": "arn:aws:sts::1:assumed-role/ci/run-7"}
)
UPDATE = ServiceUpdate(NOW, "run-7", "aws-cli/2.15.0 md/x", "b:7")


@pytest.mark.parametrize(
    ("state", "release", "found"),
    [
        ({}, {}, True),
        ({"running": 1}, {}, False),
        ({"desired": 0, "running": 0}, {}, False),
        ({"deployments": (DONE, replace(DONE, status="ACTIVE"))}, {}, False),
        ({"deployments": (replace(DONE, rollout_state="IN_PROGRESS"),)}, {}, False),
        ({"deployments": (replace(DONE, rollout_state="FAILED"),)}, {}, False),
        ({"deployments": ()}, {}, False),
        ({"deployments": (replace(DONE, created_at=None),)}, {}, False),
        ({"events": (BACK,)}, {}, False),
        ({}, {"deployment": "ecs-svc/9"}, False),
        ({}, {"at": NOW.isoformat()}, False),
        ({}, {"at": None}, False),
        ({}, {"at": "yesterday"}, False),
    ],
)
def test_only_a_completed_later_deployment_counts(
    state: dict[str, Any], release: dict[str, Any], found: bool
) -> None:
    """Not one that is going on, failed, incomplete, our own, or ECS's rollback."""
    later = later_deployment(replace(STATE, **state), replace(RELEASE, **release))
    assert later == (DONE if found else None)


@pytest.mark.parametrize(
    ("updates", "revision", "by"),
    [
        ((UPDATE,), REVISION, "deployed by run-7 with aws-cli/2.15.0"),
        ((replace(UPDATE, revision=NEW, agent=""),), REVISION, "deployed by run-7"),
        ((replace(UPDATE, revision=""),), REVISION, "deployed by run-7 with aws-cli/2.15.0"),
        (
            (replace(UPDATE, revision="b:6"),),
            REVISION,
            "revision registered by assumed-role/ci/run-7, deployed",
        ),
        ((), REVISION, "revision registered by assumed-role/ci/run-7, deployed"),
        (
            Unknown("access denied"),
            None,
            "deployed (by whom is unknown: access denied)",
        ),
        (
            (),
            None,
            "deployed (by whom is unknown: CloudTrail shows no UpdateService of it)",
        ),
    ],
)
def test_the_maker_as_far_as_aws_tells(updates: Any, revision: Any, by: str) -> None:
    """CloudTrail's user, else who registered the revision, else unknown with the reason."""
    other = other_deployment(DONE, RELEASE, [RELEASE], updates, revision)
    assert other is not None and other.by == by
    assert str(other).endswith("at 2026-01-01 12:00:00 UTC, no record")


@pytest.mark.parametrize(
    ("updates", "found"),
    [
        ((replace(UPDATE, revision="b:5"),), True),
        ((replace(UPDATE, revision="b:5", agent="APN/1.0 HashiCorp Terraform/1.11"),), False),
        ((), False),
        (Unknown("access denied"), False),
    ],
)
def test_an_older_revision_counts_only_if_a_person_set_it(updates: Any, found: bool) -> None:
    """A Terraform apply or an unknown cause reverted the release: that stays a failure."""
    reverted = replace(DONE, task_definition=OLD)
    assert (other_deployment(reverted, RELEASE, [], updates, REVISION) is not None) is found


def test_a_deployment_with_a_record_is_not_by_others() -> None:
    """Our own failed rollout, left in place by --no-rollback, is no deployment of a colleague."""
    ours = ReleaseRecord(tag="new", verdict="failed", deployment="ecs-svc/9")
    assert other_deployment(DONE, RELEASE, [ours, RELEASE], (UPDATE,), REVISION) is None


def test_an_unwatched_deployment_of_our_own_is_no_failure() -> None:
    """`--no-wait` records that it was started; ECS has completed it since."""
    ours = ReleaseRecord(tag="new", verdict="started", deployment="ecs-svc/9", by="ann")
    found = other_deployment(DONE, RELEASE, [ours, RELEASE], (UPDATE,), REVISION)
    assert found is not None
    reported = (
        "started by ann with --no-wait at 2026-01-01 12:00:00 UTC, complete, but not verified"
    )
    assert str(found) == reported


@pytest.fixture
def released(platform: Checkout) -> Iterator[Checkout]:
    """The sandbox with a recorded release, and a newer image in ECR."""
    assert platform.inv("backend.deploy").returncode == 0
    world.commit(platform, {"backend/NOTE": "a colleague's"}, "Something of a colleague")
    assert platform.inv("backend.push").returncode == 0
    yield platform
    world.revert(platform)
    assert platform.inv("backend.deploy").returncode == 0


@pytest.mark.timeout(240)
def test_a_colleagues_deployment_is_reported_and_then_recorded(released: Checkout) -> None:
    """Health is healthy and names the maker; a deploy of the same commit only records it."""
    until_well(released)
    before, tag = world.service(released), world.git(released, "rev-parse", "--short=7", "HEAD")
    ecs = world.aws(released, "ecs")
    document = ecs.describe_task_definition(taskDefinition=before["taskDefinition"])
    container = document["taskDefinition"]["containerDefinitions"][0]
    container["image"] = f"{container['image'].rpartition(':')[0]}:{tag}"
    fields = ("family", "containerDefinitions", "taskRoleArn", "executionRoleArn", "networkMode")
    more = ("requiresCompatibilities", "cpu", "memory", "runtimePlatform")
    found = {key: document["taskDefinition"].get(key) for key in (*fields, *more)}
    made = ecs.register_task_definition(**{key: each for key, each in found.items() if each})
    revision = made["taskDefinition"]["taskDefinitionArn"]
    name, cluster = before["serviceName"], before["clusterArn"]
    ecs.update_service(cluster=cluster, service=name, taskDefinition=revision)
    _until_completed(released, revision)

    image = _image_check(until_well(released))
    assert image["status"] == "ok", image
    assert f"every task has {tag}" in image["detail"] and "no record" in image["detail"]
    assert "deployed by operator with Boto3/" in image["detail"]

    done = released.inv("backend.deploy")
    assert done.returncode == 0, done.stderr
    assert world.service(released)["taskDefinition"] == revision
    assert "the last release" in _image_check(look(released))["detail"]


def _until_completed(platform: Checkout, revision: str) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        state = world.service(platform)
        (first, *others) = state["deployments"]
        if not others and first["rolloutState"] == "COMPLETED":
            assert first["taskDefinition"] == revision
            return
        time.sleep(0.5)
    raise AssertionError("the colleague's deployment did not complete")


def _image_check(found: dict[str, Any]) -> dict[str, Any]:
    checks = [each for each in found["checks"] if each["name"] == "backend image"]
    assert len(checks) == 1
    return dict(checks[0])
