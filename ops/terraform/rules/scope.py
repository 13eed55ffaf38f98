"""What a deploy may do by Terraform without asking: a new revision of this service's task
definition, and the service's move to it.

Everything else in the plan came there by another way (a merged change that nobody applied, drift, a
sibling's image), and a deploy is not the moment to carry it out unseen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ops.terraform.rules.attribute_diff import LATER, FieldDiff, image_parts
from ops.terraform.rules.plan_diff import SERVICE, TASK_DEFINITION, ResourceChange
from ops.terraform.rules.protected import holds

REPLACED_BY_AN_IMAGE = ("container_definitions",)
TAKEN_AWAY = ("delete", "replace", "forget")
MOST_NAMED = 3


@dataclass(frozen=True)
class DeployScope:
    """What a deploy is about: the ECS service, its task definition's family, the container and the
    image that it is to get.
    """

    service: str
    family: str
    container: str
    image: str


def out_of_scope(
    rows: Iterable[ResourceChange], target: DeployScope
) -> tuple[tuple[ResourceChange, str], ...]:
    """Every row beyond the deploy, with the reason why it is."""
    found = ((each, beyond_scope(each, target)) for each in rows)
    return tuple((each, why) for each, why in found if why)


def beyond_scope(row: ResourceChange, target: DeployScope) -> str:
    """Why a row is no part of the deploy; empty where it is."""
    if row.action == "adopt":
        return ""  # an import changes nothing outside of the state
    if row.unknown:
        return f"what Terraform would do to it is not known here: {' and '.join(row.actions)}"
    if row.action == "invoke":
        return "the apply would invoke this action"
    if row.action == "defer":
        return f"it is left to a later plan ({row.because})"
    if row.type == TASK_DEFINITION and row.name == target.family:
        return beyond_revision(row, target)
    if row.type == SERVICE and row.name == target.service:
        return beyond_service(row, target)
    return "it is no part of this deploy"


def beyond_revision(row: ResourceChange, target: DeployScope) -> str:
    if (
        row.action == "create"
    ):  # Terraform lost sight of the last revision: a killed apply, or one that was deregistered
        return f"it has {', '.join(row.others)}" if row.others else ""
    if row.action in ("delete", "forget"):
        return "it takes the service's task definition away"
    strangers = [move.says for move in row.images if move.container != target.container]
    wrong = [
        move.says
        for move in row.images
        if move.container == target.container and move.after != target.image
    ]
    forced = [f"changes {name}" for name in row.forced_by if name not in REPLACED_BY_AN_IMAGE]
    said = [*wrong, *strangers, *(f"changes {other}" for other in row.others), *forced]
    return f"it also {', '.join(said)}" if said else ""


def beyond_service(row: ResourceChange, target: DeployScope) -> str:
    if row.action != "update":
        return f"it would {row.action} the service itself"
    more = [str(field) for field in row.fields if not expected_of_service(field, target)]
    return f"it also changes {', '.join(more)}" if more else ""


def expected_of_service(field: FieldDiff, target: DeployScope) -> bool:
    """Whether it is the move to another revision of the same task definition."""
    family = field.after.rsplit("/", 1)[-1].rpartition(":")[0]
    return field.name == "task_definition" and (field.after == LATER or family == target.family)


def never(rows: Iterable[ResourceChange], target: DeployScope) -> str:
    """Why no answer lets a deploy apply this plan; empty where nothing in it is of that kind."""
    for row in rows:
        if row.unknown:
            return unknown_action(row)
        if row.type == SERVICE and row.name == target.service and row.action in TAKEN_AWAY:
            return f"it {row.word} {row.address}, the service that this deploy is about"
    lost = [(row, holds(row.type)) for row in rows if row.destroys]
    found = [f"{row.address} ({what})" for row, what in lost if what]
    if not found:
        return ""
    more = f" and {len(found) - MOST_NAMED} more" if len(found) > MOST_NAMED else ""
    return f"it destroys or replaces {', '.join(found[:MOST_NAMED])}{more}"


def unknown_action(row: ResourceChange) -> str:
    said = " and ".join(row.actions) or "nothing that it names"
    return f"Terraform's action for {row.address} is `{said}`, which is not known here"


def value_for(kind: str, image: str) -> str | None:
    """What an image variable is given for an image; None where a `tag` variable can't say it (a
    digest, or no tag).
    """
    if kind == "uri":
        return image
    _, tag, digest = image_parts(image)
    return tag if tag and not digest else None


def undeclared(wanted: Mapping[str, str], declared: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """(service, variable) of every image variable that no file declares: Terraform ignores
    `TF_VAR_x` for it, silently.
    """
    known = frozenset(declared)
    return tuple((service, name) for service, name in sorted(wanted.items()) if name not in known)
