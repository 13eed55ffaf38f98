"""The plan of a deploy by Terraform: check first, save a plan, apply exactly that plan."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ops.core.plan import Plan, Step
from ops.deploy.rules.steps import (
    ApplyTerraformRollout,
    CheckTerraform,
    ContinueRollout,
    ContinueTerraformRollout,
    PlanTerraformRollout,
    RegisterTaskDefinition,
    Rollout,
    UpdateService,
)

if TYPE_CHECKING:
    from ops.core.config.settings import Service


def by_terraform(plan: Plan, service: Service) -> Plan:
    """Replace the steps `register` and `update` by Terraform's.

    (verbs `tf-check`, `tf-plan`, `tf-apply`)
    """
    rollout = next((step for step in plan.steps if isinstance(step, Rollout)), None)
    if rollout is None:
        return plan
    check = CheckTerraform(service.image_variable, rollout.image)
    return replace(plan, steps=(check, *(_by_terraform(step, service) for step in plan.steps)))


def _by_terraform(step: Step, service: Service) -> Step:
    if isinstance(step, RegisterTaskDefinition):
        return PlanTerraformRollout(service.ecs_service, service.image_variable, step.image)
    if isinstance(step, UpdateService):
        return ApplyTerraformRollout(
            step.image, step.last_healthy, step.no_rollback, service.ecs_service
        )
    if isinstance(step, ContinueRollout):
        return ContinueTerraformRollout(
            step.image, step.last_healthy, step.no_rollback, step.deployment
        )
    return step
