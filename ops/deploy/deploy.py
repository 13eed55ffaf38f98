"""`inv SERVICE.deploy`: read facts, check, plan, apply, verify (runbook 2, steps 1 to 8).

The preflight checks refuse a deploy that cannot succeed. The plan holds only the steps that are
still needed, and applying it ends in a verdict. Any verdict but "succeeded" rolls the service back
to the last healthy revision, unless ECS already did so, a newer deployment superseded ours, or the
operator asked to keep it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import ClassVar

from ops.core import ui
from ops.core.errors import ConfigError, Refused
from ops.core.plan import Plan
from ops.deploy import schema_compat
from ops.deploy.context import DeployContext, DeployRequest
from ops.deploy.result import DeployResult, refusing
from ops.deploy.rules.plan import plan_release, start_only
from ops.deploy.rules.terraform_plan import by_terraform
from ops.deploy.run import run, service_changed
from ops.ecs import watch
from ops.health.before_after import BeforeAfter
from ops.platform import Platform
from ops.preflight import report
from ops.preflight.facts import ReleaseFacts
from ops.preflight.model import Item
from ops.preflight.read_facts import release_facts
from ops.preflight.rules.checks import check
from ops.state import lock
from ops.tools.facts import Checkout


@dataclass(frozen=True)
class _Planned:
    """A plan, the facts and checks that it follows from, and the health before it."""

    facts: ReleaseFacts
    items: tuple[Item, ...]
    plan: Plan
    health: BeforeAfter


@dataclass
class PlannedDeploy:
    """The planned change of `inv SERVICE.deploy`."""

    action: ClassVar[str] = "deploy"
    question: ClassVar[str] = "deploy {service} {tag} to {environment}"
    platform: Platform
    name: str
    request: DeployRequest
    make_display: Callable[[], watch.Display]
    _planned: _Planned | None = field(default=None, init=False)

    def preview(self) -> Plan:
        """The plan; raises as `confirm` does for a deploy that cannot succeed."""
        return self._plan()[2]

    def confirm(self, *, yes: bool) -> None:
        """Check, plan, print the plan and confirm it in a protected environment.

        Raises Refused if a check fails or the answer is no, ConfigError for an invalid tag, an
        unknown check, or an option without effect.
        """
        environment, name = self.platform.settings.environment, self.platform.settings.name
        if self.request.allow_destroy and environment.rollout != "terraform":
            why = f"{name} has rollout: {environment.rollout}, which destroys nothing"
            raise ConfigError("--allow-destroy", why, f"leave it out: inv {self.name}.deploy")
        if environment.protected and not yes:
            # before the preflight, which would be in vain
            ui.refuse_unanswerable(f"{self.action} {self.name} in {name}")
        health = self._start_health_snapshot()
        facts, items, plan = self._plan()
        ui.progress(plan.text)
        self._planned = _Planned(facts, items, plan, health)
        if environment.protected:
            with refusing(facts):
                question = self.question.format(service=self.name, tag=facts.tag, environment=name)
                ui.confirm(question, yes=yes, typed=name)

    def apply(self) -> DeployResult:
        """Deploy, verify, and roll back on failure; the verdict is in the result.

        Errors before the service was changed are raised.
        """
        assert self._planned is not None  # by `confirm`
        with refusing(self._planned.facts):
            done = self._apply_under_lock(self._planned)
        if done.exit_code:
            for contact in self.platform.settings.environment.contacts:
                ui.progress(f"contact: {contact}")
        return done

    def _plan(self) -> tuple[ReleaseFacts, tuple[Item, ...], Plan]:
        """Read the facts, run the checks and make the plan."""
        facts = release_facts(self.platform, self.name, self.request.tag, skip=self.request.skip)
        with refusing(facts):
            items = check(facts, self.platform.settings.environment, self.request.skip)
            ui.progress(report.as_text(items))
            report.refuse_if_blocked(items)
            schema_compat.report_schema_age(self.platform, facts)
            return facts, items, self._steps(facts)

    def _steps(self, facts: ReleaseFacts) -> Plan:
        """The steps for the environment's rollout, by ECS or by Terraform."""
        settings = self.platform.settings
        service = settings.service(self.name)
        plan = plan_release(facts, service, no_rollback=self.request.no_rollback)
        terraform = settings.environment.rollout == "terraform"
        plan = by_terraform(plan, service) if terraform else plan
        return start_only(plan) if self.request.no_wait else plan

    def _start_health_snapshot(self) -> BeforeAfter:
        settings = self.platform.settings
        return BeforeAfter.begin(settings, lambda: self.platform, f"{self.action} of {self.name}")

    def _apply_under_lock(self, planned: _Planned) -> DeployResult:
        checkout = planned.facts.checkout
        commit = checkout.commit.short if isinstance(checkout, Checkout) else ""
        me = lock.myself(f"{self.action} {planned.facts.tag}", commit)
        location = lock.LockLocation.of(self.platform.cloud, self.platform.settings, self.name)
        with lock.hold(location, me, wait_s=self.request.lock_wait_s) as ours:
            facts, plan = self._replan(planned)
            health = planned.health
            if plan != planned.plan or (ours and ours.had_to_wait):
                # another deploy may have changed the health meanwhile
                health = self._start_health_snapshot()
            context = DeployContext(
                self.platform,
                self.name,
                facts,
                self.request,
                self.make_display,
                kind=self.action,
                preflight=planned.items,
                health=health,
            )
            if ours:
                context.journal.guard = lock_guard(context, ours)
            health.ready()
            return run(context, plan, me)

    def _replan(self, planned: _Planned) -> tuple[ReleaseFacts, Plan]:
        """Plan again under the lock, since things may have changed before it was taken.

        In a protected environment a changed plan is refused unless `--yes` was given.
        """
        environment, skip = self.platform.settings.environment, self.request.skip
        now = release_facts(
            self.platform,
            self.name,
            self.request.tag,
            skip=skip,
            tests=False,
            say=lambda line: None,
        )
        report.refuse_if_blocked(check(now, environment, skip))
        plan = self._steps(now)
        if plan == planned.plan:
            return replace(planned.facts, answers=now.answers), plan
        if environment.protected and not self.request.yes:
            raise Refused(
                "the world has moved since the plan was shown",
                "another deploy, or a push, came between",
                "run it again",
            )
        ui.progress("the world has moved since; the plan is now:")
        ui.progress(plan.text)
        return now, plan


def lock_guard(context: DeployContext, ours: lock.HeldLock) -> Callable[[], None]:
    """The guard for each step: the lock must be ours.

    Before the first change that must be certain; later only a lock known to be lost stops a
    deploy or its undo.
    """
    return lambda: ours.check(strict=not service_changed(context))
