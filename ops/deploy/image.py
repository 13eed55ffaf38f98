"""`inv SERVICE.build` and `inv SERVICE.push`: the image alone; the service is not changed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from ops.core import ui
from ops.core.apply import apply
from ops.core.plan import Plan
from ops.core.result import Report
from ops.deploy.context import DeployContext, DeployRequest
from ops.deploy.handlers import step_handlers
from ops.deploy.rules.plan import plan_image
from ops.ecs import live_display
from ops.platform import Platform
from ops.preflight.facts import ReleaseFacts
from ops.preflight.read_facts import release_facts


@dataclass
class PlannedImage:
    """The planned change of `build`, or of `push`, which builds too."""

    platform: Platform
    name: str
    push: bool

    @cached_property
    def _facts(self) -> ReleaseFacts:
        no_database = frozenset({"migrations"})  # a build needs none, and it may take a task
        return release_facts(self.platform, self.name, None, skip=no_database, tests=False)

    @cached_property
    def _plan(self) -> Plan:
        service = self.platform.settings.service(self.name)
        return plan_image(self._facts, service, push=self.push)

    def preview(self) -> Plan:
        return self._plan

    def confirm(self, *, yes: bool) -> None:
        """Print the plan; nothing that runs is changed, so nothing is asked."""
        ui.detail(self._plan.text)

    def apply(self) -> Report:
        context = DeployContext(
            self.platform, self.name, self._facts, DeployRequest(), live_display.create_display
        )
        apply(self._plan, step_handlers(context), context.journal)
        document = {
            "service": self.name,
            "environment": self.platform.settings.name,
            "tag": self._facts.tag,
            "image": context.image,
            "digest": context.digest,
        }
        return Report(document, " ".join(filter(None, (context.image, context.digest))))
