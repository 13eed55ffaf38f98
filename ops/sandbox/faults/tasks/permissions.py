"""Faults in roles, keys and policies that new tasks need."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from typing import Any

from ops.sandbox.faults.base import FaultState, SandboxHandles
from ops.sandbox.faults.tasks.starts import FailingStarts


@dataclass(frozen=True)
class LacksActions(FailingStarts):
    """PutRolePolicy: the execution role may not do these actions any more."""

    actions: tuple[str, ...]

    def change(self, handles: SandboxHandles, state: FaultState) -> FaultState:
        self._put(handles, self.actions)
        return {}

    def remove(self, handles: SandboxHandles, state: FaultState) -> None:
        self._put(handles, ())

    def is_present(self, handles: SandboxHandles, state: FaultState) -> bool:
        from ops.sandbox.seed.account import EXECUTION_POLICY

        found = handles.clients.iam.get_role_policy(
            RoleName=_execution_role(), PolicyName=EXECUTION_POLICY
        )
        return not any(each in json.dumps(found["PolicyDocument"]) for each in self.actions)

    @staticmethod
    def _put(handles: SandboxHandles, without: tuple[str, ...]) -> None:
        from ops.sandbox.seed.account import EXECUTION, EXECUTION_POLICY

        [statement] = EXECUTION["Statement"]
        allowed = [each for each in statement["Action"] if each not in without]
        handles.clients.iam.put_role_policy(
            RoleName=_execution_role(),
            PolicyName=EXECUTION_POLICY,
            PolicyDocument=json.dumps(
                {**EXECUTION, "Statement": [{**statement, "Action": allowed}]}
            ),
        )


class WrongTrust(FailingStarts):
    """UpdateAssumeRolePolicy: the execution role trusts EC2, not ECS tasks."""

    def change(self, handles: SandboxHandles, state: FaultState) -> FaultState:
        self._trust(handles, "ec2.amazonaws.com")
        return {}

    def remove(self, handles: SandboxHandles, state: FaultState) -> None:
        self._trust(handles, "ecs-tasks.amazonaws.com")

    def is_present(self, handles: SandboxHandles, state: FaultState) -> bool:
        from ops.sandbox.aws.access import roles
        from ops.sandbox.seed.account import role_arn

        return not roles.trusts_tasks(role_arn("execution"))

    @staticmethod
    def _trust(handles: SandboxHandles, service: str) -> None:
        from ops.sandbox.seed.account import TRUST

        [statement] = TRUST["Statement"]
        document = {**TRUST, "Statement": [{**statement, "Principal": {"Service": service}}]}
        handles.clients.iam.update_assume_role_policy(
            RoleName=_execution_role(), PolicyDocument=json.dumps(document)
        )


class OtherKey(FailingStarts):
    """UpdateSecret: the secret is encrypted with a KMS key that the execution role may not use."""

    def change(self, handles: SandboxHandles, state: FaultState) -> FaultState:
        from ops.sandbox.seed.names import SECRET

        key = handles.clients.kms.create_key(Description="secrets of the platform")["KeyMetadata"]
        handles.clients.secrets.update_secret(SecretId=SECRET, KmsKeyId=key["Arn"])
        return {"key": key["KeyId"]}

    def remove(self, handles: SandboxHandles, state: FaultState) -> None:
        from ops.sandbox.seed.names import SECRET

        handles.clients.secrets.update_secret(SecretId=SECRET, KmsKeyId="alias/aws/secretsmanager")
        if "key" in state:
            handles.clients.kms.schedule_key_deletion(KeyId=state["key"])

    def is_present(self, handles: SandboxHandles, state: FaultState) -> bool:
        from ops.sandbox.aws.access import roles
        from ops.sandbox.seed.account import role_arn
        from ops.sandbox.seed.names import SECRET

        key = roles.secret_key(SECRET)
        return bool(key and roles.refusal(role_arn("execution"), "kms:Decrypt", key))


class RepositoryPolicy(FailingStarts):
    """SetRepositoryPolicy: the repository denies pulls to the execution role."""

    def change(self, handles: SandboxHandles, state: FaultState) -> FaultState:
        from ops.sandbox.seed.account import role_arn

        statement: dict[str, Any] = {
            "Sid": "NoPull",
            "Effect": "Deny",
            "Principal": {"AWS": role_arn("execution")},
            "Action": ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
        }
        handles.clients.ecr.set_repository_policy(
            repositoryName=self.spec.repository,
            policyText=json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
        )
        return {}

    def remove(self, handles: SandboxHandles, state: FaultState) -> None:
        client = handles.clients.ecr
        with contextlib.suppress(client.exceptions.RepositoryPolicyNotFoundException):
            client.delete_repository_policy(repositoryName=self.spec.repository)

    def is_present(self, handles: SandboxHandles, state: FaultState) -> bool:
        from ops.sandbox.aws.access import roles
        from ops.sandbox.seed.account import role_arn

        return roles.repository_refuses(self.spec.repository, role_arn("execution"))


def _execution_role() -> str:
    from ops.sandbox.seed.account import role_arn

    return role_arn("execution").rpartition("/")[2]
