"""IAM: whether a role is allowed to do something."""

from __future__ import annotations

from collections.abc import Sequence

from ops.aws.session import AwsSession


def denied_actions(cloud: AwsSession, role: str, actions: Sequence[str]) -> tuple[str, ...]:
    """Those of `actions` that the policies of a role do not allow on all resources.

    Calls iam:SimulatePrincipalPolicy, which few operators may call.
    """
    with cloud.translated(f"policies of {role} (iam:SimulatePrincipalPolicy)"):
        answer = cloud.client("iam").simulate_principal_policy(
            PolicySourceArn=role, ActionNames=list(actions)
        )
        results = {
            str(each["EvalActionName"]): each["EvalDecision"]
            for each in answer["EvaluationResults"]
        }
        return tuple(action for action in actions if results[action] != "allowed")
