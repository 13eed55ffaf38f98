"""Terraform's plan as what matters: what is made, changed, DESTROYED and REPLACED, which image
moves, and what only drifted.

`changes` reads all that an apply would do: `resource_changes`, `action_invocations` (Terraform
1.14), and what is deferred to a later plan. `drift` reads `resource_drift`, what was changed
outside of Terraform. Every function raises OpsError for a plan that does not have the documented
shape. Source: Terraform's "JSON Output Format"."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ops.core.text import format_count
from ops.terraform.rules.attribute_diff import (
    LATER,
    SENSITIVE,
    FieldDiff,
    ImageMove,
    containers,
    differences,
    format_change,
    is_sensitive,
    moves,
)
from ops.terraform.rules.plan_json import PLAN, TRIGGERS, listed, mapping, mappings, words

Action = Literal[
    "adopt", "create", "update", "delete", "replace", "forget", "invoke", "defer", "unknown"
]
ACTIONS: Mapping[tuple[str, ...], Action] = {
    ("create",): "create",
    ("update",): "update",
    ("delete",): "delete",
    ("delete", "create"): "replace",
    ("create", "delete"): "replace",
    (
        "create",
        "forget",
    ): "replace",  # `lifecycle { destroy = false }`: the old one is left running, without Terraform
    ("forget", "create"): "replace",
    ("forget",): "forget",
    ("no-op",): "adopt",  # kept only where the row also imports
}
NOTHING = ("read",)
KNOWN = frozenset({"no-op", "create", "read", "update", "delete", "forget"})
MARKS: Mapping[Action, str] = {
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
WORDS: Mapping[Action, str] = {
    "adopt": "adopts",
    "create": "creates",
    "update": "changes",
    "delete": "DESTROYS",
    "replace": "REPLACES",
    "forget": "forgets (leaves it running)",
    "invoke": "invokes",
    "defer": "defers to a later plan",
    "unknown": "does what is UNKNOWN here to",
}
ROUTINE = "makes a new revision of"
TASK_DEFINITION = "aws_ecs_task_definition"
SERVICE = "aws_ecs_service"
MOST_FIELDS = 8


@dataclass(frozen=True)
class ResourceChange:
    """One row of a plan. `name`: the resource's own (a service's, a family's); `forced_by`: what
    makes it a replacement.

    `because`: what triggers an action, or the reason for a deferral; `actions`: Terraform's own
    words."""

    address: str
    type: str
    name: str
    action: Action
    fields: tuple[FieldDiff, ...] = ()
    forced_by: tuple[str, ...] = ()
    images: tuple[ImageMove, ...] = ()
    others: tuple[str, ...] = ()  # what else changes inside of container definitions
    adopted: bool = False
    because: str = ""
    actions: tuple[str, ...] = ()

    @property
    def destroys(self) -> bool:
        """Whether something that exists goes away."""
        return self.action in ("delete", "replace")

    @property
    def routine(self) -> bool:
        """A task definition is replaced by every new image: ECS keeps the old revision,
        INACTIVE.
        """
        return self.type == TASK_DEFINITION and self.action == "replace"

    @property
    def alarming(self) -> bool:
        """What is shown in red, and wants its address typed: also what no rule here can read."""
        return (self.destroys and not self.routine) or self.unknown

    @property
    def unknown(self) -> bool:
        """Whether Terraform would do something to it that has no name here."""
        return self.action == "unknown"

    @property
    def word(self) -> str:
        """What is done to it. Capitals are the alarm where there is no red, so a routine revision
        has none.
        """
        return ROUTINE if self.routine else WORDS[self.action]

    def lines(self) -> tuple[str, ...]:
        """What a person reads: the row, then what it changes."""
        forced = (
            f" (because of {', '.join(self.forced_by)})"
            if self.forced_by
            else f" ({self.because})"
            if self.because
            else ""
        )
        if self.unknown:
            forced = f" ({' and '.join(self.actions) or 'no action'})"
        adopted = ", adopted" if self.adopted and self.action != "adopt" else ""
        head = f"{MARKS[self.action]:>3} {self.word} {self.address}{forced}{adopted}"
        details = [move.says for move in self.images] + [
            f"changes {other}" for other in self.others
        ]
        if self.action == "invoke":
            details += [f"{field.name}: {field.after}" for field in self.fields]
        elif self.action in ("update", "unknown") or (self.action == "replace" and not details):
            details += [
                str(field)
                for field in self.fields
                if not (field.name == "container_definitions" and details)
            ]
        more = [f"… and {len(details) - MOST_FIELDS} more"] if len(details) > MOST_FIELDS else []
        return (head, *(f"      {line}" for line in [*details[:MOST_FIELDS], *more]))

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


def changes(plan: Mapping[str, Any]) -> tuple[ResourceChange, ...]:
    """What applying this plan would do, destroys and replacements first; what is left as it is, and
    data that is only read, is left out.
    """
    rows = [row(found) for found in mappings(plan, "resource_changes", PLAN)]
    rows += [invocation(found) for found in mappings(plan, "action_invocations", PLAN)]
    rows += [
        deferral(found, "resource_change") for found in mappings(plan, "deferred_changes", PLAN)
    ]
    rows += [
        deferral(found, "action_invocation")
        for found in mappings(plan, "deferred_action_invocations", PLAN)
    ]
    order = (
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
    return tuple(
        sorted(
            (each for each in rows if each),
            key=lambda each: (order.index(each.action), each.address),
        )
    )


def drift(plan: Mapping[str, Any]) -> tuple[ResourceChange, ...]:
    """What differs from the state because somebody changed it outside of Terraform; cosmetic
    differences are left out.
    """
    rows = [row(found) for found in mappings(plan, "resource_drift", PLAN)]
    return tuple(each for each in rows if each and (each.fields or each.action != "update"))


def row(found: Mapping[str, Any]) -> ResourceChange | None:
    """One resource of a plan; None for what changes nothing."""
    address = str(found.get("address"))
    change = mapping(found, "change", address)
    said = words(change, "actions", address)
    action, adopted = action_of(said), bool(change.get("importing"))
    fields = differences(change, address) if action not in (None, "adopt") else ()
    if adopted and action == "update" and not fields:
        action = "adopt"
    if action is None or (action == "adopt" and not adopted) or found.get("mode") == "data":
        return None
    before, after = mapping(change, "before", address), mapping(change, "after", address)
    moved, others = moved_containers(found, action, before, after)
    return ResourceChange(
        address=address,
        type=str(found.get("type")),
        name=str(
            after.get("family")
            or after.get("name")
            or before.get("family")
            or before.get("name")
            or ""
        ),
        action=action,
        fields=known(fields) if action == "replace" else fields,
        forced_by=tuple(
            dict.fromkeys(dotted(path) for path in listed(change, "replace_paths", address))
        ),
        images=moved,
        others=others,
        adopted=adopted,
        actions=said,
    )


def dotted(path: Any) -> str:
    """`container_definitions.0.image`: a path into a resource."""
    return ".".join(str(part) for part in path) if isinstance(path, list) else str(path)


def action_of(said: tuple[str, ...]) -> Action | None:
    """None where nothing changes. A combination that is new is a replacement where something goes
    away, and unknown otherwise.
    """
    if said == NOTHING:
        return None
    return ACTIONS.get(
        said, "replace" if "delete" in said and KNOWN.issuperset(said) else "unknown"
    )


def invocation(found: Mapping[str, Any]) -> ResourceChange:
    """An `action` block that the apply would invoke: what triggers it, and what it is given."""
    address = str(found.get("address"))
    return ResourceChange(
        address=address,
        type=str(found.get("type")),
        name=str(found.get("name") or ""),
        action="invoke",
        fields=given(found, address),
        because=trigger(found, address),
    )


def given(found: Mapping[str, Any], address: str) -> tuple[FieldDiff, ...]:
    """An action's configuration; sensitive values are hidden."""
    values, later, hidden = (
        mapping(found, "config_values", address),
        found.get("config_unknown"),
        found.get("config_sensitive"),
    )
    names = sorted({*values, *(later if isinstance(later, Mapping) else ())})
    return tuple(
        FieldDiff(name, "nothing", SENSITIVE if is_sensitive(hidden, name) else value)
        for name in names
        for value in [format_change(values[name]) if name in values else LATER]
    )


