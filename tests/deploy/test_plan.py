"""What a release has to do, by table: only what the world lacks, and back only to what was seen
healthy.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ops.aws.facts import (
    ContainerState,
    Deployment,
    Identity,
    Image,
    Repository,
    ServiceState,
    Target,
    TaskDefinition,
    TaskState,
)
from ops.core.config.settings import Service
from ops.core.errors import Refused
from ops.core.findings import Unknown
from ops.deploy.rules.plan import plan_image, plan_release, undo_target, with_image
from ops.deploy.rules.steps import BuildImage, PushImage
from ops.preflight.facts import ReleaseFacts
from ops.tools.facts import Checkout, Commit, LocalImage

ARN = "arn:aws:ecs:us-east-1:123456789012:task-definition/backend"
URI = "123456789012.dkr.ecr.us-east-1.amazonaws.com/davidshaevel/backend"
FULL = "abc1234" + "0" * 33
SERVICE = Service(ecs_service="backend", container="backend", repository="davidshaevel/backend")
COMMIT = Checkout(
    "main", (), True, Commit(FULL, "abc1234", "Say hello", "2026-01-01T00:00:00Z", "origin")
)
REVISION = TaskDefinition(
    f"{ARN}:7",
    "ACTIVE",
    "amd64",
    {
        "containerDefinitions": [
            {"name": "backend", "image": f"{URI}:old"},
            {"name": "log", "image": "x@sha256:1"},
        ]
    },
)
IMAGE = Image("sha256:new", "abc1234", 10, None)


def deployment(
    id: str = "ecs-svc/1",
    status: str = "PRIMARY",
    revision: int = 7,
    running: int = 2,
    state: str | None = "COMPLETED",
) -> Deployment:
    return Deployment(id, status, f"{ARN}:{revision}", 2, running, 0, 0, state, "")


HOPELESS = replace(deployment(revision=8, running=0, state="IN_PROGRESS"), failed=9)


def service(*deployments: Deployment) -> ServiceState:
    return ServiceState(
        "backend", "ACTIVE", deployments[0].task_definition, 2, 2, 0, deployments, (), ()
    )


FACTS = ReleaseFacts(
    service="backend",
    environment="here",
    requested_tag=None,
    checkout=COMMIT,
    identity=Identity("123456789012", "arn"),
    tools={},
    tests=None,
    engine=None,
    local_image=None,
    repository=Repository("davidshaevel/backend", URI, True),
    image=None,
    state=service(deployment()),
    revision=REVISION,
    running=(),
    target_groups=(),
    targets=(Target("127.0.0.1", 3001, "healthy"),),
    secrets={},
    log_groups={},
    schema=None,
    answers=(),
)
RUNS_IT = TaskDefinition(
    f"{ARN}:8",
    "ACTIVE",
    "amd64",
    {"containerDefinitions": [{"name": "backend", "image": f"{URI}:abc1234"}]},
)


def verbs(facts: ReleaseFacts, **options: Any) -> list[str]:
    return [step.verb for step in plan_release(facts, SERVICE, **options).steps]


def task(digest: str) -> TaskState:
    container = ContainerState("backend", f"{URI}:abc1234", digest, "RUNNING", None, "")
    return TaskState(
        "arn:task/1", "RUNNING", "RUNNING", "ecs-svc/1", f"{ARN}:8", "", "", "", (container,)
    )


EVERYTHING = ["build", "push", "register", "update", "watch", "prove"]
ROLLOUT = EVERYTHING[2:]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, EVERYTHING),
        ({"repository": Repository("r", URI, False)}, ["build", "push", *ROLLOUT, "latest"]),
        (
            {"repository": Repository("r", URI, True, ("latest",))},
            ["build", "push", *ROLLOUT, "latest"],
        ),
        ({"repository": Repository("r", URI, True, ("dev-*",))}, EVERYTHING),
        ({"repository": Repository("r", URI, False, ("latest",))}, EVERYTHING),
        ({"local_image": LocalImage("sha256:1", FULL, "amd64")}, EVERYTHING[1:]),
        ({"local_image": LocalImage("sha256:1", "another commit", "amd64")}, EVERYTHING),
        ({"image": IMAGE}, ROLLOUT),
        ({"image": IMAGE, "requested_tag": "abc1234", "checkout": None}, ROLLOUT),
        (
            {"image": IMAGE, "revision": RUNS_IT, "state": service(deployment(revision=8))},
            ["prove"],
        ),
        (
            {
                "image": IMAGE,
                "revision": RUNS_IT,
                "state": service(deployment(revision=8)),
                "running": (task("sha256:new"),),
            },
            ["prove"],
        ),
        (
            {
                "image": IMAGE,
                "revision": RUNS_IT,
                "state": service(deployment(revision=8)),
                "running": (task("sha256:moved"),),
            },
            ROLLOUT,
        ),
        (
            {
                "image": IMAGE,
                "revision": RUNS_IT,
                "state": service(
                    deployment("ecs-svc/2", revision=8, running=0, state="IN_PROGRESS"),
                    deployment(status="ACTIVE"),
                ),
            },
            ["update", "watch", "prove"],
        ),
        (
            {
                "image": IMAGE,
                "revision": RUNS_IT,
                "state": service(deployment(revision=8, running=1)),
            },
            ROLLOUT,
        ),
        (
            {"image": IMAGE, "revision": RUNS_IT, "state": service(HOPELESS)},
            ROLLOUT,
        ),
        (
            {"revision": RUNS_IT, "state": service(replace(HOPELESS, failed=0))},
            ["build", "push", *ROLLOUT],
        ),
    ],
    ids=[
        "nothing there",
        "tags may move",
        "all but latest are immutable",
        "latest is immutable with the others",
        "only latest is immutable",
        "built",
        "built from another",
        "pushed",
        "--tag",
        "runs",
        "runs, seen",
        "tag moved",
        "under way",
        "not steady",
        "under way, all tasks failed",
        "under way, not pushed yet",
    ],
)
def test_only_what_the_world_lacks_is_planned(change: dict[str, Any], expected: list[str]) -> None:
    """A deploy that was killed anywhere, run again, does only the rest."""
    assert verbs(replace(FACTS, **change)) == expected


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"requested_tag": "gone"}, "--tag never builds"),
        ({"repository": None}, "repository does not exist"),
        ({"state": None}, "service does not exist"),
        ({"revision": Unknown("denied: ecs:DescribeTaskDefinition")}, "ecs:DescribeTaskDefinition"),
    ],
)
def test_what_cannot_be_planned_is_refused(change: dict[str, Any], says: str) -> None:
    """Missing and unread are told apart, and both are exit 3."""
    with pytest.raises(Refused) as caught:
        plan_release(replace(FACTS, **change), SERVICE)
    assert says in str(caught.value) and caught.value.code == 3


def test_going_back_is_planned_only_where_it_is_wanted_and_possible() -> None:
    """The undo names the revision; `--no-rollback` and a service never seen healthy have none."""
    update = next(step for step in plan_release(FACTS, SERVICE).steps if step.verb == "update")
    assert update.undo and "backend:7" in update.undo
    kept = next(
        step
        for step in plan_release(FACTS, SERVICE, no_rollback=True).steps
        if step.verb == "update"
    )
    assert kept.undo is None


@pytest.mark.parametrize(
    ("state", "targets", "expected"),
    [
        (service(deployment()), FACTS.targets, f"{ARN}:7"),
        (
            service(
                deployment(revision=8, running=0, state="IN_PROGRESS"), deployment(status="ACTIVE")
            ),
            FACTS.targets,
            f"{ARN}:7",
        ),
        (service(deployment(revision=8, running=0, state="FAILED")), FACTS.targets, None),
        (service(deployment(state=None)), FACTS.targets, f"{ARN}:7"),
        (service(deployment()), (Target("a", 1, "unhealthy"),), None),
        (service(deployment()), Unknown("denied"), f"{ARN}:7"),
        (service(deployment(running=0)), FACTS.targets, None),
    ],
)
def test_back_only_to_a_revision_that_was_seen_healthy(
    state: ServiceState, targets: Any, expected: str | None
) -> None:
    """Completed, running, and somebody healthy behind the load balancer; "previous" alone is not
    enough.
    """
    assert undo_target(replace(FACTS, state=state, targets=targets)) == expected


def test_only_our_container_changes() -> None:
    """Sidecars and their digests stay as they are, and the document that was read is not written
    to.
    """
    changed = with_image(REVISION.document, "backend", f"{URI}:new")
    assert [each["image"] for each in changed["containerDefinitions"]] == [
        f"{URI}:new",
        "x@sha256:1",
    ]
    assert REVISION.document["containerDefinitions"][0]["image"] == f"{URI}:old"
    with pytest.raises(Refused, match="backend, log"):
        with_image(REVISION.document, "web", "x")


def test_build_alone_and_push_alone() -> None:
    """`build` stops before the push."""
    assert [step.verb for step in plan_image(FACTS, SERVICE, push=False).steps] == ["build"]
    assert [step.verb for step in plan_image(FACTS, SERVICE, push=True).steps] == ["build", "push"]


def test_the_undo_says_that_an_inactive_revision_is_registered_again() -> None:
    """ECS takes no service to an INACTIVE revision."""
    facts = replace(FACTS, revision=replace(REVISION, status="INACTIVE"))
    (undo,) = [step.undo for step in plan_release(facts, SERVICE).steps if step.verb == "update"]
    assert undo and "UpdateService to a copy of backend:7 (INACTIVE, so registered again)" in undo


def test_steps_hold_all_that_their_handlers_need() -> None:
    """The image's commit, platform and build arguments are decided by the plan."""
    service = SERVICE.model_copy(update={"build_args": {"VERSION": "{tag}"}})
    build, push = plan_image(FACTS, service, push=True).steps
    assert build == BuildImage(
        f"{URI}:abc1234",
        COMMIT.commit,
        "linux/amd64",
        service.context,
        service.dockerfile,
        {"VERSION": "abc1234"},
    )
    assert push == PushImage(URI, "abc1234")
    assert "VERSION" not in repr(build), "a build argument may be a secret"
