"""The changes in a Terraform plan, as a person reads them.

`changes` returns all that an apply would do: changes of resources, invocations of actions
(Terraform 1.14), and what is deferred to a later plan. `drift` returns changes that were made
outside of Terraform.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from ops.core.text import format_count
from ops.terraform.rules.attribute_diff import (
    KNOWN_AFTER_APPLY,
    NOTHING,
    SENSITIVE,
    FieldDiff,
    ImageMove,
    container_changes,
    containers_by_name,
    differences,
    format_value,
    is_sensitive,
    without_ignored,
)
from ops.terraform.rules.configured import configured_attributes, without_keys
from ops.terraform.rules.ignore_changes import ALL, steps
from ops.terraform.rules.plan_json import (
    ActionInvocation,
    ChangeRepresentation,
    DeferredChange,
    PlanDocument,
    PlannedResource,
)

Action = Literal[
    "adopt", "create", "update", "delete", "replace", "forget", "invoke", "defer", "unknown"
]
_ACTIONS: Mapping[tuple[str, ...], Action] = {
    ("create",): "create",
    ("update",): "update",
    ("delete",): "delete",
    ("delete", "create"): "replace",
    ("create", "delete"): "replace",
    # `lifecycle { destroy = false }`: the old object keeps running, without Terraform
    ("create", "forget"): "replace",
    ("forget", "create"): "replace",
    ("forget",): "forget",
    ("no-op",): "adopt",  # dropped unless it also imports
}
_READ = ("read",)
_NOTHING_IGNORED: Mapping[str, frozenset[str]] = {}
# attributes that AWS sets by itself: they differ at each refresh, whatever the configuration says
_COMPUTED: Mapping[str, frozenset[str]] = {
    "aws_db_instance": frozenset({"latest_restorable_time"}),
    "aws_cloudfront_distribution": frozenset(
        {"etag", "in_progress_validation_batches", "last_modified_time", "status"}
    ),
}
_KNOWN_WORDS = frozenset({"no-op", "create", "read", "update", "delete", "forget"})
_SYMBOLS: Mapping[Action, str] = {
    "adopt": "<",
    "create": "+",
    "update": "~",
    "delete": "-",
    "replace": "-/+",
    "forget": ".",
    "invoke": "!",
    "defer": ">",
    "unknown": "?",
}
_VERBS: Mapping[Action, str] = {
    "adopt": "adopts",
    "create": "creates",
    "update": "changes",
    "delete": "DESTROYS",
    "replace": "REPLACES",
    "forget": "forgets (leaves it running)",
    "invoke": "invokes",
    "defer": "defers to a later plan",
    "unknown": "does something UNKNOWN to",
}
_OUTSIDE_VERBS: Mapping[Action, str] = {"update": "changed", "delete": "DELETED"}
_ROUTINE_VERB = "makes a new revision of"
_ORDER: tuple[Action, ...] = (
    "unknown",
    "delete",
    "replace",
    "invoke",
    "create",
    "update",
    "forget",
    "adopt",
    "defer",
)
TASK_DEFINITION = "aws_ecs_task_definition"
SERVICE = "aws_ecs_service"
_MAX_DETAILS = 8


@dataclass(frozen=True)
class ResourceChange:
    """One change of a plan.

    `name` is the object's own (a service's, a family's). `forced_by` are the attributes that make
    it a replacement. `because` is the trigger of an action, or the reason of a deferral; `actions`
    are Terraform's own words. `other_changes` are those inside container definitions besides the
    images.
    """

    address: str
    type: str
    name: str
    action: Action
    fields: tuple[FieldDiff, ...] = ()
    forced_by: tuple[str, ...] = ()
    images: tuple[ImageMove, ...] = ()
    other_changes: tuple[str, ...] = ()
    imported: bool = False
    because: str = ""
    actions: tuple[str, ...] = ()
    outside: bool = False  # it was made already, outside of Terraform

    @property
    def destroys(self) -> bool:
        """Whether an existing object is destroyed."""
        return self.action in ("delete", "replace")

    @property
    def routine(self) -> bool:
        """Whether it is a new revision of a task definition; ECS keeps the old one, INACTIVE."""
        return self.type == TASK_DEFINITION and self.action == "replace"

    @property
    def unknown(self) -> bool:
        """Whether Terraform's action has no name here."""
        return self.action == "unknown"

    @property
    def alarming(self) -> bool:
        """Whether it is printed in red, and must be confirmed by its address."""
        return (self.destroys and not self.routine) or self.unknown

    @property
    def verb(self) -> str:
        """What is done to the resource, or was; in capitals if it is alarming."""
        if self.outside and self.action in _OUTSIDE_VERBS:
            return _OUTSIDE_VERBS[self.action]
        return _ROUTINE_VERB if self.routine else _VERBS[self.action]

    def lines(self) -> tuple[str, ...]:
        """Format the change: one line for the resource, then its details."""
        imported = ", adopted" if self.imported and self.action != "adopt" else ""
        head = f"{_SYMBOLS[self.action]:>3} {self.verb} {self.address}{self._reason()}{imported}"
        details = self._details()
        if len(details) > _MAX_DETAILS:
            details = [*details[:_MAX_DETAILS], f"… and {len(details) - _MAX_DETAILS} more"]
        return (head, *(f"      {line}" for line in details))

    def _reason(self) -> str:
        if self.unknown:
            return f" ({' and '.join(self.actions) or 'no action'})"
        if self.forced_by:
            return f" (because of {', '.join(self.forced_by)})"
        return f" ({self.because})" if self.because else ""

    def _details(self) -> list[str]:
        details = [str(move) for move in self.images]
        details += [f"changes {other}" for other in self.other_changes]
        if self.action == "invoke":
            return [*details, *(f"{field.name}: {field.after}" for field in self.fields)]
        if self.action in ("update", "unknown") or (self.action == "replace" and not details):
            explained = "container_definitions" if details else None
            details += [str(field) for field in self.fields if field.name != explained]
        return details

    def as_document(self) -> dict[str, Any]:
        return {
            "address": self.address,
            "type": self.type,
            "name": self.name,
            "action": self.action,
            "actions": list(self.actions),
            "because": self.because,
            "destroys": self.destroys,
            "forced_by": list(self.forced_by),
            "fields": [vars(field) for field in self.fields],
            "images": [vars(move) for move in self.images],
        }


