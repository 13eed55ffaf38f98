"""Faults in roles, keys and policies, fixed by the operator instead of `sandbox.mend`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ops.sandbox import faults
from ops.sandbox.seed import Clients
from ops.sandbox.seed.names import SECRET
from tests.sandbox.faults_support import active, clients
from tests.waiting import until

TRUST = {
    "Effect": "Allow",
    "Principal": {"Service": "ecs-tasks.amazonaws.com"},
    "Action": "sts:AssumeRole",
}


def trust(here: Clients) -> None:
    here.iam.update_assume_role_policy(
        RoleName="dev-davidshaevel-ecs-execution-role",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [TRUST]}),
    )


def use_default_key(here: Clients) -> None:
    here.secrets.update_secret(SecretId=SECRET, KmsKeyId="alias/aws/secretsmanager")


def allow_pulls(here: Clients) -> None:
    here.ecr.delete_repository_policy(repositoryName="davidshaevel/backend")


def steady(root: Path) -> bool:
    """Whether the backend has one deployment, completed."""
    [service] = clients(root).ecs.describe_services(
        cluster="dev-davidshaevel-cluster", services=["dev-davidshaevel-backend"]
    )["services"]
    return [each["rolloutState"] for each in service["deployments"]] == ["COMPLETED"]


@pytest.mark.parametrize(
    ("name", "fix"),
    [("role-trust", trust), ("secret-kms", use_default_key), ("repository-policy", allow_pulls)],
)
def test_the_operators_fix_ends_the_fault(
    unharmed: Path, name: str, fix: Callable[[Clients], None]
) -> None:
    """It is listed as inactive once the role may do what it could not, and new tasks start."""
    faults.send_request(unharmed, "break", name)
    try:
        assert name in active(unharmed)
        fix(clients(unharmed))
        assert name not in active(unharmed)
        until(lambda: steady(unharmed), 60)
    finally:
        faults.send_request(unharmed, "mend", name)
