"""The shape of Terraform's plan JSON: typed access that raises, and what a plan holds besides its
changes.

A value of the wrong type is an error, never an empty one: a plan that can't be read must not look
like one that changes nothing. Source: Terraform's "JSON Output Format", versions 1.0 to 1.2, and
the plan of Terraform 1.14."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ops.core.errors import OpsError

PLAN = "the plan"
TRIGGERS = ("lifecycle_action_trigger", "invoke_action_trigger")
READ = frozenset(
    {
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
)
# Known to say nothing about what an apply would do: inputs, values before and after, and what
# `changes` already has.
DESCRIPTIVE = frozenset(
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
FORMAT = "1"  # the major version that is read here


def malformed(what: str, key: str, value: Any) -> OpsError:
    why = (
        f"`{key}` of {what} is {type(value).__name__}, which Terraform's JSON Output Format "
        f"does not allow"
    )
    return OpsError(
        "Terraform's plan could not be read", why, "look at it: terraform show -json FILE"
    )


def mapping(found: Mapping[str, Any], key: str, what: str) -> Mapping[str, Any]:
    """The object at `key`; empty where it is missing or null. Raises OpsError for anything else."""
    value = found.get(key)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise malformed(what, key, value)
    return value


def listed(found: Mapping[str, Any], key: str, what: str) -> list[Any]:
    """The list at `key`; empty where it is missing or null. Raises OpsError for anything else."""
    value = found.get(key)
    if value is None:
        return []
    if not isinstance(value, list):
        raise malformed(what, key, value)
    return value


def mappings(found: Mapping[str, Any], key: str, what: str) -> list[Mapping[str, Any]]:
    """The list of objects at `key`. Raises OpsError for anything else."""
    result = listed(found, key, what)
    for place, each in enumerate(result):
        if not isinstance(each, Mapping):
            raise malformed(what, f"{key}[{place}]", each)
    return result


def words(found: Mapping[str, Any], key: str, what: str) -> tuple[str, ...]:
    """The list of texts at `key`. Raises OpsError for anything else."""
    result = listed(found, key, what)
    for place, each in enumerate(result):
        if not isinstance(each, str):
            raise malformed(what, f"{key}[{place}]", each)
    return tuple(result)


def refusal(plan: Mapping[str, Any]) -> str:
    """Why this plan must not be applied at all; empty where nothing speaks against it."""
    version = str(plan.get("format_version", FORMAT))
    if version.partition(".")[0] != FORMAT:
        return f"its format is {version}, and only {FORMAT}.x is understood"
    return "Terraform stopped in the middle of planning (errored)" if plan.get("errored") else ""


def notes(plan: Mapping[str, Any]) -> tuple[str, ...]:
    """What a plan does that changes no resource: outputs that change, and addresses that are moved
    in the state.
    """
    outputs = [
        name
        for name in sorted(mapping(plan, "output_changes", PLAN))
        if words(
            mapping(mapping(plan, "output_changes", PLAN), name, "output_changes"),
            "actions",
            f"output {name}",
        )
        != ("no-op",)
    ]
    moved = [
        f"moves {found['previous_address']} to {found.get('address')} in the state"
        for found in mappings(plan, "resource_changes", PLAN)
        if found.get("previous_address")
    ]
    return (*moved, *([f"changes outputs: {', '.join(outputs)}"] if outputs else []))


def questions(plan: Mapping[str, Any], *, targeted: bool = False) -> tuple[str, ...]:
    """What makes a plan's effect uncertain: keys that are not known here, or changes that Terraform
    left out.

    A plan made with `-target` is incomplete by definition.
    """
    unknown = sorted(key for key in plan if key not in READ | DESCRIPTIVE)
    said = [
        f"the plan holds `{key}`, which is not known here: what it would do is unknown"
        for key in unknown
    ]
    if plan.get("complete", True) is not True and not targeted:
        said.append(
            "the plan is incomplete: Terraform deferred changes, and another plan is "
            "needed after it"
        )
    return tuple(said)
