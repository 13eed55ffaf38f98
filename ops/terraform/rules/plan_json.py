"""Terraform's plan JSON as types.

A value of the wrong type raises OpsError and is never read as an empty one: a plan that cannot be
read must not look like a plan without changes. Keys that are not known here are collected, so that
they can be reported. Sources: Terraform's "JSON Output Format", versions 1.0 to 1.2, and
`internal/command/jsonplan` of Terraform 1.14.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ops.terraform.rules.json_object import JsonObject

FORMAT = "1"  # the major version that is read here
# keys that describe the input or the result of a plan, not what its apply would do
_DESCRIPTIVE_KEYS = frozenset(
    {
        "terraform_version",
        "variables",
        "planned_values",
        "proposed_unknown",
        "prior_state",
        "configuration",
        "relevant_attributes",
        "checks",
        "timestamp",
    }
)
_PLAN_KEYS = _DESCRIPTIVE_KEYS | {
    "format_version",
    "resource_changes",
    "resource_drift",
    "output_changes",
    "action_invocations",
    "deferred_changes",
    "deferred_action_invocations",
    "applyable",
    "complete",
    "errored",
}
_RESOURCE_KEYS = frozenset(
    {
        "address",
        "previous_address",
        "module_address",
        "mode",
        "type",
        "name",
        "index",
        "index_unknown",
        "provider_name",
        "deposed",
        "change",
        "action_reason",
    }
)
_CHANGE_KEYS = frozenset(
    {
        "actions",
        "before",
        "after",
        "after_unknown",
        "before_sensitive",
        "after_sensitive",
        "replace_paths",
        "importing",
        "generated_config",
        "before_identity",
        "after_identity",
    }
)
_TRIGGERS = ("lifecycle_action_trigger", "invoke_action_trigger")
_INVOCATION_KEYS = frozenset(
    {
        "address",
        "type",
        "name",
        "provider_name",
        "config_values",
        "config_sensitive",
        "config_unknown",
        *_TRIGGERS,
    }
)


@dataclass(frozen=True)
class ChangeRepresentation:
    """Terraform's change representation: an object before and after the apply.

    `after` lacks values that only the apply knows. `after_unknown` and the sensitive marks have
    the structure of the values, with true in place of each marked value. `replace_paths` are
    dotted, such as `container_definitions.0.image`.
    """

    actions: tuple[str, ...]
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    after_unknown: Any = None
    before_sensitive: Any = None
    after_sensitive: Any = None
    replace_paths: tuple[str, ...] = ()
    imports: bool = False

    @classmethod
    def from_document(cls, found: JsonObject) -> ChangeRepresentation:
        return cls(
            actions=found.get_texts("actions"),
            before=found.get_mapping("before"),
            after=found.get_mapping("after"),
            after_unknown=found.values.get("after_unknown"),
            before_sensitive=found.values.get("before_sensitive"),
            after_sensitive=found.values.get("after_sensitive"),
            replace_paths=tuple(
                dict.fromkeys(_dotted(path) for path in found.get_list("replace_paths"))
            ),
            imports=bool(found.values.get("importing")),
        )


def _dotted(path: Any) -> str:
    return ".".join(str(part) for part in path) if isinstance(path, list) else str(path)


@dataclass(frozen=True)
class PlannedResource:
    """An entry of `resource_changes` or `resource_drift`, also one without a change.

    `deposed` is the key of an object that an earlier, interrupted replacement left behind.
    """

    address: str
    type: str
    change: ChangeRepresentation
    mode: str = ""
    previous_address: str = ""
    deposed: str = ""
    unknown_keys: tuple[str, ...] = ()

    @classmethod
    def from_document(cls, found: JsonObject) -> PlannedResource:
        address = found.get_address()
        change = found.get_object("change", address)
        return cls(
            address=address,
            type=found.get_text("type"),
            change=ChangeRepresentation.from_document(change),
            mode=found.get_text("mode"),
            previous_address=found.get_text("previous_address"),
            deposed=found.get_text("deposed"),
            unknown_keys=(
                *found.unknown_keys(_RESOURCE_KEYS),
                *change.unknown_keys(_CHANGE_KEYS),
            ),
        )


@dataclass(frozen=True)
class ActionInvocation:
    """An `action` block that the apply would invoke (Terraform 1.14).

    `trigger` is empty for an action that is invoked by name.
    """

    address: str
    type: str
    name: str
    values: Mapping[str, Any]
    unknown: Any = None
    sensitive: Any = None
    trigger: str = ""
    unknown_keys: tuple[str, ...] = ()

    @classmethod
    def from_document(cls, found: JsonObject) -> ActionInvocation:
        return cls(
            address=found.get_address(),
            type=found.get_text("type"),
            name=found.get_text("name"),
            values=found.get_mapping("config_values"),
            unknown=found.values.get("config_unknown"),
            sensitive=found.values.get("config_sensitive"),
            trigger=_trigger(found),
            unknown_keys=found.unknown_keys(_INVOCATION_KEYS),
        )


def _trigger(found: JsonObject) -> str:
    """`AfterUpdate of aws_ecs_service.backend`; empty for an action that is invoked by name."""
    for key in _TRIGGERS:
        trigger = found.get_object(key)
        if resource := trigger.get_text("triggering_resource_address"):
            return f"{trigger.get_text('action_trigger_event') or 'a change'} of {resource}"
    return ""


@dataclass(frozen=True)
class DeferredChange:
    """A resource change or action that Terraform leaves to a later plan, with its reason."""

    address: str
    type: str
    actions: tuple[str, ...]
    reason: str
    unknown_keys: tuple[str, ...] = ()

    @classmethod
    def of_resource(cls, found: JsonObject) -> DeferredChange:
        """Parse an entry of `deferred_changes`."""
        resource = PlannedResource.from_document(found.get_object("resource_change"))
        return cls(
            resource.address,
            resource.type,
            resource.change.actions,
            found.get_text("reason"),
            (
                *found.unknown_keys(frozenset({"reason", "resource_change"})),
                *resource.unknown_keys,
            ),
        )

    @classmethod
    def of_action(cls, found: JsonObject) -> DeferredChange:
        """Parse an entry of `deferred_action_invocations`."""
        action = ActionInvocation.from_document(found.get_object("action_invocation"))
        return cls(
            action.address,
            action.type,
            ("invoke",),
            found.get_text("reason"),
            (*found.unknown_keys(frozenset({"reason", "action_invocation"})), *action.unknown_keys),
        )


@dataclass(frozen=True)
class OutputChange:
    """An output and what the apply does to it."""

    name: str
    actions: tuple[str, ...]
    unknown_keys: tuple[str, ...] = ()

    @classmethod
    def from_document(cls, name: str, found: JsonObject) -> OutputChange:
        return cls(name, found.get_texts("actions"), found.unknown_keys(_CHANGE_KEYS))

    @property
    def changes(self) -> bool:
        return self.actions != ("no-op",)


@dataclass(frozen=True)
class PlanDocument:
    """A saved plan as `terraform show -json` prints it.

    Its values may be secrets: only what `plan_diff` makes of them is printed. `unknown_keys` are
    keys of a later Terraform, with their place in the plan; `configuration` is as it was read.
    """

    format_version: str = FORMAT
    resource_changes: tuple[PlannedResource, ...] = ()
    resource_drift: tuple[PlannedResource, ...] = ()
    output_changes: tuple[OutputChange, ...] = ()
    action_invocations: tuple[ActionInvocation, ...] = ()
    deferred: tuple[DeferredChange, ...] = ()
    complete: bool = True
    errored: bool = False
    unknown_keys: tuple[str, ...] = ()
    configuration: Any = None
    prior_addresses: frozenset[str] = frozenset()  # of resources and data sources in the state

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> PlanDocument:
        """Parse a plan. Raises OpsError for a value of the wrong type."""
        found = JsonObject(document, "the plan")
        changes = _resources(found, "resource_changes")
        drift = _resources(found, "resource_drift")
        actions = tuple(
            ActionInvocation.from_document(each) for each in found.get_objects("action_invocations")
        )
        deferred = (
            *(DeferredChange.of_resource(each) for each in found.get_objects("deferred_changes")),
            *(
                DeferredChange.of_action(each)
                for each in found.get_objects("deferred_action_invocations")
            ),
        )
        outputs = _outputs(found.get_object("output_changes"))
        return cls(
            format_version=str(document.get("format_version", FORMAT)),
            resource_changes=changes,
            resource_drift=drift,
            output_changes=outputs,
            action_invocations=actions,
            deferred=deferred,
            complete=document.get("complete", True) is True,
            errored=bool(document.get("errored")),
            unknown_keys=_distinct(
                found.unknown_keys(_PLAN_KEYS),
                *(each.unknown_keys for each in (*changes, *drift)),
                *(each.unknown_keys for each in outputs),
                *(each.unknown_keys for each in actions),
                *(each.unknown_keys for each in deferred),
            ),
            configuration=document.get("configuration"),
            prior_addresses=_prior_addresses(document.get("prior_state")),
        )


def _prior_addresses(state: Any) -> frozenset[str]:
    """Return the addresses in `prior_state`, which a plan of an empty state does not have."""
    values = state.get("values") if isinstance(state, Mapping) else None
    pending = [values.get("root_module") if isinstance(values, Mapping) else None]
    found: set[str] = set()
    while pending:
        module = pending.pop()
        if isinstance(module, Mapping):
            pending += _mappings(module.get("child_modules"))
            found.update(str(each.get("address")) for each in _mappings(module.get("resources")))
    return frozenset(found)


def _mappings(value: Any) -> list[Mapping[str, Any]]:
    return [
        each for each in (value if isinstance(value, list) else []) if isinstance(each, Mapping)
    ]


def _resources(found: JsonObject, key: str) -> tuple[PlannedResource, ...]:
    return tuple(PlannedResource.from_document(each) for each in found.get_objects(key))


def _outputs(found: JsonObject) -> tuple[OutputChange, ...]:
    return tuple(
        OutputChange.from_document(
            name, JsonObject(found.get_mapping(name), f"output {name}", f"{found.path}*.")
        )
        for name in sorted(found.values)
    )


def _distinct(*groups: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(key for group in groups for key in group))
