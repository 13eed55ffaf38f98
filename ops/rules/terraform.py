"""Terraform's plan as what matters: what is made, changed, DESTROYED and REPLACED, which image moves, and what only drifted.

`changes` reads `resource_changes` (what the configuration intends), `drift` reads `resource_drift` (what somebody changed outside of it):
Terraform prints both in one breath. Source: Terraform's "JSON Output Format".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ops.rules.terraform_values import Field, ImageMove, containers, differences, moves

Action = Literal["adopt", "create", "update", "delete", "replace", "forget", "unknown"]
ACTIONS: Mapping[tuple[str, ...], Action] = {
    ("create",): "create",
    ("update",): "update",
    ("delete",): "delete",
    ("delete", "create"): "replace",
    ("create", "delete"): "replace",
    ("forget",): "forget",
    ("no-op",): "adopt",  # kept only where the row also imports
}
NOTHING = ("read",)
MARKS: Mapping[Action, str] = {"adopt": "<", "create": "+", "update": "~", "delete": "-", "replace": "-/+", "forget": ".", "unknown": "?"}
WORDS: Mapping[Action, str] = {
    "adopt": "adopts",
    "create": "creates",
    "update": "changes",
    "delete": "DESTROYS",
    "replace": "REPLACES",
    "forget": "forgets (leaves it running)",
    "unknown": "does what is UNKNOWN here to",
}
ROUTINE = "makes a new revision of"
TASK_DEFINITION = "aws_ecs_task_definition"
SERVICE = "aws_ecs_service"
MOST_FIELDS = 8


@dataclass(frozen=True)
class ResourceChange:
    """One row of a plan. `name`: the resource's own (a service's, a family's); `forced_by`: what makes it a replacement."""

    address: str
    type: str
    name: str
    action: Action
    fields: tuple[Field, ...] = ()
    forced_by: tuple[str, ...] = ()
    images: tuple[ImageMove, ...] = ()
    others: tuple[str, ...] = ()  # what else changes inside of container definitions
    adopted: bool = False

    @property
    def destroys(self) -> bool:
        """Whether something that exists goes away."""
        return self.action in ("delete", "replace")

    @property
    def routine(self) -> bool:
        """A task definition is replaced by every new image: ECS keeps the old revision, INACTIVE."""
        return self.type == TASK_DEFINITION and self.action == "replace"

    @property
    def alarming(self) -> bool:
        """What is shown in red, and wants its address typed: also what no rule here can read."""
        return (self.destroys and not self.routine) or self.action == "unknown"

    @property
    def word(self) -> str:
        """What is done to it. Capitals are the alarm where there is no red, so a routine revision has none."""
        return ROUTINE if self.routine else WORDS[self.action]

    def lines(self) -> tuple[str, ...]:
        """What a person reads: the row, then what it changes."""
        forced = f" (because of {', '.join(self.forced_by)})" if self.forced_by else ""
        adopted = ", adopted" if self.adopted and self.action != "adopt" else ""
        head = f"{MARKS[self.action]:>3} {self.word} {self.address}{forced}{adopted}"
        details = [move.says for move in self.images] + [f"changes {other}" for other in self.others]
        if self.action in ("update", "unknown") or (self.action == "replace" and not details):
            details += [str(field) for field in self.fields if not (field.name == "container_definitions" and details)]
        more = [f"… and {len(details) - MOST_FIELDS} more"] if len(details) > MOST_FIELDS else []
        return (head, *(f"      {line}" for line in [*details[:MOST_FIELDS], *more]))

    def as_document(self) -> dict[str, Any]:
        return {
            "address": self.address,
            "type": self.type,
            "name": self.name,
            "action": self.action,
            "destroys": self.destroys,
            "forced_by": list(self.forced_by),
            "fields": [vars(field) for field in self.fields],
            "images": [vars(move) for move in self.images],
        }


def changes(plan: Mapping[str, Any]) -> tuple[ResourceChange, ...]:
    """What applying this plan would do, destroys and replacements first; what is left as it is, and data that is only read, is left out."""
    rows = [row(found) for found in plan.get("resource_changes") or ()]
    order = ("unknown", "delete", "replace", "create", "update", "forget", "adopt")
    return tuple(sorted((each for each in rows if each), key=lambda each: (order.index(each.action), each.address)))


