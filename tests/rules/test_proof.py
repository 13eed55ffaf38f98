"""Whether what runs is what was deployed, by table: only a seen difference is a reason to go back."""

from __future__ import annotations

import pytest

from ops.model import Answer, ContainerState, TaskState, Unknown
from ops.rules.health import broken_by_us
from ops.rules.proof import shortfall


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
        ((task("a", name="log"),), "a", 1, "no container backend"),
    ],
)
def test_proved_wrong_or_unknown(tasks: tuple[TaskState, ...], digest: str | None, desired: int, expected: object) -> None:
    """A digest that ECS does not show is unknown, never wrong and never fine."""
    found = shortfall(tasks, "backend", digest, desired)
    if isinstance(expected, str):
        assert isinstance(found, str) and expected in found
    elif expected is Unknown:
        assert isinstance(found, Unknown)
    else:
        assert found is None


def answer(status: int) -> Answer:
    return Answer("/", status, "text/html", 0.1, "" if status == 200 else "expected 200")


@pytest.mark.parametrize(
    ("before", "after", "blamed"),
    [(200, 200, False), (200, 500, True), (500, 500, False), (0, 0, False), (0, 500, True), (200, 0, True), (500, 0, False)],
)
def test_what_may_be_blamed_on_a_deploy(before: int, after: int, blamed: bool) -> None:
    """Ill before is not blamed; "nobody answered" before is no look at all, so it excuses nothing that can be seen now."""
    assert bool(broken_by_us((answer(before),), (answer(after),))) is blamed
