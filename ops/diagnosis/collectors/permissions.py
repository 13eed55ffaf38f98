"""Evidence from IAM, Secrets Manager and KMS: the roles and secrets of services' tasks.

Only of services that are not steady. Values of secrets are never read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ops.diagnosis.collectors.images import newest_definitions
from ops.diagnosis.collectors.registry import Reader, collector

_PULL = ("ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer")
_LOGIN = ("ecr:GetAuthorizationToken",)


@collector("iam/roles", "iam:GetRole")
def roles(reader: Reader) -> Any:
    """ARN → the execution and task roles of task definitions; None for one that is gone."""
    client = reader.client("iam")
    found: dict[str, Any] = {}
    for arn in sorted(set(_roles(reader))):
        try:
            found[arn] = client.get_role(RoleName=arn.rpartition("/")[2])["Role"]
        except client.exceptions.NoSuchEntityException:
            found[arn] = None
    return found


def _roles(reader: Reader) -> Iterator[str]:
    for definition in newest_definitions(reader):
        named = (definition.get("executionRoleArn"), definition.get("taskRoleArn"))
        yield from (each for each in named if each)


@collector("iam/pull-decisions", "iam:SimulatePrincipalPolicy")
def pull_decisions(reader: Reader) -> Any:
    """ARN of an execution role → IAM's decisions on the actions that a pull from ECR needs."""
    images = reader.content("ecr/images")
    found: dict[str, Any] = {}
    for definition in newest_definitions(reader):
        role = definition.get("executionRoleArn")
        repositories = sorted(
            {
                images[each["image"]]["repository"]["repositoryArn"]
                for each in definition["containerDefinitions"]
                if (images.get(each["image"]) or {}).get("repository")
            }
        )
        if role and repositories and reader.content("iam/roles").get(role):
            found[role] = [
                *_simulate(reader, role, _LOGIN, ["*"]),
                *_simulate(reader, role, _PULL, repositories),
            ]
    return found


def _simulate(
    reader: Reader, role: str, actions: Iterable[str], resources: list[str]
) -> list[dict[str, str]]:
    results = reader.pages(
        "iam",
        "simulate_principal_policy",
        "EvaluationResults",
        PolicySourceArn=role,
        ActionNames=list(actions),
        ResourceArns=resources,
    )
    return [
        {
            "action": each["EvalActionName"],
            "resource": each.get("EvalResourceName", "*"),
            "decision": each["EvalDecision"],
        }
        for each in results
    ]


@collector("secrets", "secretsmanager:DescribeSecret")
def secrets(reader: Reader) -> Any:
    """ARN, as task definitions name it → the secret's description; None for one that is gone."""
    found: dict[str, Any] = {}
    for arn in sorted(set(_secrets(reader))):
        client = reader.cloud.for_arn(arn).client("secretsmanager")
        try:
            answer = client.describe_secret(SecretId=arn)
            found[arn] = {
                key: answer[key]
                for key in ("ARN", "Name", "KmsKeyId", "DeletedDate")
                if answer.get(key)
            }
        except client.exceptions.ResourceNotFoundException:
            found[arn] = None
    return found


def _secrets(reader: Reader) -> Iterator[str]:
    for definition in newest_definitions(reader):
        for container in definition["containerDefinitions"]:
            for each in container.get("secrets") or ():
                if ":secretsmanager:" in each["valueFrom"]:
                    yield ":".join(each["valueFrom"].split(":")[:7])
