"""A rollout in which nothing failed is no finding; one in which something failed is."""

from __future__ import annotations

from typing import Any

import pytest

from ops.core.findings import Finding, as_document
from tests.diagnosis.incidents import causes, find, stopped, world

CHECK: dict[str, Any] = {
    "group": "ecs",
    "kind": "deployment",
    "name": "backend deployment",
    "status": "failed",
    "detail": "2 deployments, IN_PROGRESS, expected one that is COMPLETED",
    "service": "backend",
    "finding": as_document(Finding("service_unsteady", "backend: 2 deployments", "likely")),
}


def rolling(**changes: Any) -> dict[str, Any]:
    """A rollout that began a minute ago, with the check that a sweep reports of it."""
    documents = world()
    [deployment] = documents["ecs/services"]["dev-backend"]["deployments"]
    new = deployment | {
        "rolloutState": "IN_PROGRESS",
        "runningCount": 1,
        "createdAt": "2026-11-28T02:59:00+00:00",
    }
    old = deployment | {"id": "ecs-svc/0", "status": "ACTIVE"}
    documents["ecs/services"]["dev-backend"]["deployments"] = [new | changes, old]
    documents["sweep"] = {"healthy": False, "checks": [CHECK]}
    return documents


def test_a_normal_rollout_is_no_finding() -> None:
    found = find(rolling())
    assert causes(found) == [] and found.unhealthy == ()
    assert "is in progress for 1 min" in found.rollouts[0] and "none failed" in found.rollouts[0]


def test_a_bake_is_no_finding_however_long_it_takes() -> None:
    documents = rolling(runningCount=2, createdAt="2026-11-28T02:20:00+00:00")
    configuration = {"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 60}
    documents["ecs/services"]["dev-backend"]["deploymentConfiguration"] = configuration
    found = find(documents)
    assert causes(found) == [] and "bakes" in found.rollouts[0]


def test_the_summary_of_a_stopped_task_names_its_service() -> None:
    documents = rolling(failedTasks=1)
    for summary in ("task 1a2b: out of memory", "backend: task 1a2b: out of memory"):
        finding = as_document(Finding("out_of_memory", summary, "certain"))
        documents["sweep"]["checks"] = [CHECK | {"finding": finding}]
        [root] = find(documents).roots
        assert root.candidate.finding.summary == "backend: task 1a2b: out of memory"


LOCK = {
    "name": "backend",
    "owner": "ada",
    "host": "laptop",
    "reason": "deploy abc1234",
    "expired": False,
    "text": "",
}


def verifying(lock: dict[str, Any]) -> dict[str, Any]:
    """A completed rollout that is not recorded yet, and a lock."""
    documents = world()
    finding = Finding("not_the_release", "backend: another image runs", "certain")
    check = CHECK | {"name": "backend image", "kind": "image", "finding": as_document(finding)}
    documents["sweep"] = {"healthy": False, "checks": [check]}
    documents["locks"] = [lock]
    return documents


def test_a_run_that_still_verifies_is_no_finding() -> None:
    found = find(verifying(LOCK))
    assert causes(found) == [] and "ada on laptop holds its lock" in found.rollouts[0]


@pytest.mark.parametrize("change", [{"name": "frontend"}, {"expired": True}])
def test_another_lock_excuses_nothing(change: dict[str, Any]) -> None:
    assert "not_the_release" in causes(find(verifying(LOCK | change)))


@pytest.mark.parametrize(
    "changes",
    [
        {"failedTasks": 1},
        {"rolloutState": "FAILED"},
        {"createdAt": "2026-11-28T02:30:00+00:00"},  # longer than deploy_timeout
    ],
)
def test_a_rollout_that_does_not_go_well_is_one(changes: dict[str, Any]) -> None:
    found = find(rolling(**changes))
    assert "service_unsteady" in [each.cause for each in found.found] and found.rollouts == ()
    assert found.unhealthy == ("ecs · backend deployment",)


def test_a_stopped_task_of_the_rollout_makes_it_one() -> None:
    documents = rolling()
    documents["ecs/tasks"]["dev-backend"]["stopped"] = [stopped("x", "boom", exit_code=1)]
    assert find(documents).rollouts == ()


def test_unknown_tasks_are_no_normal_rollout() -> None:
    documents = rolling()
    del documents["ecs/tasks"]
    found = find(documents, {"ecs/tasks": "denied"})
    assert found.rollouts == () and causes(found) == ["service_unsteady"]


@pytest.mark.parametrize(("digest", "found"), [("sha256:1", []), ("sha256:2", ["not_the_release"])])
def test_a_release_that_was_recorded_during_the_look(digest: str, found: list[str]) -> None:
    """The check read the records a moment too early; another image is still a finding."""
    documents = verifying(LOCK | {"expired": True, "name": "frontend"})
    del documents["locks"]
    for each in documents["ecs/tasks"]["dev-backend"]["running"]:
        each["containers"][0]["imageDigest"] = digest
    documents["releases"]["backend"] = [{"verdict": "succeeded", "digest": "sha256:1"}]
    assert causes(find(documents)) == found
