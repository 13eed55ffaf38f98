"""Whether what runs is what was deployed, by table: only a seen difference is a reason to go
back.
"""

from __future__ import annotations

import pytest

from ops.aws.facts import ContainerState, ServiceState, TaskState
from ops.core.findings import Unknown
from ops.ecs.rules.image_match import image_mismatch, service_image_mismatch
from ops.health.rules.endpoints import broken_by_us
from ops.http.facts import Answer


def task(digest: str | None, status: str = "RUNNING", name: str = "backend") -> TaskState:
    container = ContainerState(name, "image", digest, status, None, "")
    return TaskState("arn:task/1", status, "RUNNING", "ecs-svc/1", "td:1", "", "", "", (container,))


@pytest.mark.parametrize(
    ("tasks", "digest", "desired", "expected"),
    [
        ((task("a"), task("a")), "a", 2, None),
        ((task("a"), task("b")), "a", 2, "runs b, not a"),
        ((task("a"), task("b", "DEPROVISIONING")), "a", 2, None),
        ((), "a", 2, "no task is running"),
        ((), "a", 0, None),
        ((task(None),), "a", 1, Unknown),
        ((task(None), task("b")), "a", 2, "runs b, not a"),
        ((task("a"),), None, 1, Unknown),
        ((task("a", name="log"),), "a", 1, "has no container backend, only log"),
    ],
)
def test_proved_wrong_or_unknown(
    tasks: tuple[TaskState, ...], digest: str | None, desired: int, expected: object
) -> None:
    """A digest that ECS does not show is unknown, never wrong and never fine."""
    found = image_mismatch(tasks, "backend", digest, desired)
    if isinstance(expected, str):
        assert isinstance(found, str) and expected in found
    elif expected is Unknown:
        assert isinstance(found, Unknown)
    else:
        assert found is None


def service(desired: int, running: int) -> ServiceState:
    return ServiceState("backend", "ACTIVE", "td:1", desired, running, 0, (), (), ())


@pytest.mark.parametrize(
    ("state", "tasks", "expected"),
    [
        (service(2, 2), (task("a"), task("a")), None),
        (service(2, 2), (), "counts 2 running tasks, and ListTasks lists 0"),
        (service(2, 2), (task("a"),), "counts 2 running tasks, and ListTasks lists 1"),
        (service(2, 2), (task("b"),), "wrong"),
        (service(2, 0), (), "wrong"),
        (service(0, 0), (), None),
        (service(1, 2), (task("a"),), None),
        (service(2, 2), Unknown("denied"), "denied"),
        (Unknown("denied"), (task("a"),), "denied"),
        (Unknown("denied"), (task("b"),), "wrong"),
        (Unknown("denied"), (), "denied"),
        (None, (), "did not show the service"),
    ],
)
def test_two_sources_that_contradict_each_other_are_unknown(
    state: object, tasks: object, expected: str | None
) -> None:
    """DescribeServices and ListTasks are read together; only what both leave no doubt of is
    wrong.
    """
    found = service_image_mismatch(state, tasks, "backend", "a")  # type: ignore[arg-type]
    if expected is None:
        assert found is None
    elif expected == "wrong":
        assert isinstance(found, str)
    else:
        assert isinstance(found, Unknown) and expected in found.why


def answer(status: int) -> Answer:
    return Answer("/", status, "text/html", 0.1, "" if status == 200 else "expected 200")


@pytest.mark.parametrize(
    ("before", "after", "blamed"),
    [
        (200, 200, False),
        (200, 500, True),
        (500, 500, False),
        (0, 0, False),
        (0, 500, True),
        (200, 0, True),
        (500, 0, False),
    ],
)
def test_what_may_be_blamed_on_a_deploy(before: int, after: int, blamed: bool) -> None:
    """Ill before is not blamed; "nobody answered" before is no look at all, so it excuses nothing
    that can be seen now.
    """
    assert bool(broken_by_us((answer(before),), (answer(after),))) is blamed
