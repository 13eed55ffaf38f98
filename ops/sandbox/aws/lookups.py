"""Lookups for a task's start: definitions, secrets, parameters and log groups, from moto.

Differs from AWS: only the sandbox's own account and region are known. Roles are checked by
`ops.sandbox.aws.access.roles`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from moto.cloudwatch.models import cloudwatch_backends
from moto.ecs.models import ecs_backends
from moto.logs.models import logs_backends
from moto.secretsmanager.models import secretsmanager_backends
from moto.ssm.models import ssm_backends

from ops.sandbox.contracts import ACCOUNT, REGION

_LOGS = threading.RLock()  # moto's log streams are not thread-safe


@dataclass(frozen=True)
class LaunchSpec:
    """The parts of a task definition that a launch needs."""

    arn: str
    family: str
    platform: str  # linux/amd64 | linux/arm64
    role: str  # the execution role's ARN, or ""
    task_role: str
    containers: tuple[dict[str, Any], ...]


def cluster(name: str) -> Any:
    """Return moto's cluster of that name, or None."""
    return ecs_backends[ACCOUNT][REGION].clusters.get(name)


def task_definition(arn: str) -> Any:
    """Return moto's task definition, even an INACTIVE one. Raises ClientException if missing."""
    return ecs_backends[ACCOUNT][REGION].describe_task_definition(arn)


def launch_spec(arn: str) -> LaunchSpec:
    found = task_definition(arn)
    architecture = (found.runtime_platform or {}).get("cpuArchitecture", "X86_64")
    return LaunchSpec(
        arn,
        found.family,
        "linux/arm64" if architecture == "ARM64" else "linux/amd64",
        str(getattr(found, "execution_role_arn", None) or ""),
        str(getattr(found, "task_role_arn", None) or ""),
        tuple(found.container_definitions),
    )


def secret(identifier: str, stage: str | None = None, version: str | None = None) -> str | None:
    """Return the SecretString of a secret by ARN or name, or None if it does not exist.

    `stage` and `version` select a version.
    """
    try:
        backend: Any = secretsmanager_backends[ACCOUNT][REGION]
        value = backend.get_secret_value(identifier, version, stage)
    except Exception:  # moto's exceptions differ by cause; to a task they are all "no such secret"
        return None
    return value.get("SecretString") if isinstance(value, dict) else None


def parameter(identifier: str) -> str | None:
    """Return the decrypted value of an SSM parameter by ARN or name, or None."""
    name = identifier.split(":parameter", 1)[1] if ":parameter" in identifier else identifier
    backend = ssm_backends[ACCOUNT][REGION]
    found = backend.get_parameter(name) or backend.get_parameter(name.lstrip("/"))
    return (
        None if found is None else str(found.response_object(decrypt=True, region=REGION)["Value"])
    )


def create_log_stream(group: str, stream: str, create_group: bool = False) -> bool:
    """Create the stream; return False if the log group does not exist."""
    backend = logs_backends[ACCOUNT][REGION]
    with _LOGS:
        if create_group and group not in backend.groups:
            backend.create_log_group(group, {})
        if group not in backend.groups:
            return False
        if stream not in backend.groups[group].streams:
            backend.create_log_stream(group, stream)
        return True


def write_log(group: str, stream: str, line: str) -> None:
    """Write one line with PutLogEvents, timestamped now.

    Dropped if the group or stream is gone, as the awslogs driver does in non-blocking mode.
    """
    with _LOGS:
        found = logs_backends[ACCOUNT][REGION].groups.get(group)
        if found is not None and stream in found.streams:
            found.put_log_events(stream, [{"timestamp": int(time.time() * 1000), "message": line}])


def any_alarm(names: Iterable[str]) -> bool:
    """Whether one of these CloudWatch alarms is in ALARM."""
    alarms = cloudwatch_backends[ACCOUNT][REGION].alarms
    return any(name in alarms and alarms[name].state_value == "ALARM" for name in names)
