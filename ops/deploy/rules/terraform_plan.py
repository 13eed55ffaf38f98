"""The plan of a deploy by Terraform: check first, save a plan, apply exactly that plan."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from ops.core.plan import PlainStep, Plan

if TYPE_CHECKING:
    from ops.core.config.settings import Service


def by_terraform(plan: Plan, service: Service) -> Plan:
    """Replace the steps `register` and `update` by Terraform's.

    (verbs `tf-check`, `tf-plan`, `tf-apply`)
    """
    if not any(step.verb in ("register", "update") for step in plan.steps):
        return plan
    check = PlainStep(
        "tf-check",
        f"Check Terraform: it is here and initialised, and declares "
        f"{service.image_variable or 'an image variable'}",
    )
    return replace(plan, steps=(check, *_steps(plan, service)))


def _steps(plan: Plan, service: Service) -> Iterator[PlainStep]:
    for step in plan.steps:
        assert isinstance(step, PlainStep)
        if step.verb == "register":
            says = (
                f"Plan by Terraform with {service.image_variable} changed; stop at what goes "
                f"beyond {service.ecs_service}"
            )
            yield PlainStep("tf-plan", says)
        elif step.verb == "update":
            ours = f"Apply exactly that plan, and see that service {service.ecs_service} changed"
            yield PlainStep(
                "tf-apply",
                step.says if "deployment" in step.values else ours,
                undo(step),
                step.values,
            )
        else:
            yield step


def undo(step: PlainStep) -> str | None:
    """The undo of an apply.

    A revision that Terraform replaced is INACTIVE, so the rollback is another revision with its
    image.
    """
    back = str(step.values.get("back") or "").rsplit("/", 1)[-1]
    says = (
        f"A second Terraform plan, with the image of {back}, the last revision seen healthy; "
        f"where that would change more, UpdateService to a copy of {back}; watched too"
    )
    return says if step.undo else None