def changes(plan: PlanDocument) -> tuple[ResourceChange, ...]:
    """Return what applying a plan would do, most dangerous first; no-ops and reads are left out."""
    resources = [_resource_change(each) for each in plan.resource_changes]
    found = [
        *(each for each in resources if each),
        *(_invocation(each) for each in plan.action_invocations),
        *(_deferral(each) for each in plan.deferred),
    ]
    return tuple(sorted(found, key=lambda each: (_ORDER.index(each.action), each.address)))


def drift(
    plan: PlanDocument,
    *,
    deploys_revisions: bool = False,
    dynamic: frozenset[str] | None = None,
    ignored: Mapping[str, frozenset[str]] = _NOTHING_IGNORED,
) -> tuple[ResourceChange, ...]:
    """Return changes made outside of Terraform.

    Cosmetic differences are left out, and attributes that AWS computes by itself. With
    `deploys_revisions`, so is the revision of an ECS service, which every deploy changes. So are
    attributes that the configuration does not set, which the provider fills in from other
    resources; `dynamic` are the names of `dynamic` blocks, which a plan does not list, and None
    keeps them all. So is what `ignored` lists for a resource's address without keys, since
    Terraform leaves it to others: attributes, or a key or item of one (`tags["Name"]`).
    """
    real = (
        _without_expected(change, each.change, deploys_revisions, ignored)
        for each in plan.resource_drift
        if (change := _resource_change(each))
    )
    if dynamic is not None:
        real = (_only_configured(plan, each, dynamic) for each in real)
    rows = (each for each in real if each.fields or each.action != "update")
    return tuple(replace(each, outside=True) for each in rows)


def _without_expected(
    change: ResourceChange,
    values: ChangeRepresentation,
    deploys_revisions: bool,
    ignored: Mapping[str, frozenset[str]],
) -> ResourceChange:
    """The change without attributes that differ at every refresh, or that Terraform ignores."""
    if change.action != "update":
        return change
    expected = _COMPUTED.get(change.type, frozenset())
    if deploys_revisions and change.type == SERVICE:
        expected = expected | {"task_definition"}
    listed = ignored.get(without_keys(change.address), frozenset())
    if ALL in listed:
        return replace(change, fields=())
    paths = [steps(each) for each in sorted(listed)]
    # the provider's union of `tags` and its default_tags
    paths += [("tags_all", *path[1:]) for path in paths if path[0] == "tags"]
    remaining = {field.name for field in differences(without_ignored(values, paths))}
    kept = (e for e in change.fields if e.name in remaining and e.name not in expected)
    return replace(change, fields=tuple(kept))


def _only_configured(
    plan: PlanDocument, change: ResourceChange, dynamic: frozenset[str]
) -> ResourceChange:
    """The change without attributes that the configuration does not set."""
    known = configured_attributes(plan.configuration, change.address)
    if change.action != "update" or known is None:
        return change
    kept = (each for each in change.fields if each.name.partition(".")[0] in known | dynamic)
    return replace(change, fields=tuple(kept))


