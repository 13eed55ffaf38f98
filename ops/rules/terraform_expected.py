"""What a deploy may do by Terraform without asking: a new revision of this service's task definition, and the service's move to it.

Everything else in the plan came there by another way (a merged change that nobody applied, drift, a sibling's image), and a deploy is not
the moment to carry it out unseen.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ops.rules.terraform import SERVICE, TASK_DEFINITION, ResourceChange
from ops.rules.terraform_values import image_parts

REPLACED_BY_AN_IMAGE = ("container_definitions",)


@dataclass(frozen=True)
class Target:
    """What a deploy is about: the ECS service, its task definition's family, the container and the image that it is to get."""

    service: str
    family: str
    container: str
    image: str


def unexpected(rows: Iterable[ResourceChange], target: Target) -> tuple[tuple[ResourceChange, str], ...]:
    """Every row beyond the deploy, with the reason why it is."""
    found = ((each, beyond(each, target)) for each in rows)
    return tuple((each, why) for each, why in found if why)


def beyond(row: ResourceChange, target: Target) -> str:
    """Why a row is no part of the deploy; empty where it is."""
    if row.action == "adopt":
        return ""  # an import changes nothing outside of the state
    if row.action == "unknown":
        return "what Terraform would do to it is not known here"
    if row.type == TASK_DEFINITION and row.name == target.family:
        return beyond_revision(row, target)
    if row.type == SERVICE and row.name == target.service:
        return beyond_service(row)
    return "it is no part of this deploy"


def beyond_revision(row: ResourceChange, target: Target) -> str:
    if row.action == "create":  # Terraform lost sight of the last revision: a killed apply, or one that was deregistered
        return ""
    if row.action in ("delete", "forget"):
        return "it takes the service's task definition away"
    strangers = [move.says for move in row.images if move.container != target.container]
    wrong = [move.says for move in row.images if move.container == target.container and move.after != target.image]
    forced = [f"changes {name}" for name in row.forced_by if name not in REPLACED_BY_AN_IMAGE]
    said = [*wrong, *strangers, *(f"changes {other}" for other in row.others), *forced]
    return f"it also {', '.join(said)}" if said else ""


def beyond_service(row: ResourceChange) -> str:
    if row.action != "update":
        return f"it would {row.action} the service itself"
    more = [str(field) for field in row.fields if field.name != "task_definition"]
    return f"it also changes {', '.join(more)}" if more else ""


def value_for(kind: str, image: str) -> str | None:
    """What an image variable is given for an image; None where a `tag` variable can't say it (a digest, or no tag)."""
    if kind == "uri":
        return image
    _, tag, digest = image_parts(image)
    return tag if tag and not digest else None


def undeclared(wanted: Mapping[str, str], declared: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """(service, variable) of every image variable that no file declares: Terraform ignores `TF_VAR_x` for it, silently."""
    known = frozenset(declared)
    return tuple((service, name) for service, name in sorted(wanted.items()) if name not in known)
