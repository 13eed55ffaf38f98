"""What a deploy may do by Terraform without confirmation.

That is a new revision of its service's task definition, and the service's move to it. Everything
else in the plan came from elsewhere (a merged change that was never applied, drift, the image of
another service) and is not part of a deploy.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ops.aws.facts import TaskDefinitionArn
from ops.terraform.rules.attribute_diff import KNOWN_AFTER_APPLY, FieldDiff, split_image
from ops.terraform.rules.plan_diff import SERVICE, TASK_DEFINITION, ResourceChange
from ops.terraform.rules.protected import protected_kind

MAX_NAMED = 3
_REPLACED_BY_AN_IMAGE = ("container_definitions",)
_REMOVALS = ("delete", "replace", "forget")


@dataclass(frozen=True)
class DeployScope:
    """The subject of a deploy: ECS service, family, container, and the new image.

    `running` are the values of the other services' image variables: the images that they run.
    """

    service: str
    family: str
    container: str
    image: str
    running: tuple[str, ...] = ()


def out_of_scope(
    changes: Iterable[ResourceChange], scope: DeployScope
) -> tuple[tuple[ResourceChange, str], ...]:
    """Return every change beyond the deploy, with the reason."""
    found = ((each, _why_out_of_scope(each, scope)) for each in changes)
    return tuple((each, why) for each, why in found if why)


def _why_out_of_scope(change: ResourceChange, scope: DeployScope) -> str:
    """Return why a change is not part of the deploy; empty if it is."""
    if change.action == "adopt":
        return ""  # an import changes nothing outside of the state
    if change.unknown:
        return f"what Terraform would do to it is not known here: {' and '.join(change.actions)}"
    if change.action == "invoke":
        return "the apply would invoke this action"
    if change.action == "defer":
        return f"it is left to a later plan ({change.because})"
    if change.type == TASK_DEFINITION and change.name == scope.family:
        return _beyond_revision(change, scope)
    if change.type == SERVICE and change.name == scope.service:
        return _beyond_service(change, scope)
    if change.routine and _follows_running(change, scope):
        return ""
    return "it is not part of this release"


def _follows_running(change: ResourceChange, scope: DeployScope) -> bool:
    """Whether a new revision of another service only has the image that the service runs.

    So it is where deploys update the services (`ignore_changes`): their task definitions in the
    state are older, and no service is updated. An update would be a change of its own.
    """
    only_images = not change.other_changes and set(change.forced_by) <= {*_REPLACED_BY_AN_IMAGE}
    return (
        bool(change.images)
        and only_images
        and all(
            any(_is_value(move.after, value) for value in scope.running) for move in change.images
        )
    )


def _is_value(image: str, value: str) -> bool:
    """Whether a variable's value, a tag or an image, gives this image."""
    return image == value or (bool(value) and image.endswith(f":{value}"))


def _beyond_revision(change: ResourceChange, scope: DeployScope) -> str:
    if change.action == "create":
        # Terraform's state lacks the last revision: a killed apply, or a deregistered revision
        return f"it has {', '.join(change.other_changes)}" if change.other_changes else ""
    if change.action in ("delete", "forget"):
        return "it removes the service's task definition"
    own = [move for move in change.images if move.container == scope.container]
    others = [str(move) for move in change.images if move.container != scope.container]
    found = [
        *(str(move) for move in own if move.after != scope.image),
        *others,
        *(f"changes {other}" for other in change.other_changes),
        *(f"changes {name}" for name in change.forced_by if name not in _REPLACED_BY_AN_IMAGE),
    ]
    return f"it also {', '.join(found)}" if found else ""


def _beyond_service(change: ResourceChange, scope: DeployScope) -> str:
    if change.action != "update":
        return f"it would {change.action} the service itself"
    fields = [str(field) for field in change.fields if not _is_move_to_revision(field, scope)]
    return f"it also changes {', '.join(fields)}" if fields else ""


def _is_move_to_revision(field: FieldDiff, scope: DeployScope) -> bool:
    """Whether a field is the move to another revision of the same task definition."""
    to = TaskDefinitionArn(field.after)
    return field.name == "task_definition" and (
        field.after == KNOWN_AFTER_APPLY or (to.revision is not None and to.family == scope.family)
    )


def never_allowed(changes: Iterable[ResourceChange], scope: DeployScope) -> str:
    """Return why no confirmation lets a deploy apply these changes; empty if one may."""
    found = tuple(changes)
    for each in found:
        if each.unknown:
            return unknown_action(each)
        if each.type == SERVICE and each.name == scope.service and each.action in _REMOVALS:
            return f"it {each.verb} {each.address}, the service of this deploy"
    kinds = [(each, protected_kind(each.type)) for each in found if each.destroys]
    lost = [f"{each.address} ({kind})" for each, kind in kinds if kind]
    if not lost:
        return ""
    more = f" and {len(lost) - MAX_NAMED} more" if len(lost) > MAX_NAMED else ""
    return f"it destroys or replaces {', '.join(lost[:MAX_NAMED])}{more}"


def unknown_action(change: ResourceChange) -> str:
    """Describe an action that is not known here."""
    words = " and ".join(change.actions) or "empty"
    return f"Terraform's action for {change.address} is `{words}`, which is not known here"


def variable_value(kind: str, image: str) -> str | None:
    """Return what an image variable is set to for an image.

    None if a `tag` variable cannot express it: a digest, or no tag.
    """
    if kind == "uri":
        return image
    _, tag, digest = split_image(image)
    return tag if tag and not digest else None


def undeclared_variables(
    wanted: Mapping[str, str], declared: Iterable[str]
) -> tuple[tuple[str, str], ...]:
    """Return (service, variable) of every image variable that no file declares.

    Terraform ignores `TF_VAR_x` for an undeclared variable without a message.
    """
    known = frozenset(declared)
    return tuple((service, name) for service, name in sorted(wanted.items()) if name not in known)
