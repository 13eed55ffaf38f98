"""`inv SERVICE.deploy`: read facts, check, plan, apply, verify (runbook 2, steps 1 to 8).

The preflight checks refuse a deploy that cannot succeed. The plan holds only the steps that are
still needed, and applying it ends in a verdict. Any verdict but "succeeded" rolls the service back
to the last healthy revision, unless ECS already did so, a newer deployment superseded ours, or the
operator asked to keep it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ops.core import ui
from ops.core.plan import Plan
from ops.deploy import schema_compat
from ops.deploy.planned_release import PlannedRelease
from ops.deploy.rules.plan import plan_release, start_only
from ops.deploy.rules.terraform_plan import by_terraform
from ops.preflight.facts import ReleaseFacts
from ops.preflight.model import Item
from ops.preflight.read_facts import release_facts
from ops.preflight.rules.checks import check


@dataclass
class PlannedDeploy(PlannedRelease):
    """The planned change of `inv SERVICE.deploy`."""

    action: ClassVar[str] = "deploy"
    question: ClassVar[str] = "deploy {service} {tag} to {environment}"

    def _read(self) -> ReleaseFacts:
        """The facts; the service's tests run only before the lock."""
        first = self._planned is None
        return release_facts(
            self.platform,
            self.name,
            self.request.tag,
            skip=self.request.skip,
            tests=first,
            say=ui.progress if first else lambda line: None,
        )

    def _check(self, facts: ReleaseFacts) -> tuple[Item, ...]:
        return check(facts, self.platform.settings.environment, self.request.skip)

    def _report(self, facts: ReleaseFacts) -> None:
        schema_compat.report_schema_age(self.platform, facts)

    def _steps(self, facts: ReleaseFacts) -> Plan:
        settings = self.platform.settings
        service = settings.service(self.name)
        plan: Plan = plan_release(facts, service, no_rollback=self.request.no_rollback)
        terraform = settings.environment.rollout == "terraform"
        plan = by_terraform(plan, service) if terraform else plan
        return start_only(plan) if self.request.no_wait else plan
