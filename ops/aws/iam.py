"""IAM: whether a role is allowed to do something."""

from __future__ import annotations

from collections.abc import Sequence

from ops.aws.session import AwsSession


def denied_actions(cloud: AwsSession, role: str, actions: Sequence[str]) -> tuple[str, ...]:
    """Those of `actions` that the policies of a role do not allow on all resources.

    Calls iam:SimulatePrincipalPolicy, which few operators may call.
    """
    with cloud.translated(f"policies of {role} (iam:SimulatePrincipalPolicy)"):
        pages = (
            cloud.client("iam")
            .get_paginator("simulate_principal_policy")
            .paginate(PolicySourceArn=role, ActionNames=list(actions))
        )
        results = {
            str(each["EvalActionName"]): each["EvalDecision"]
            for page in pages
            for each in page["EvaluationResults"]
        }
        return tuple(action for action in actions if results[action].endswith("Deny"))
