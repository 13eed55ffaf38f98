"""Task definitions, stored by moto, with its deviations from ECS corrected.

A family without a revision means its newest ACTIVE revision (moto: the newest, even INACTIVE); a
family without an ACTIVE revision is not found. `registeredAt`, `registeredBy` and `deregisteredAt`
are returned; ListTaskDefinitions sorts (`sort`), filters by the whole family name and pages.
Differs from ECS: `requiresAttributes` is not returned, and an INACTIVE definition is rejected at
once (ECS: within ten minutes).
"""

from __future__ import annotations

from typing import Any

from moto.ecs.models import EC2ContainerServiceBackend
from moto.ecs.responses import EC2ContainerServiceResponse

from ops.sandbox.aws.ecs.errors import client
from ops.sandbox.aws.ecs.model import utc_now
from ops.sandbox.aws.overrides import answer, original, replace
from ops.sandbox.contracts import ACCOUNT

_PAGE = 100


def install() -> None:
    replace(EC2ContainerServiceBackend, "describe_task_definition", describe)
    replace(EC2ContainerServiceBackend, "register_task_definition", _register)
    replace(EC2ContainerServiceBackend, "deregister_task_definition", _deregister)
    answer(EC2ContainerServiceResponse, "list_task_definitions", _list)


def describe(backend: Any, task_definition_str: str) -> Any:
    """Return moto's definition for an ARN, `family:revision` or `family` (newest ACTIVE).

    Raises ClientException.
    """
    family, _, revision = task_definition_str.split("/")[-1].partition(":")
    known = backend.task_definitions.get(family, {})
    if revision:
        found = known.get(int(revision)) if revision.isdigit() else None
    else:
        found = max(
            (each for each in known.values() if each.status == "ACTIVE"),
            key=lambda each: each.revision,
            default=None,
        )
    if found is None:
        raise client("Unable to describe task definition.")
    return found


def to_run(backend: Any, name: str) -> Any:
    """Return the definition to launch tasks from.

    An INACTIVE or unknown one is rejected as UpdateService does.
    """
    try:
        found = describe(backend, name)
    except Exception as missing:
        raise client("TaskDefinition not found.") from missing
    if found.status != "ACTIVE":
        raise client("TaskDefinition is inactive")
    return found


def _register(backend: Any, *args: Any, **kwargs: Any) -> Any:
    made = original(EC2ContainerServiceBackend, "register_task_definition")(
        backend, *args, **kwargs
    )
    made.registered_at = utc_now()
    made.registered_by = f"arn:aws:iam::{ACCOUNT}:root"
    return made


def _deregister(backend: Any, name: str) -> Any:
    gone = original(EC2ContainerServiceBackend, "deregister_task_definition")(backend, name)
    gone.deregistered_at = utc_now()
    return gone


def _list(response: Any) -> dict[str, Any]:
    family, status = response._get_param("familyPrefix"), response._get_param("status") or "ACTIVE"
    found = [
        each
        for revisions in response.ecs_backend.task_definitions.values()
        for each in revisions.values()
        if each.status == status and (not family or each.family == family)
    ]
    found.sort(
        key=lambda each: (each.family, each.revision), reverse=response._get_param("sort") == "DESC"
    )
    page, token = paged(
        [each.arn for each in found],
        response._get_param("maxResults"),
        response._get_param("nextToken"),
    )
    return {"taskDefinitionArns": page, "nextToken": token}


def paged(items: list[Any], limit: int | None, token: str | None) -> tuple[list[Any], str | None]:
    """Return one page of `items` and the next token, the index where the next page starts."""
    start = int(token) if token and token.isdigit() else 0
    end = start + min(limit or _PAGE, _PAGE)
    return items[start:end], str(end) if end < len(items) else None
