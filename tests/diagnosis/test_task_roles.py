"""Roles and secrets of a task definition: trust, permissions, JSON keys, KMS, deletion."""

from __future__ import annotations

from typing import Any

import pytest

from tests.diagnosis.incidents import ACCOUNT, causes, event, failing, find

ROLE = f"arn:aws:iam::{ACCOUNT}:role/dev-exec"
SECRET = f"arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret:dev-db-AbCdEf"
KEY = f"arn:aws:kms:us-east-1:{ACCOUNT}:key/1"
_START = "ResourceInitializationError: unable to pull secrets or registry auth: execution resource "
_USER = f"AccessDeniedException: User: arn:aws:sts::{ACCOUNT}:assumed-role/dev-exec/0a1b"
_ASM = f"{_START}retrieval failed: unable to retrieve secret from asm: service call has been "
FETCH = f"{_ASM}retried 1 time(s): failed to fetch secret {SECRET} from secrets manager: "


def refused(
    action: str, resource: str, why: str = "because no identity-based policy allows"
) -> str:
    return (
        f"{_USER} is not authorized to perform: {action} on resource: {resource} {why} the "
        f"{action} action status code: 400, request id: 1"
    )


LOGIN = (
    f"{_START}retrieval failed: unable to retrieve ecr registry auth: service call has been "
    f"retried 1 time(s): {refused('ecr:GetAuthorizationToken', '*')}"
)
READ = f"{FETCH}{refused('secretsmanager:GetSecretValue', SECRET)}"
GROUP = f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:/ecs/dev:log-stream:ecs/backend/1"
STREAM = (
    "ResourceInitializationError: failed to validate logger args: create stream has been retried 1 "
    "times: failed to create Cloudwatch log stream: "
    f"{refused('logs:CreateLogStream', GROUP)} : exit status 1"
)


@pytest.mark.parametrize(
    ("text", "action", "resource"),
    [
        (LOGIN, "ecr:GetAuthorizationToken", "*"),
        (READ, "secretsmanager:GetSecretValue", SECRET),
        (STREAM, "logs:CreateLogStream", GROUP),
    ],
)
def test_a_permission_that_the_role_lacks(text: str, action: str, resource: str) -> None:
    found = find(failing(text))
    assert causes(found) == ["role_permission_missing"]
    finding = found.roots[0].candidate.finding
    assert finding.summary.endswith(f"dev-exec lacks the permission {action} on {resource}")
    assert f'"Action":"{action}","Resource":"{resource}"' in finding.fix[0]


def test_an_explicit_deny_is_not_mended_by_an_allow() -> None:
    text = FETCH + refused(
        "secretsmanager:GetSecretValue",
        SECRET,
        "with an explicit deny in an identity-based policy",
    )
    [root] = find(failing(text)).roots
    assert "is explicitly denied" in root.candidate.finding.summary
    assert "put-role-policy" not in root.candidate.finding.fix[0]


@pytest.mark.parametrize(
    "why",
    [
        "because no resource-based policy allows",
        "because no VPC endpoint policy allows",
    ],
)
def test_other_policies_are_not_the_roles(why: str) -> None:
    text = FETCH + refused("secretsmanager:GetSecretValue", SECRET, why)
    assert "role_permission_missing" not in causes(find(failing(text)))


ASSUME = (
    f"(service dev-backend) failed to launch a task with (error ECS was unable to assume the role "
    f"'{ROLE}' that was provided for this task. Please verify that the role being passed has the "
    "proper trust relationship and permissions and that your IAM user has permissions to pass this "
    "role.)."
)


def trust(service: str) -> dict[str, Any]:
    statement = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    return {"RoleName": "dev-exec", "AssumeRolePolicyDocument": {"Statement": [statement]}}


@pytest.mark.parametrize(
    ("role", "confidence", "says"),
    [
        (trust("ec2.amazonaws.com"), "certain", "does not name ecs-tasks.amazonaws.com"),
        (trust("ecs-tasks.amazonaws.com"), "certain", "ECS may not assume the role"),
        (None, "certain", "the role does not exist"),
        ("unread", "likely", "ECS may not assume the role"),
    ],
)
def test_a_role_that_ecs_cannot_assume(role: Any, confidence: str, says: str) -> None:
    documents = failing("")
    documents["ecs/services"]["dev-backend"]["events"] = [event(ASSUME)]
    documents["iam/roles"] = {} if role == "unread" else {ROLE: role}
    found = find(documents)
    assert causes(found) == ["role_not_assumable"]
    finding = found.roots[0].candidate.finding
    assert finding.confidence == confidence and says in finding.summary
    assert finding.evidence[0].text == ASSUME


