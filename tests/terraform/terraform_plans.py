"""Plans as `terraform show -json` prints them (recorded from Terraform 1.11.4 with the AWS provider
5.100, shortened).
"""

from __future__ import annotations

import json
from typing import Any

from ops.terraform.rules.plan_json import PlanDocument

REGISTRY = "123456789012.dkr.ecr.us-east-1.amazonaws.com/davidshaevel"
FAMILY = "arn:aws:ecs:us-east-1:123456789012:task-definition/dev-backend"


def uri(tag: str, name: str = "backend") -> str:
    return f"{REGISTRY}/{name}:{tag}"


def definitions(image: str, *more: dict[str, Any], **changes: Any) -> str:
    """Container definitions as the provider writes them: a JSON string."""
    container = {
        "name": "backend",
        "image": image,
        "essential": True,
        "portMappings": [{"containerPort": 3001}],
        **changes,
    }
    return json.dumps([container, *more])


def resource(
    address: str, actions: list[str], before: Any, after: Any, *, importing: str = "", **change: Any
) -> dict[str, Any]:
    kind = address.rsplit(".", 1)[0].rsplit(".", 1)[-1]
    whole = {"actions": actions, "before": before, "after": after, "after_unknown": {}, **change}
    if importing:
        whole["importing"] = {"id": importing}
    return {
        "address": address,
        "mode": "managed",
        "type": kind,
        "name": address.rsplit(".", 1)[-1],
        "change": whole,
    }


def revision(
    before: str,
    after: str,
    *,
    family: str = "dev-backend",
    name: str = "backend",
    paths: Any = None,
) -> dict[str, Any]:
    """A task definition replaced because its containers change; what is only computed is unknown,
    as recorded.
    """
    old = {
        "family": family,
        "container_definitions": before,
        "arn": f"{FAMILY}:1",
        "id": family,
        "revision": 1,
        "tags": {},
        "ipc_mode": "",
    }
    new = {
        "family": family,
        "container_definitions": after,
        "tags": None,
        "ipc_mode": None,
        "skip_destroy": False,
    }
    return resource(
        f"aws_ecs_task_definition.{name}",
        ["delete", "create"],
        old,
        new,
        after_unknown={
            "arn": True,
            "id": True,
            "revision": True,
            "tags_all": True,
            "requires_compatibilities": [False],
        },
        replace_paths=paths or [["container_definitions"]],
    )


def service(
    name: str = "backend", actions: tuple[str, ...] = ("update",), **changes: Any
) -> dict[str, Any]:
    """A service that moves to a revision which is known after the apply."""
    before = {
        "name": f"dev-{name}",
        "desired_count": 2,
        "task_definition": f"{FAMILY}:1",
        "network_configuration": [{"subnets": ["a"]}],
    }
    after = {**before, "wait_for_steady_state": False, **changes}
    after.pop("task_definition", None)
    unknown = {"task_definition": True, "network_configuration": [{"subnets": [False]}]}
    return resource(f"aws_ecs_service.{name}", list(actions), before, after, after_unknown=unknown)


def plan(*changes: dict[str, Any], drift: tuple[dict[str, Any], ...] = ()) -> dict[str, Any]:
    return {
        "resource_changes": list(changes),
        "resource_drift": list(drift),
        "applyable": True,
        "errored": False,
    }


def parsed(*changes: dict[str, Any], drift: tuple[dict[str, Any], ...] = ()) -> PlanDocument:
    """The plan of `plan`, as the rules read it."""
    return PlanDocument.from_document(plan(*changes, drift=drift))
