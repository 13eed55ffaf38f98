"""Images that cannot be pulled: never pushed, expired, deleted, of another platform, denied."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.diagnosis.incidents import ACCOUNT, IMAGE, causes, failing, find, task

NOT_FOUND = (
    f"CannotPullContainerError: pull image manifest has been retried 7 time(s): failed to resolve "
    f"ref {IMAGE}: {IMAGE}: not found"
)
FORBIDDEN = (
    f"CannotPullContainerError: pull image manifest has been retried 1 time(s): failed to resolve "
    f"ref {IMAGE}: unexpected status from HEAD request to https://x/v2/: 403 Forbidden"
)
PLATFORM = (
    "CannotPullContainerError: pull image manifest has been retried 7 time(s): image Manifest does "
    "not contain descriptor matching platform 'linux/amd64'"
)
EXPIRE = json.dumps(
    {"rules": [{"selection": {"countNumber": 3}, "action": {"type": "expire"}, "rulePriority": 1}]}
)
ROLE = f"arn:aws:iam::{ACCOUNT}:role/dev-exec"
REPOSITORY = f"arn:aws:ecr:us-east-1:{ACCOUNT}:repository/shop/backend"


def ecr(documents: dict[str, Any], image: Any, **fields: Any) -> dict[str, Any]:
    documents["ecr/images"] = {
        IMAGE: {
            "repository": {"repositoryName": "shop/backend", "repositoryArn": REPOSITORY},
            "name": "shop/backend",
            "tag": "abc1234",
            "image": image,
            "lifecycle": "",
            "policy": "",
            **fields,
        }
    }
    return documents


def ran_before(documents: dict[str, Any]) -> dict[str, Any]:
    [container] = task("a")["containers"]
    container |= {"image": IMAGE, "imageDigest": "sha256:1"}
    documents["ecs/tasks"]["dev-backend"]["running"] = [task("a", containers=[container])]
    return documents


def released(documents: dict[str, Any]) -> dict[str, Any]:
    documents["releases"]["backend"] = [
        {"tag": "abc1234", "verdict": "succeeded", "digest": "sha256:1"}
    ]
    return documents


@pytest.mark.parametrize("text", [NOT_FOUND, FORBIDDEN])
def test_an_image_that_was_never_pushed(text: str) -> None:
    found = find(ecr(failing(text), None))
    assert causes(found) == ["image_missing"]
    finding = found.roots[0].candidate.finding
    assert (
        finding.confidence == "certain" and "shop/backend:abc1234 is not in ECR" in finding.summary
    )
    assert finding.evidence[0].text == "shop/backend:abc1234: ImageNotFoundException"
    assert finding.fix[0] == "inv backend.deploy"


def test_a_repository_that_does_not_exist() -> None:
    found = find(ecr(failing(NOT_FOUND), None, repository=None))
    assert causes(found) == ["image_missing"]
    assert "nor is its repository" in found.roots[0].candidate.finding.summary


@pytest.mark.parametrize("before", [ran_before, released])
@pytest.mark.parametrize("text", [NOT_FOUND, FORBIDDEN])
def test_an_image_that_was_there(text: str, before: Any) -> None:
    """A lifecycle policy is named only if it expires images; else it was deleted."""
    for policy, cause in ((EXPIRE, "image_expired"), ("", "image_deleted"), ("{", "image_deleted")):
        found = find(before(ecr(failing(text), None, lifecycle=policy)))
        assert causes(found) == [cause]
        finding = found.roots[0].candidate.finding
        assert finding.confidence == "likely"
        assert any("sha256:1" in each.text for each in finding.evidence)
        assert any("expire" in each.text for each in finding.evidence) == (policy == EXPIRE)


def test_a_lifecycle_policy_that_could_not_be_read_is_not_taken_for_none() -> None:
    found = find(ran_before(ecr(failing(NOT_FOUND), None, lifecycle=None)))
    [root] = found.roots
    assert "or a lifecycle policy expired it" in root.candidate.finding.summary
    assert "could not be read" in root.candidate.because


def test_an_image_in_ecr_is_not_missing() -> None:
    documents = ecr(failing(NOT_FOUND), {"imageDigest": "sha256:1"})
    assert causes(find(documents)) == []


@pytest.mark.parametrize(
    ("platforms", "architecture", "other"),
    [
        (["linux/arm64"], None, True),
        (["linux/amd64"], "ARM64", True),
        (["linux/amd64"], None, False),
        (["linux/arm64", "linux/amd64"], "X86_64", False),
        (None, None, False),
        ([], None, False),
    ],
)
def test_the_platforms_of_the_manifest_are_compared(
    platforms: list[str] | None, architecture: str | None, other: bool
) -> None:
    documents = ecr(failing(PLATFORM), {"imageDigest": "sha256:1"}, platforms=platforms)
    definition = documents["ecs/task-definitions"]["dev-backend:7"]["taskDefinition"]
    if architecture:
        definition["runtimePlatform"] = {"cpuArchitecture": architecture}
    found = find(documents)
    assert causes(found) == (["image_platform"] if other else [])
    if other:
        assert (
            f"platforms: {(platforms or [''])[0]}"
            in found.roots[0].candidate.finding.evidence[0].text
        )


def decisions(*denied: str, decision: str = "implicitDeny") -> dict[str, Any]:
    return {
        ROLE: [
            {
                "action": action,
                "resource": REPOSITORY,
                "decision": decision if action in denied else "allowed",
            }
            for action in ("ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer")
        ]
    }


def test_a_pull_that_the_role_may_not_make() -> None:
    documents = ecr(failing(FORBIDDEN), {"imageDigest": "sha256:1"})
    documents["iam/pull-decisions"] = decisions("ecr:BatchGetImage")
    found = find(documents)
    assert causes(found) == ["role_permission_missing"]
    finding = found.roots[0].candidate.finding
    assert f"dev-exec lacks the permission ecr:BatchGetImage on {REPOSITORY}" in finding.summary
    assert "iam put-role-policy --role-name dev-exec" in finding.fix[0]


def policy(effect: str = "Deny", principal: Any = "*", **fields: Any) -> str:
    statement = {"Effect": effect, "Principal": principal, "Action": "ecr:*", **fields}
    return json.dumps({"Statement": [statement]})


@pytest.mark.parametrize(
    ("text", "denies"),
    [
        (policy(), True),
        (policy(principal={"AWS": ROLE}), True),
        (policy(principal={"AWS": ["arn:aws:iam::1:role/other"]}), False),
        (policy("Allow"), False),
        (policy(Condition={"StringEquals": {"aws:SourceVpc": "vpc-1"}}), False),
        (policy(Action=["ecr:PutImage"]), False),
        ("", False),
        ("{", False),
    ],
)
def test_the_policy_of_the_repository(text: str, denies: bool) -> None:
    documents = ecr(failing(FORBIDDEN), {"imageDigest": "sha256:1"}, policy=text)
    documents["iam/pull-decisions"] = decisions()
    found = causes(find(documents))
    assert found == (["repository_policy_denies"] if denies else [])


@pytest.mark.parametrize("key", ["ecr/images", "ecs/task-definitions"])
def test_unknown_documents_say_nothing(key: str) -> None:
    documents = ecr(failing(NOT_FOUND), None)
    del documents[key]
    assert causes(find(documents, {key: "AccessDenied"})) == []


def test_tasks_that_failed_before_the_service_recovered_explain_nothing() -> None:
    documents = ecr(failing(NOT_FOUND), None)
    service = documents["ecs/services"]["dev-backend"]
    service["runningCount"] = service["desiredCount"]
    service["deployments"][0]["rolloutState"] = "COMPLETED"
    assert causes(find(documents)) == []