def test_an_event_from_before_the_service_was_steady_says_nothing() -> None:
    documents = failing("")
    documents["ecs/services"]["dev-backend"]["events"] = [
        event("(service dev-backend) has reached a steady state."),
        event(ASSUME),
    ]
    assert causes(find(documents)) == []


def with_secret(text: str, **description: Any) -> dict[str, Any]:
    documents = failing(text)
    definition = documents["ecs/task-definitions"]["dev-backend:7"]["taskDefinition"]
    definition["containerDefinitions"][0]["secrets"] = [
        {"name": "DB_PASSWORD", "valueFrom": f"{SECRET}:passwort::"}
    ]
    documents["secrets"] = {SECRET: {"ARN": SECRET, "Name": "dev-db", **description}}
    return documents


def test_a_json_key_that_the_secret_lacks() -> None:
    text = (
        f"{_ASM}retried 1 time(s): retrieved secret from Secrets Manager did not contain json key "
        "passwort"
    )
    found = find(with_secret(text))
    assert causes(found) == ["secret_key_missing"]
    finding = found.roots[0].candidate.finding
    assert (
        "the secret dev-db has no key passwort, which DB_PASSWORD is read from" in finding.summary
    )


@pytest.mark.parametrize(
    ("text", "fixed"),
    [
        (f"{FETCH}AccessDeniedException: Access to KMS is not allowed status code: 400", True),
        (FETCH + refused("kms:Decrypt", KEY), True),
    ],
)
def test_a_kms_key_that_the_role_may_not_use(text: str, fixed: bool) -> None:
    found = find(with_secret(text, KmsKeyId=KEY))
    assert causes(found) == ["secret_kms_denied"]
    finding = found.roots[0].candidate.finding
    assert f"decrypt the secret dev-db with its KMS key {KEY}" in finding.summary
    assert f'"Action":"kms:Decrypt","Resource":"{KEY}"' in finding.fix[0]


def test_a_secret_that_is_scheduled_for_deletion() -> None:
    text = (
        f"{FETCH}InvalidRequestException: You can't perform this operation on the secret because "
        "it was marked for deletion."
    )
    found = find(with_secret(text, DeletedDate="2026-11-27T00:00:00+00:00"))
    assert causes(found) == ["secret_deleted"]
    assert found.roots[0].candidate.finding.fix[0].endswith(f"restore-secret --secret-id {SECRET}")


NOT_FOUND = (
    f"{FETCH}ResourceNotFoundException: Secrets Manager can't find the specified secret. status "
    "code: 400"
)


@pytest.mark.parametrize("known", [None, {"ARN": SECRET}])
def test_a_secret_that_does_not_exist(known: Any) -> None:
    """Named if Secrets Manager does not know it; one that was created since is not blamed."""
    documents = with_secret(NOT_FOUND)
    documents["secrets"][SECRET] = known
    found = find(documents)
    assert causes(found) == ([] if known else ["secret_missing"])
    if known is None:
        finding = found.roots[0].candidate.finding
        assert "dev-db-AbCdEf does not exist; DB_PASSWORD would be" in finding.summary
        assert finding.evidence[0].text.endswith("ResourceNotFoundException")


def test_a_log_group_that_does_not_exist() -> None:
    documents = failing(
        "ResourceInitializationError: failed to validate logger args: create stream has been "
        "retried 1 times: failed to create Cloudwatch log stream: ResourceNotFoundException: The "
        "specified log group does not exist. : exit status 1"
    )
    assert causes(find(documents)) == []
    definition = documents["ecs/task-definitions"]["dev-backend:7"]["taskDefinition"]
    definition["containerDefinitions"][0]["logConfiguration"] = {
        "logDriver": "awslogs",
        "options": {"awslogs-group": "/ecs/dev"},
    }
    found = find(documents)
    assert causes(found) == ["log_group_missing"]
    assert found.roots[0].candidate.finding.fix[0].endswith("--log-group-name /ecs/dev")
