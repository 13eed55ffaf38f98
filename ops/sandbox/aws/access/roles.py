"""What an execution role may do, by its policies in IAM, and who may assume it.

Emulates IAM's evaluation of a role's inline and attached policies: an explicit Deny wins, otherwise
an Allow is needed. Differs from IAM: conditions, permissions boundaries and service control
policies are ignored, and `NotAction`, `NotResource` and `NotPrincipal` match nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from typing import Any

from moto.ecr.models import ecr_backends
from moto.iam.models import iam_backends
from moto.iam.responses import IamResponse
from moto.secretsmanager.models import secretsmanager_backends

from ops.sandbox.aws.overrides import answer
from ops.sandbox.contracts import ACCOUNT, REGION

_TASKS = "ecs-tasks.amazonaws.com"


def install() -> None:
    """Answer iam:SimulatePrincipalPolicy, which moto lacks."""
    answer(IamResponse, "simulate_principal_policy", _simulate)


def trusts_tasks(role: str) -> bool:
    """Whether the role exists and its trust policy lets ECS tasks assume it."""
    found = _role(role)
    return found is not None and any(
        each.get("Effect") == "Allow"
        and _TASKS in _list((each.get("Principal") or {}).get("Service"))
        and _matches(each.get("Action"), "sts:AssumeRole")
        for each in _statements(found.assume_role_policy_document)
    )


def decision(role: str, action: str, resource: str) -> str:
    """The decision of the role's policies on an action: allowed, explicitDeny or implicitDeny."""
    effects = {
        each.get("Effect")
        for each in _policies(role)
        if _matches(each.get("Action"), action) and _matches(each.get("Resource"), resource)
    }
    if "Deny" in effects:
        return "explicitDeny"
    return "allowed" if "Allow" in effects else "implicitDeny"


def refusal(role: str, action: str, resource: str) -> str:
    """Why the role's policies refuse an action, in IAM's words; "" if they allow it."""
    return {
        "allowed": "",
        "explicitDeny": "with an explicit deny in an identity-based policy",
        "implicitDeny": f"because no identity-based policy allows the {action} action",
    }[decision(role, action, resource)]


def repository_refuses(repository: str, role: str) -> bool:
    """Whether the policy of an ECR repository denies the role its images."""
    found = ecr_backends[ACCOUNT][REGION].repositories.get(repository)
    return found is not None and any(
        each.get("Effect") == "Deny"
        and _matches(each.get("Action"), "ecr:BatchGetImage")
        and _is_principal(each.get("Principal"), role)
        for each in _statements(found.policy or "{}")
    )


def secret_key(secret: str) -> str:
    """The ARN of the customer managed KMS key of a secret, or ""."""
    backend: Any = secretsmanager_backends[ACCOUNT][REGION]
    try:
        key = str(backend.secrets[secret].kms_key_id or "")
    except (KeyError, AttributeError):
        return ""
    if not key or "aws/secretsmanager" in key:
        return ""
    return key if key.startswith("arn:") else f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{key}"


def _simulate(response: Any) -> dict[str, Any]:
    role = response._get_param("PolicySourceArn")
    actions = response._get_param("ActionNames") or []
    resources = response._get_param("ResourceArns") or ["*"]
    found = [
        {
            "EvalActionName": action,
            "EvalResourceName": resource,
            "EvalDecision": decision(role, action, resource),
            "MatchedStatements": [],
            "MissingContextValues": [],
        }
        for action in actions
        for resource in resources
    ]
    return {"EvaluationResults": found, "IsTruncated": False}


def _role(arn: str) -> Any:
    name = arn.rpartition("/")[2]
    roles = iam_backends[ACCOUNT]["aws"].roles.values()
    return next((each for each in roles if each.name == name), None)


def _policies(role: str) -> Iterator[dict[str, Any]]:
    found = _role(role)
    if found is None:
        return
    for text in list(found.policies.values()):
        yield from _statements(text)
    for managed in list(found.managed_policies.values()):
        yield from _statements(_document(managed))


def _document(policy: Any) -> str:
    """Return the default version of a managed policy."""
    versions = {each.version_id: each.document for each in policy.versions}
    return str(versions[policy.default_version_id])


def _statements(policy: Any) -> Iterable[dict[str, Any]]:
    document = json.loads(policy) if isinstance(policy, str) else policy
    found = document.get("Statement") or []
    return [found] if isinstance(found, dict) else found


def _is_principal(principal: Any, role: str) -> bool:
    named = principal if isinstance(principal, str) else (principal or {}).get("AWS")
    return any(each in ("*", role) for each in _list(named))


def _matches(patterns: Any, value: str) -> bool:
    return any(fnmatchcase(value.lower(), each.lower()) for each in _list(patterns))


def _list(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value or ())