def trigger(found: Mapping[str, Any], address: str) -> str:
    """`AfterUpdate of aws_ecs_service.backend`; empty for an action that was asked for by name."""
    by = next((mapping(found, name, address) for name in TRIGGERS if found.get(name)), {})
    resource = by.get("triggering_resource_address")
    return f"{by.get('action_trigger_event') or 'a change'} of {resource}" if resource else ""


def deferral(found: Mapping[str, Any], inner: str) -> ResourceChange:
    """What Terraform can't plan yet: this apply does not do it, and a later plan will."""
    what = mapping(found, inner, "a deferred change")
    said = words(mapping(what, "change", "a deferred change"), "actions", "a deferred change") or (
        "invoke",
    )
    reason = str(found.get("reason") or "no reason given")
    because = f"{' and '.join(said)}; {reason}"
    return ResourceChange(
        str(what.get("address")), str(what.get("type")), "", "defer", because=because, actions=said
    )


def known(fields: Iterable[FieldDiff]) -> tuple[FieldDiff, ...]:
    """Of a replacement, what is known beforehand: its new ids and ARNs are no news."""
    return tuple(field for field in fields if field.after not in ("(known after apply)", "nothing"))


def moved_containers(
    found: Mapping[str, Any], action: Action, before: Mapping[str, Any], after: Mapping[str, Any]
) -> tuple[tuple[ImageMove, ...], tuple[str, ...]]:
    """Of a task definition: the images that change, and what else changes in its containers."""
    if found.get("type") != TASK_DEFINITION or not after:
        return (), ()
    if "container_definitions" not in after:
        return (), (f"all containers {LATER}",)
    return (
        ((), ())
        if action == "create"
        else moves(before.get("container_definitions"), after["container_definitions"])
    )


