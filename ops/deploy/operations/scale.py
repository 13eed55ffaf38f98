"""`inv SERVICE.scale --count N`: set the desired count, watch it, and set it back on failure."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ops.aws import autoscaling, ecs
from ops.aws.facts import ServiceState
from ops.core import findings, ui
from ops.core.apply import Journal, StepHandlers, apply
from ops.core.errors import Detached, OpsError, Refused, Unreachable
from ops.core.findings import Finding, Unknown, Verdict
from ops.core.invocation import invocation
from ops.core.parallel import Reads, try_call
from ops.core.plan import Plan
from ops.core.text import format_count, format_duration
from ops.deploy.context import DeployRequest, RolloutFailed
from ops.deploy.rules.scale import ScaleFacts, SetDesiredCount, WatchCount, plan_scale
from ops.ecs import watch
from ops.ecs.count_watch import CountWatch
from ops.ecs.model import Display, WatchOptions, WatchResult
from ops.platform import Platform
from ops.state import lock
from ops.terraform import files
from ops.terraform.rules.desired_count import sets_desired_count


@dataclass(frozen=True)
class ScaleResult:
    """The result of `scale`. `running` is None if it could not be read at the end."""

    service: str
    environment: str
    before: int
    count: int
    running: int | None
    verdict: Verdict
    why: str
    took_s: float
    plan: Plan
    journal: Journal
    findings: tuple[Finding, ...] = ()

    @property
    def exit_code(self) -> int:
        return self.verdict.exit_code

    @property
    def next(self) -> str:
        """The next command; empty after a success."""
        over = self.verdict is Verdict.SUCCEEDED
        return "" if over else f"inv {self.service}.status"

    @property
    def text(self) -> str:
        verdict = self.verdict.value.replace("_", " ")
        change = f"{self.service} from {self.before} to {format_count(self.count, 'task')}"
        lines = [f"{verdict}  {change} in {format_duration(self.took_s)}"]
        lines.append(f"  {'cause' if self.exit_code else 'state'}    {self.why}")
        lines.extend([f"  next     {self.next}"] if self.next else [])
        lines.extend(f"  {line}" for line in self.journal.left)
        return "\n".join(lines)

    @property
    def document(self) -> dict[str, Any]:
        return {
            "verdict": self.verdict.value,
            "service": self.service,
            "environment": self.environment,
            "before": self.before,
            "count": self.count,
            "running": self.running,
            "took_s": round(self.took_s, 3),
            "why": self.why,
            "next": self.next,
            "notes": list(self.plan.already),
            "steps": [entry.as_document() for entry in self.journal.entries],
            "findings": [findings.as_document(finding) for finding in self.findings],
            "not_undone": list(self.journal.left),
        }


@dataclass
class PlannedScale:
    """The planned change of `inv SERVICE.scale`."""

    platform: Platform
    name: str
    count: int
    request: DeployRequest
    make_display: Callable[[], Display]
    _planned: Plan | None = field(default=None, init=False)

    def preview(self) -> Plan:
        """The plan; raises Refused for a service that cannot have this count."""
        return self._plan()

    def confirm(self, *, yes: bool) -> None:
        """Print the plan, and confirm it in a protected environment. Raises Refused on no."""
        settings = self.platform.settings
        what = f"scale {self.name} to {self.count} in {settings.name}"
        if not self.count:
            what += ": no task runs then, and the service answers nothing"
        if settings.environment.protected and not yes:
            ui.refuse_unanswerable(what)
        self._planned = self._plan()
        ui.progress(self._planned.text)
        if settings.environment.protected and self._planned.steps:
            ui.confirm(what, yes=yes, typed=settings.name)

    def apply(self) -> ScaleResult:
        """Set and watch the count under the service's lock; set it back on failure."""
        assert self._planned is not None  # by `confirm`
        me = lock.myself(f"scale to {self.count}", "")
        location = lock.LockLocation.of(self.platform.cloud, self.platform.settings, self.name)
        with lock.hold(location, me, wait_s=self.request.lock_wait_s) as ours:
            plan = self._plan()
            if plan != self._planned:
                self._confirm_changed(plan)
            run = _ScaleRun(self, plan)
            if ours:
                run.journal.guard = lambda: ours.check(strict=not run.journal.entries)
            return run.carry_out()

    def _confirm_changed(self, plan: Plan) -> None:
        """Print a plan that changed before we had the lock; refuse it if it was confirmed."""
        if self.platform.settings.environment.protected and not self.request.yes:
            why = "another run came between"
            raise Refused("the service has changed since the plan was printed", why, "run it again")
        ui.progress("the service has changed since; the plan is now:")
        ui.progress(plan.text)

    def _plan(self) -> Plan:
        """Read the facts and make the plan."""
        cloud, cluster = self.platform.cloud, self.platform.settings.environment.cluster
        service = self.platform.settings.service(self.name).ecs_service
        state = ecs.service(cloud, cluster, service)
        with Reads() as reads:
            target = reads.submit(autoscaling.scalable_target, cloud, cluster, service)
            terraform = reads.submit(self._terraform_sets_count)
        resource = autoscaling.resource_id(cluster, service)
        facts = ScaleFacts(state, target.value, terraform.value)
        return plan_scale(facts, self.name, self.count, aws=cloud.program, resource=resource)

    def _terraform_sets_count(self) -> bool | Unknown | None:
        """Whether Terraform's files set the count; None without Terraform."""
        settings = self.platform.settings
        if settings.environment.terraform is None:
            return None
        directory = settings.source / settings.environment.terraform.directory
        if not directory.is_dir():
            return Unknown(f"there is no folder {directory}")
        sets = sets_desired_count(block.body for block in files.service_blocks(directory))
        if sets is None:
            return Unknown("its files do not tell which resource is this service's")
        return sets


