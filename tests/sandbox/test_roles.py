"""Roles: what their policies allow, and SimulatePrincipalPolicy on them."""

from __future__ import annotations

import json

import pytest

from ops.sandbox.aws import Aws
from ops.sandbox.aws.access import roles
from tests.sandbox.aws_platform import client_of

POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Action": ["ecr:*", "logs:CreateLogStream"], "Resource": "*"},
        {"Effect": "Deny", "Action": "ecr:Delete*", "Resource": "*"},
    ],
}


@pytest.fixture(scope="module")
def role(aws: Aws) -> str:
    iam = client_of(aws, "iam")
    arn = iam.create_role(RoleName="runner", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    iam.put_role_policy(RoleName="runner", PolicyName="own", PolicyDocument=json.dumps(POLICY))
    return str(arn)


@pytest.mark.parametrize(
    ("action", "decision", "why"),
    [
        ("ecr:BatchGetImage", "allowed", ""),
        ("ecr:DeleteRepository", "explicitDeny", "with an explicit deny in an identity-based"),
        ("logs:PutLogEvents", "implicitDeny", "allows the logs:PutLogEvents action"),
    ],
)
def test_policies_decide(aws: Aws, role: str, action: str, decision: str, why: str) -> None:
    """An explicit Deny wins, otherwise an Allow is needed; the simulation agrees."""
    simulated = client_of(aws, "iam").simulate_principal_policy(
        PolicySourceArn=role, ActionNames=[action]
    )["EvaluationResults"]
    assert [each["EvalDecision"] for each in simulated] == [decision]
    refusal = roles.refusal(role, action, "*")
    assert why in refusal and bool(refusal) == bool(why)
