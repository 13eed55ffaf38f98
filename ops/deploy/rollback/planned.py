"""The planned change of `inv SERVICE.rollback`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

from ops.aws.facts import TaskDefinition
from ops.core import ui
from ops.core.plan import Plan
from ops.deploy.planned_release import PlannedRelease
from ops.deploy.rollback.read_target import Wanted, read_target
from ops.deploy.rollback.schema import schema_item
from ops.deploy.rules.plan import plan_release
from ops.deploy.rules.rollback_target import ROLLBACK
from ops.deploy.rules.schema_order import SCHEMA
from ops.deploy.rules.terraform_plan import by_terraform
from ops.preflight.facts import ReleaseFacts
from ops.preflight.model import Item
from ops.preflight.read_facts import release_facts, with_revision
from ops.preflight.rules.checks import check
from ops.state.model import ReleaseRecord

# A wrong revision in service is a reason to roll back, so only these checks of a deploy apply:
# account, image, and whether the rollout can be carried out.
_CHECKS = frozenset(
    {"credentials", "repository", "image", "service", "tasks", "cdn", "state-lock", "endpoints"}
)
_REVISION_CHECKS = frozenset({"secrets", "log-group"})  # of the revision to go to
_COPY_CHECKS = frozenset({"fields"})  # of a revision of which a copy is registered


def revision_checks(revision: TaskDefinition | None) -> frozenset[str]:
    """The names of the checks of the revision to go to; None if only the image goes back.

    A copy is registered for an image alone, and of an INACTIVE revision.
    """
    if revision is not None and revision.status == "ACTIVE":
        return _REVISION_CHECKS
    return _REVISION_CHECKS | _COPY_CHECKS


@dataclass
class PlannedRollback(PlannedRelease):
    """Roll a service back to an earlier release: a plan with a deploy's steps.

    `to` names the release; None: the newest one that was seen healthy and is not what runs.
    `image_only`: keep the task definition that runs, but for the image.
    """

    action: ClassVar[str] = ROLLBACK
    question: ClassVar[str] = "roll {service} back to {tag} in {environment}"
    to: str | None = None
    image_only: bool = False

    @cached_property
    def _wanted(self) -> Wanted:
        """Chosen once: under the lock the plan still leads to the release that was shown."""
        wanted = read_target(self.platform, self.name, self.to, image_only=self.image_only)
        target, record = wanted.target, wanted.target.record
        when = f", released {record.at} by {record.by}" if record else ", which has no record"
        ui.progress(f"rolling {self.name} back to {target.tag}{when}")
        if target.unfinished:
            ui.progress("  a rollback to it was interrupted, and is completed")
        return wanted

    @property
    def _earlier(self) -> ReleaseRecord | None:
        return self._wanted.target.record

    def _read(self) -> ReleaseFacts:
        skip = self.request.skip - {SCHEMA}
        facts = release_facts(self.platform, self.name, self._wanted.target.tag, skip=skip)
        return replace(facts, action=self.action)

    def _check(self, facts: ReleaseFacts) -> tuple[Item, ...]:
        target, skip = self._wanted.target, self.request.skip - {SCHEMA}
        environment = self.platform.settings.environment
        items = [item for item in check(facts, environment, skip) if item.name in _CHECKS]
        if environment.rollout != "terraform":
            goes_to = self._with_target_revision(facts, skip)
            found = check(goes_to, environment, skip)
            names = revision_checks(self._wanted.revision)
            items += [item for item in found if item.name in names]
        schema = self._check_schema(facts, target.record.schema_revision if target.record else None)
        return (*items, schema)

    def _with_target_revision(self, facts: ReleaseFacts, skip: frozenset[str]) -> ReleaseFacts:
        """The facts with the revision to go to; unchanged if only the image goes back."""
        revision = self._wanted.revision
        return facts if revision is None else with_revision(self.platform, facts, revision, skip)

    def _check_schema(self, facts: ReleaseFacts, released: str | None) -> Item:
        found = schema_item(self.platform, facts, self._wanted.target.tag, released)
        if SCHEMA in self.request.skip:
            return Item(SCHEMA, "skipped", f"by --skip; {found.detail}")
        return found

    def _ask(self, items: tuple[Item, ...]) -> None:
        """Ask if the order of schema and image is unknown; --yes does not answer that."""
        for item in items:
            if item.name == SCHEMA and item.status == "unknown":
                what = f"whether {self._wanted.target.tag} works with the schema is unknown"
                ui.confirm(f"{what} ({item.detail})", yes=False, option=f"--skip {SCHEMA}")

    def _steps(self, facts: ReleaseFacts) -> Plan:
        settings = self.platform.settings
        service = settings.service(self.name)
        plan = plan_release(facts, service, wanted=self._wanted.revision)
        return by_terraform(plan, service) if settings.environment.rollout == "terraform" else plan