def _resource_change(resource: PlannedResource) -> ResourceChange | None:
    """Convert an entry of the plan; None if it changes nothing."""
    change = resource.change
    action = _decide_action(change.actions)
    fields = differences(change) if action not in (None, "adopt") else ()
    if change.imports and action == "update" and not fields:
        action = "adopt"
    if action is None or (action == "adopt" and not change.imports):
        return None
    if resource.mode == "data" and action != "unknown":
        return None
    images, other_changes = _container_changes(resource, action)
    return ResourceChange(
        address=resource.address,
        type=resource.type,
        name=str(_own_name(change.after) or _own_name(change.before) or ""),
        action=action,
        fields=_known_before_apply(fields) if action == "replace" else fields,
        forced_by=change.replace_paths,
        images=images,
        other_changes=other_changes,
        imported=change.imports,
        because=f"deposed object {resource.deposed}" if resource.deposed else "",
        actions=change.actions,
    )


def _own_name(values: Mapping[str, Any]) -> Any:
    return values.get("family") or values.get("name")


def _decide_action(words: tuple[str, ...]) -> Action | None:
    """Return the action for Terraform's words; None if nothing changes.

    A new combination of known words is a replacement if it deletes; any other is unknown.
    """
    if words == _READ:
        return None
    if words in _ACTIONS:
        return _ACTIONS[words]
    return "replace" if "delete" in words and _KNOWN_WORDS.issuperset(words) else "unknown"


def _container_changes(
    resource: PlannedResource, action: Action
) -> tuple[tuple[ImageMove, ...], tuple[str, ...]]:
    """Return image changes and other changes in the containers of a task definition."""
    before, after = resource.change.before, resource.change.after
    if resource.type != TASK_DEFINITION or not after:
        return (), ()
    if "container_definitions" not in after:
        return (), (f"all containers {KNOWN_AFTER_APPLY}",)
    if action == "create":
        return (), ()
    return container_changes(before.get("container_definitions"), after["container_definitions"])


def _known_before_apply(fields: Iterable[FieldDiff]) -> tuple[FieldDiff, ...]:
    """Drop what a replacement computes, such as new ids and ARNs."""
    return tuple(field for field in fields if field.after not in (KNOWN_AFTER_APPLY, NOTHING))


def _invocation(action: ActionInvocation) -> ResourceChange:
    return ResourceChange(
        address=action.address,
        type=action.type,
        name=action.name,
        action="invoke",
        fields=_action_arguments(action),
        because=action.trigger,
    )


def _action_arguments(action: ActionInvocation) -> tuple[FieldDiff, ...]:
    """Return an action's configuration; sensitive values are hidden."""
    unknown = action.unknown if isinstance(action.unknown, Mapping) else {}
    found = []
    for name in sorted({*action.values, *unknown}):
        value = format_value(action.values[name]) if name in action.values else KNOWN_AFTER_APPLY
        hidden = is_sensitive(action.sensitive, name)
        found.append(FieldDiff(name, NOTHING, SENSITIVE if hidden else value))
    return tuple(found)


def _deferral(deferred: DeferredChange) -> ResourceChange:
    words = " and ".join(deferred.actions) or "no action given"
    return ResourceChange(
        deferred.address,
        deferred.type,
        "",
        "defer",
        because=f"{words}; {deferred.reason or 'no reason given'}",
        actions=deferred.actions,
    )


def addresses(plan: PlanDocument, resource_type: str, name: str) -> tuple[str, ...]:
    """Return the addresses of resources of a type and family or name, changed or not."""
    return tuple(
        each.address
        for each in plan.resource_changes
        if each.type == resource_type
        and name in (_own_name(each.change.before), _own_name(each.change.after))
    )


def existing_services(plan: PlanDocument, name: str) -> tuple[str, ...]:
    """Return the addresses of ECS services of this name that exist before the apply."""
    return tuple(
        each.address
        for each in plan.resource_changes
        if each.type == SERVICE and _own_name(each.change.before) == name
    )


def planned_image(plan: PlanDocument, family: str, container: str) -> str | None:
    """Return the image of a container of a task definition after the apply.

    None if only the apply knows it; empty if there would be no such task definition or container.
    """
    for each in plan.resource_changes:
        after = each.change.after
        if each.type == TASK_DEFINITION and after.get("family") == family:
            if "container_definitions" not in after:
                return None
            containers = containers_by_name(after["container_definitions"])
            return str(containers.get(container, {}).get("image") or "")
    return ""


def summary(rows: Iterable[ResourceChange], notes: Iterable[str] = ()) -> str:
    """Summarise changes: `2 changes, 1 of them DESTROY or REPLACE`.

    `notes` are what else the plan does.
    """
    changes = tuple(rows)
    if not changes:
        return "no resource changes" if tuple(notes) else "nothing to change"
    unknown = sum(each.unknown for each in changes)
    destroying = sum(each.alarming for each in changes) - unknown
    parts = [format_count(len(changes), "change")]
    parts += [f"{destroying} of them DESTROY or REPLACE"] if destroying else []
    parts += [f"{unknown} of them UNKNOWN"] if unknown else []
    return ", ".join(parts)