def drift(plan: Mapping[str, Any]) -> tuple[ResourceChange, ...]:
    """What differs from the state because somebody changed it outside of Terraform; cosmetic differences are left out."""
    rows = [row(found) for found in plan.get("resource_drift") or ()]
    return tuple(each for each in rows if each and (each.fields or each.action != "update"))


def row(found: Mapping[str, Any]) -> ResourceChange | None:
    """One resource of a plan; None for what changes nothing."""
    change = found.get("change") or {}
    action, adopted = action_of(tuple(change.get("actions") or ())), bool(change.get("importing"))
    fields = differences(change) if action not in (None, "adopt") else ()
    if adopted and action == "update" and not fields:
        action = "adopt"
    if action is None or (action == "adopt" and not adopted) or found.get("mode") == "data":
        return None
    before, after = change.get("before") or {}, change.get("after") or {}
    moved, others = ((), ()) if action in ("create", "delete") else moved_containers(found, change)
    return ResourceChange(
        address=str(found.get("address")),
        type=str(found.get("type")),
        name=str(after.get("family") or after.get("name") or before.get("family") or before.get("name") or ""),
        action=action,
        fields=known(fields) if action == "replace" else fields,
        forced_by=tuple(dict.fromkeys(".".join(str(part) for part in path) for path in change.get("replace_paths") or ())),
        images=moved,
        others=others,
        adopted=adopted,
    )


def action_of(said: tuple[str, ...]) -> Action | None:
    """None where nothing changes. Words of a later Terraform are no "nothing": with a delete in them a replacement, else unknown."""
    if said == NOTHING:
        return None
    return ACTIONS.get(said, "replace" if "delete" in said else "unknown")


def known(fields: Iterable[Field]) -> tuple[Field, ...]:
    """Of a replacement, what is known beforehand: its new ids and ARNs are no news."""
    return tuple(field for field in fields if field.after not in ("(known after apply)", "nothing"))


def moved_containers(found: Mapping[str, Any], change: Mapping[str, Any]) -> tuple[tuple[ImageMove, ...], tuple[str, ...]]:
    if found.get("type") != TASK_DEFINITION:
        return (), ()
    before, after = change.get("before") or {}, change.get("after") or {}
    if "container_definitions" not in after:  # its value is known only after the apply
        return (), ()
    return moves(before.get("container_definitions"), after.get("container_definitions"))


def addresses(plan: Mapping[str, Any], kind: str, name: str) -> tuple[str, ...]:
    """Where the configuration has a resource: of type `kind`, of this family or name (what stays as it is stands in the plan too)."""
    result = []
    for found in plan.get("resource_changes") or ():
        change = found.get("change") or {}
        values = [change.get(side) or {} for side in ("before", "after")]
        if found.get("type") == kind and name in [value.get("family") or value.get("name") for value in values]:
            result.append(str(found.get("address")))
    return tuple(result)


def planned_image(plan: Mapping[str, Any], family: str, container: str) -> str | None:
    """The image that `container` of the task definition `family` would have after the apply; None where the plan does not say."""
    for found in plan.get("resource_changes") or ():
        after = (found.get("change") or {}).get("after") or {}
        if found.get("type") == TASK_DEFINITION and after.get("family") == family:
            image = containers(after.get("container_definitions")).get(container, {}).get("image")
            return str(image) if image else None
    return None


def summary(rows: Iterable[ResourceChange]) -> str:
    """`2 changes, 1 of them DESTROY or REPLACE`; a new revision of a task definition is no alarm."""
    listed = tuple(rows)
    unknown = sum(each.action == "unknown" for each in listed)
    alarming = sum(each.alarming for each in listed) - unknown
    if not listed:
        return "nothing to change"
    alarms = [f"{alarming} of them DESTROY or REPLACE"] if alarming else []
    alarms += [f"{unknown} of them UNKNOWN"] if unknown else []
    return ", ".join([f"{len(listed)} change{'s' if len(listed) > 1 else ''}", *alarms])
