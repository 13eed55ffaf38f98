"""The resources of a task before its containers start: secrets and log streams.

Emulates Fargate's resource initialisation and its texts (ResourceInitializationError …).
`valueFrom` is a secret's ARN, optionally followed by `:json-key:version-stage:version-id`, or an
SSM parameter's ARN or name. A bare name is a secret's if no parameter has that name. Differs from
Fargate: environment files and volumes are ignored, awslogs writes each line at once, other log
drivers drop their lines. What the task reaches and may do: `access`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from ops.sandbox.agent import ecs_messages
from ops.sandbox.agent.access import ResourceError, TaskAccess
from ops.sandbox.aws import lookups

_DATABASE = "PGHOSTADDR"  # in place of the VPC's DNS: where libpq finds the database by any name
_NO_TLS = {"PGSSLMODE": "disable"}  # as drivers other than libpq do unless they are configured


def environment(
    definition: dict[str, Any],
    overrides: dict[str, Any],
    access: TaskAccess,
    database: str = "127.0.0.1",
) -> dict[str, str]:
    """Return a container's environment: its own, overrides, then secrets. Raises ResourceError.

    `database`: the address at which the task finds the database.
    """
    plain = {
        **_NO_TLS,
        _DATABASE: database,
        **{each["name"]: each["value"] for each in definition.get("environment") or []},
    }
    plain.update({each["name"]: each["value"] for each in overrides.get("environment") or []})
    plain.update(
        {
            each["name"]: _resolve(each["valueFrom"], access)
            for each in definition.get("secrets") or []
        }
    )
    return plain


def _resolve(value_from: str, access: TaskAccess) -> str:
    """Return the value of one `secrets[].valueFrom`. Raises ResourceError with ECS's text."""
    access.check_secret(":".join(value_from.split(":")[:7]))
    if value_from.startswith("arn:") and ":secretsmanager:" in value_from:
        return _from_secrets_manager(value_from)
    found = lookups.parameter(value_from)
    if found is None and not value_from.startswith("arn:"):
        found = lookups.secret(value_from)
    if found is None:
        raise ResourceError(ecs_messages.parameter_missing(value_from))
    return found


def _from_secrets_manager(value_from: str) -> str:
    parts = value_from.split(":")
    arn, (key, stage, version) = ":".join(parts[:7]), [*parts[7:], "", "", ""][:3]
    text = lookups.secret(arn, stage or None, version or None)
    if text is None:
        raise ResourceError(ecs_messages.secret_missing(arn))
    if not key:
        return text
    try:
        value = json.loads(text)[key]
    except (ValueError, KeyError, TypeError) as missing:
        raise ResourceError(ecs_messages.secret_key_missing(key)) from missing
    return value if isinstance(value, str) else json.dumps(value)


def log_writer(definition: dict[str, Any], access: TaskAccess) -> Callable[[str], None]:
    """Return the function that writes a container's log lines.

    The stream is `<awslogs-stream-prefix>/<container>/<task id>`. Raises ResourceError without a
    log group.
    """
    configuration = definition.get("logConfiguration") or {}
    if configuration.get("logDriver") != "awslogs":
        return lambda line: None
    options = configuration.get("options") or {}
    for option in ("awslogs-group", "awslogs-region", "awslogs-stream-prefix"):
        if not options.get(option):
            raise ResourceError(ecs_messages.log_option_missing(option))
    group, stream = (
        options["awslogs-group"],
        f"{options['awslogs-stream-prefix']}/{definition['name']}/{access.task_id}",
    )
    access.check_logs(group)
    if not lookups.create_log_stream(group, stream, options.get("awslogs-create-group") == "true"):
        raise ResourceError(ecs_messages.log_group_missing())
    return lambda line: lookups.write_log(group, stream, line)