def sides(found: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """A resource before and after the apply; empty where it does not exist."""
    address = str(found.get("address"))
    change = mapping(found, "change", address)
    return mapping(change, "before", address), mapping(change, "after", address)


def addresses(plan: Mapping[str, Any], kind: str, name: str) -> tuple[str, ...]:
    """Where the configuration has a resource: of type `kind`, of this family or name (what stays as
    it is stands in the plan too).
    """
    return tuple(
        str(found.get("address"))
        for found in mappings(plan, "resource_changes", PLAN)
        if found.get("type") == kind
        and name in [side.get("family") or side.get("name") for side in sides(found)]
    )


def planned_image(plan: Mapping[str, Any], family: str, container: str) -> str | None:
    """The image that `container` of the task definition `family` would have after the apply.

    None where only the apply will tell; empty where no such task definition or container would
    exist."""
    for found in mappings(plan, "resource_changes", PLAN):
        _, after = sides(found)
        if found.get("type") == TASK_DEFINITION and after.get("family") == family:
            if "container_definitions" not in after:
                return None
            return str(
                containers(after["container_definitions"]).get(container, {}).get("image") or ""
            )
    return ""


def summary(rows: Iterable[ResourceChange], notes: Iterable[str] = ()) -> str:
    """`2 changes, 1 of them DESTROY or REPLACE`; a new revision of a task definition is no alarm.
    `notes`: what else the plan does.
    """
    every = tuple(rows)
    unknown = sum(each.unknown for each in every)
    alarming = sum(each.alarming for each in every) - unknown
    if not every:
        return "no resource changes" if tuple(notes) else "nothing to change"
    alarms = [f"{alarming} of them DESTROY or REPLACE"] if alarming else []
    alarms += [f"{unknown} of them UNKNOWN"] if unknown else []
    return ", ".join([format_count(len(every), "change"), *alarms])
