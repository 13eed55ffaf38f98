"""The network and the permissions that Fargate needs to prepare a task, with ECS's texts.

Emulates the calls that Fargate makes from the task's subnet, by its execution role: ECR's login and
pulls (layers come from S3), secrets with their KMS keys, the log stream. Differs from Fargate: a
task definition without an execution role may do everything, parameters of SSM are never denied,
every registry is treated like ECR, and an image that names none needs no network and no login.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ops.sandbox.agent import ecs_messages
from ops.sandbox.aws.access import roles, routes
from ops.sandbox.contracts import ACCOUNT, REGION
from ops.sandbox.registry import reference
from ops.sandbox.runtime import pull_errors


class ResourceError(Exception):
    """A task can't be initialised; `str()` is its stoppedReason."""


@dataclass(frozen=True)
class TaskAccess:
    """What one task reaches and may do. `place` is its `awsvpcConfiguration`."""

    task_id: str
    role: str
    place: dict[str, Any]

    def check_registry(self, images: Iterable[str]) -> None:
        """Log in to ECR, if an image is of a registry. Raises ResourceError."""
        if not any(map(_registry, images)):
            return
        if not routes.reaches(self.place, "ecr.api"):
            raise ResourceError(ecs_messages.registry_unreachable(REGION))
        if why := self._refusal("ecr:GetAuthorizationToken", "*"):
            raise ResourceError(ecs_messages.registry_denied(why))

    def check_secret(self, arn: str) -> None:
        """Read a secret, or a parameter. Raises ResourceError."""
        service = "secretsmanager" if ":secretsmanager:" in arn else "ssm"
        if not routes.reaches(self.place, service):
            raise ResourceError(ecs_messages.secret_unreachable(arn, service))
        if service != "secretsmanager":
            return
        if why := self._refusal("secretsmanager:GetSecretValue", arn):
            raise ResourceError(ecs_messages.secret_denied(arn, why))
        key = roles.secret_key(arn)
        if key and self._refusal("kms:Decrypt", key):
            raise ResourceError(ecs_messages.secret_key_denied(arn))

    def check_logs(self, group: str) -> None:
        """Create a log stream. Raises ResourceError."""
        if not routes.reaches(self.place, "logs"):
            raise ResourceError(ecs_messages.logs_unreachable())
        arn = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{group}:log-stream:*"
        if why := self._refusal("logs:CreateLogStream", arn):
            raise ResourceError(ecs_messages.logs_denied(why))

    def check_pull(self, image: str) -> None:
        """Pull an image. Raises PullError."""
        host = _registry(image)
        if not host:
            return
        repository = reference.parse(image).repository
        arn = f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/{repository}"
        if not routes.reaches(self.place, "ecr.dkr"):
            raise pull_errors.unreachable(image, host)
        refused = any(
            self._refusal(action, arn)
            for action in ("ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer")
        )
        if refused or roles.repository_refuses(repository, self.role):
            raise pull_errors.forbidden(image, host)
        if not routes.reaches(self.place, "s3"):
            raise pull_errors.layers_unreachable(REGION)

    def _refusal(self, action: str, resource: str) -> str:
        """IAM's sentence on a refused action; "" if it is allowed, or without a role."""
        why = roles.refusal(self.role, action, resource) if self.role else ""
        if not why:
            return ""
        user = f"arn:aws:sts::{ACCOUNT}:assumed-role/{self.role.rpartition('/')[2]}/{self.task_id}"
        return f"User: {user} is not authorized to perform: {action} on resource: {resource} {why}"


def _registry(image: str) -> str:
    """The registry of an image; "" for none, or a malformed name, which the runtime refuses."""
    try:
        return reference.parse(image).registry or ""
    except ValueError:
        return ""
