"""Whether a plan may be applied, and what its apply does besides resource changes."""

from __future__ import annotations

from collections.abc import Iterable

from ops.terraform.rules.configured import is_configured, without_keys
from ops.terraform.rules.plan_json import FORMAT, PlanDocument


def plan_refusal(plan: PlanDocument) -> str:
    """Return why a plan must not be applied at all; empty if it may be."""
    if plan.format_version.partition(".")[0] != FORMAT:
        return f"its format is {plan.format_version}, and only {FORMAT}.x is understood"
    return "Terraform stopped in the middle of planning (errored)" if plan.errored else ""


def notes(plan: PlanDocument) -> tuple[str, ...]:
    """Return what a plan does besides resource changes: moved addresses, changed outputs."""
    moved = [
        f"moves {each.previous_address} to {each.address} in the state"
        for each in plan.resource_changes
        if each.previous_address
    ]
    outputs = [each.name for each in plan.output_changes if each.changes]
    return (*moved, *([f"changes outputs: {', '.join(outputs)}"] if outputs else []))


def warnings(plan: PlanDocument, *, targeted: bool = False) -> tuple[str, ...]:
    """Return what makes the effect of a plan uncertain: unknown keys, and deferred changes.

    A plan made with `-target` is incomplete by definition.
    """
    found = [
        f"the plan holds `{key}`, which is not known here: what it would do is unknown"
        for key in plan.unknown_keys
    ]
    if not plan.complete and not targeted:
        found.append(
            "the plan is incomplete: Terraform deferred changes, and another plan is needed "
            "after it"
        )
    return tuple(found)


def unmatched_targets(plan: PlanDocument, targets: Iterable[str]) -> tuple[str, ...]:
    """Return the targets that match nothing: Terraform plans no change for them, silently.

    Empty if the plan does not have its configuration.
    """
    if plan.configuration is None:
        return ()
    known = {
        *plan.prior_addresses,
        *(each.address for each in plan.resource_changes),
        *(each.previous_address for each in plan.resource_changes),
        *(each.address for each in plan.deferred),
    }

    def matches(target: str) -> bool:
        if without_keys(target) == target and is_configured(plan.configuration, target):
            return True  # its count or for_each may be empty
        return any(
            each == target or each.startswith((f"{target}.", f"{target}[")) for each in known
        )

    return tuple(each for each in targets if not matches(each))
