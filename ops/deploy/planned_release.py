"""The flow that a deploy and a rollback share: check, plan, confirm, lock, plan again, apply."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import ClassVar

from ops.core import ui
from ops.core.errors import ConfigError, Refused
from ops.core.plan import Plan
from ops.core.terminal.step import step
from ops.deploy.context import DeployContext, DeployRequest
from ops.deploy.result import DeployResult, refusing
from ops.deploy.rules.schema_order import SCHEMA
from ops.deploy.run import run, service_changed
from ops.ecs.model import Display
from ops.health.before_after import BeforeAfter
from ops.platform import Platform
from ops.preflight import report
from ops.preflight.facts import ReleaseFacts
from ops.preflight.model import Item
from ops.state import lock
from ops.state.model import ReleaseRecord
from ops.tools.facts import Checkout


@dataclass(frozen=True)
class _Planned:
    """A plan, the facts and checks that it follows from, and the health before it."""

    facts: ReleaseFacts
    items: tuple[Item, ...]
    plan: Plan
    health: BeforeAfter


@dataclass
class PlannedRelease(ABC):
    """A planned change of what a service runs (`core.result.PlannedChange`)."""

    action: ClassVar[str]
    question: ClassVar[str]
    platform: Platform
    name: str
    request: DeployRequest
    make_display: Callable[[], Display]
    _planned: _Planned | None = field(default=None, init=False)

    @abstractmethod
    def _read(self) -> ReleaseFacts:
        """Read the facts, once before and once under the lock."""

    @abstractmethod
    def _check(self, facts: ReleaseFacts) -> tuple[Item, ...]:
        """The checks of this release."""

    @abstractmethod
    def _steps(self, facts: ReleaseFacts) -> Plan:
        """The steps for the environment's rollout, by ECS or by Terraform."""

    def _report(self, facts: ReleaseFacts) -> None:  # noqa: B027
        """Report what the checks do not."""

    def _ask(self, items: tuple[Item, ...]) -> None:  # noqa: B027
        """Ask about checks that need an answer; raise Refused on no."""

    @property
    def _earlier(self) -> ReleaseRecord | None:
        """The record of the release that this one repeats, if any."""
        return None

    def preview(self) -> Plan:
        """The plan; raises as `confirm` does for a release that cannot succeed."""
        return self._plan()[2]

    def confirm(self, *, yes: bool) -> None:
        """Check, plan, print the plan and confirm it in a protected environment.

        Raises Refused if a check fails or the answer is no, ConfigError for an invalid tag, an
        unknown check, or an option without effect.
        """
        environment, name = self.platform.settings.environment, self.platform.settings.name
        if self.request.allow_destroy and environment.rollout != "terraform":
            why = f"{name} has rollout: {environment.rollout}, which destroys nothing"
            how = f"leave it out: inv {self.name}.{self.action}"
            raise ConfigError("--allow-destroy", why, how)
        if environment.protected and not yes:
            # before the preflight, which would be in vain
            ui.refuse_unanswerable(f"{self.action} {self.name} in {name}")
        health = self._start_health_snapshot()
        facts, items, plan = self._plan()
        asked = environment.protected and not yes
        (ui.progress if asked else ui.detail)(plan.text)
        self._planned = _Planned(facts, items, plan, health)
        with refusing(facts):
            self._ask(items)
            if environment.protected:
                question = self.question.format(service=self.name, tag=facts.tag, environment=name)
                ui.confirm(question, yes=yes, typed=name)

    def apply(self) -> DeployResult:
        """Apply the plan, verify, and roll back on failure; the verdict is in the result.

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
        began = time.monotonic()
        with step("preflight: reading what a release needs"):
            facts = self._read()
        with refusing(facts):
            items = self._check(facts)
            took_s = time.monotonic() - began
            ui.progress(report.by_exception(items, took_s, all=ui.details_wanted()))
            report.refuse_if_blocked(items)
            self._report(facts)
            return facts, items, self._steps(facts)

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
                # another release may have changed the health meanwhile
                health = self._start_health_snapshot()
            context = DeployContext(
                self.platform,
                self.name,
                facts,
                self.request,
                self.make_display,
                kind=self.action,
                earlier=self._earlier,
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
        now = self._read()
        items = self._check(now)
        report.refuse_if_blocked(items)
        if _to_ask(items) != _to_ask(planned.items):
            self._ask(items)
        plan = self._steps(now)
        if plan == planned.plan:
            return replace(planned.facts, answers=now.answers), plan
        if self.platform.settings.environment.protected and not self.request.yes:
            raise Refused(
                "the world has moved since the plan was shown",
                "another deploy, or a push, came between",
                "run it again",
            )
        ui.progress("the world has moved since; the plan is now:")
        ui.progress(plan.text)
        return now, plan


def _to_ask(items: tuple[Item, ...]) -> tuple[Item, ...]:
    return tuple(item for item in items if item.name == SCHEMA)


def lock_guard(context: DeployContext, ours: lock.HeldLock) -> Callable[[], None]:
    """The guard for each step: the lock must be ours.

    Before the first change that must be certain; later only a lock known to be lost stops a
    deploy or its undo.
    """
    return lambda: ours.check(strict=not service_changed(context))