@dataclass
class _ScaleRun:
    """One change of the count in progress: what its steps learn."""

    planned: PlannedScale
    plan: Plan
    journal: Journal = field(default_factory=lambda: Journal(ui.progress))
    result: WatchResult | None = None
    rollback: WatchResult | None = None
    earlier_stops: frozenset[str] = frozenset()

    @property
    def platform(self) -> Platform:
        return self.planned.platform

    def carry_out(self) -> ScaleResult:
        """Apply the plan to a verdict. Errors before the count was set are raised."""
        began = time.monotonic()
        handlers = StepHandlers()
        handlers.add(SetDesiredCount, self.set_count, self.undo)
        handlers.add(WatchCount, self.watch_count)
        why, verdict = "", Verdict.SUCCEEDED
        try:
            apply(self.plan, handlers, self.journal)
            why = self.result.why if self.result else "it runs that many tasks already"
        except Detached:
            verdict, why = Verdict.STARTED, "detached: nothing watches the new tasks any more"
        except RolloutFailed as ended:
            verdict, why = self._after_undo(ended.verdict), ended.why
        except KeyboardInterrupt as interruption:
            verdict, why = Verdict.INTERRUPTED, str(interruption) or "interrupted"
        except OpsError as error:
            if not self._changed:
                raise
            verdict, why = self._after_undo(Verdict.FAILED), error.why or error.what
        for contact in self.platform.settings.environment.contacts if verdict.exit_code else ():
            ui.progress(f"contact: {contact}")
        state = try_call(self._state)
        running = state.running if isinstance(state, ServiceState) else None
        before = next((each.before for each in self._counted), self.planned.count)
        return ScaleResult(
            self.planned.name,
            self.platform.settings.name,
            before,
            self.planned.count,
            running,
            verdict,
            why,
            time.monotonic() - began,
            self.plan,
            self.journal,
            self.result.findings if self.result else (),
        )

    @property
    def _counted(self) -> list[SetDesiredCount]:
        return [step for step in self.plan.steps if isinstance(step, SetDesiredCount)]

    @property
    def _changed(self) -> bool:
        return any(
            isinstance(entry.step, SetDesiredCount) and entry.status != "refused"
            for entry in self.journal.entries
        )

    def _after_undo(self, verdict: Verdict) -> Verdict:
        undone = self.rollback is not None and self.rollback.verdict is Verdict.SUCCEEDED
        return Verdict.ROLLED_BACK if verdict is Verdict.FAILED and undone else verdict

    def set_count(self, step: SetDesiredCount) -> None:
        self._send(step.service, step.count)

    def watch_count(self, step: WatchCount) -> None:
        """Watch the tasks; raise RolloutFailed unless as many run as are desired."""
        limit = self.planned.request.timeout_s
        notice = (
            f"the count stays {step.count}, and from then on nothing sets it back or checks it",
            f"to attach again: {invocation.as_typed(f'inv {self.planned.name}.status --watch')}",
        )
        result = self.result = self._watch(step.deployment, step.count, limit, step.before, notice)
        if result.verdict is not Verdict.SUCCEEDED:
            raise RolloutFailed(result.verdict, result.why)

    def undo(self, step: SetDesiredCount) -> None:
        """Set the count back, unless something else has set it meanwhile."""
        if self.result and self.result.verdict is Verdict.SUPERSEDED:
            return
        state = try_call(self._state)
        if isinstance(state, ServiceState) and state.desired not in (step.before, step.count):
            why = f"the desired count is {state.desired} now; something else has set it"
            raise Refused(f"setting it back to {step.before}", why, self._status)
        ui.progress(f"setting the desired count back to {step.before}")
        self._send(step.service, step.before)
        self.rollback = self._watch(step.deployment, step.before, None, step.count)
        if self.rollback.verdict is not Verdict.SUCCEEDED:
            raise RolloutFailed(self.rollback.verdict, self.rollback.why)

    @property
    def _status(self) -> str:
        return f"inv {self.planned.name}.status"

    def _send(self, service: str, count: int) -> None:
        """Set the count; if AWS's answer was lost, read whether it was set."""
        cluster = self.platform.settings.environment.cluster
        stopped = try_call(self._observer().stopped)
        if not isinstance(stopped, Unknown):
            self.earlier_stops = frozenset(task.arn for task in stopped)
        try:
            ecs.set_desired_count(self.platform.cloud, cluster, service, count)
        except Unreachable as lost:
            state = try_call(self._state)
            if not isinstance(state, ServiceState) or state.desired != count:
                raise
            ui.progress(f"  {lost.why}; the count was set all the same")

    def _state(self) -> ServiceState | None:
        settings = self.platform.settings
        name = settings.service(self.planned.name).ecs_service
        return ecs.service(self.platform.cloud, settings.environment.cluster, name)

    def _observer(self) -> watch.EcsObserver:
        settings = self.platform.settings
        service = settings.service(self.planned.name)
        cluster = settings.environment.cluster
        return watch.EcsObserver(
            self.platform.cloud, cluster, service.ecs_service, service.container
        )

    def _watch(
        self,
        deployment: str,
        count: int,
        timeout_s: float | None,
        before: int,
        detach: tuple[str, ...] = (),
    ) -> WatchResult:
        """Watch until `count` tasks run; tasks that were added must also settle."""
        environment = self.platform.settings.environment
        settle_s = self.platform.settings.service(self.planned.name).settle
        return CountWatch(
            observer=self._observer(),
            id=deployment,
            timeout_s=timeout_s or environment.deploy_timeout,
            poll_s=environment.poll,
            display=self.planned.make_display(),
            clock=time.monotonic,
            sleep=self._pause,
            follow=self.planned.request.follow,
            leave_to_circuit_breaker=False,
            timeout_includes_bake=False,
            settle_s=settle_s if count > before else 0.0,
            options=WatchOptions(self.planned.name, detach, "set it back" if detach else "stop"),
            count=count,
            lowers=count < before,
            earlier_stops=self.earlier_stops,
        ).watch()

    def _pause(self, seconds: float) -> None:
        time.sleep(seconds)
        self.journal.guard()
