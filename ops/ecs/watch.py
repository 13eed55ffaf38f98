"""Watching one deployment, by its id, to its verdict: one DescribeServices a poll, tasks and
targets only when something changed.

The calls are rationed (0.5 a second on average, a little more at the start), except for a stop: an
answer that may mean a stopped task of ours is followed by ListTasks, DescribeTasks and its log at
once, so that its diagnosis stands there within the same look. What cannot be looked at is said once
and left out; a network that drops, or AWS asking for fewer calls, is waited out with growing
pauses."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from ops.aws.facts import ServiceState, Target, TaskState
from ops.core.errors import OpsError
from ops.core.findings import Finding, Verdict
from ops.core.redaction.redact import redact_lines
from ops.ecs.interfaces import Display as Display
from ops.ecs.interfaces import Observer as Observer
from ops.ecs.interfaces import WatchResult as WatchResult
from ops.ecs.observer import ecs_observer as ecs_observer
from ops.ecs.rules import polling
from ops.ecs.rules.stop_diagnosis import GONE, find_cause, stop_finding
from ops.ecs.rules.verdict import (
    SETTLE_S,
    Decision,
    Observation,
    RolloutHistory,
    Settling,
    baking,
    deadline,
    decide,
    remember,
    same_tasks,
    settle,
    unchecked,
    wants_details,
)

_NO_LINES: tuple[str, ...] = ()
_NO_TASKS: tuple[TaskState, ...] = ()
T = TypeVar("T")


def watch(
    eyes: Observer,
    deployment_id: str,
    *,
    timeout_s: float,
    poll_s: float = 4.0,
    screen: Display,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
    follow: bool = False,
    patient: bool = False,
    bounded: bool = False,
    settle_s: float = SETTLE_S,
    service: str = "",
) -> WatchResult:
    """Watch until there is a verdict. Raises OpsError where ECS may not be looked at;
    KeyboardInterrupt passes through.

    `patient`: where the service's circuit breaker rolls back, leave failing tasks to it. `bounded`:
    `timeout_s` includes a bake time. `settle_s`: how long tasks must run that no target group
    checks. `service`: ours, for commands in findings."""
    watching = DeploymentWatch(
        eyes,
        deployment_id,
        timeout_s,
        poll_s,
        screen,
        clock,
        sleep,
        follow,
        patient,
        bounded,
        settle_s,
        service,
    )
    try:
        return watching.to_the_end()
    finally:
        screen.close()


@dataclass
class DeploymentWatch:
    """One watch under way."""

    eyes: Observer
    id: str
    timeout_s: float
    poll_s: float
    screen: Display
    clock: Callable[[], float]
    sleep: Callable[[float], None]
    follow: bool
    patient: bool
    bounded: bool
    settle_s: float
    name: str
    service: ServiceState | None = None
    history: RolloutHistory = field(default_factory=RolloutHistory)
    tasks: tuple[TaskState, ...] = ()
    targets: tuple[Target, ...] = ()
    stopped: dict[str, TaskState] = field(default_factory=dict)
    told: list[tuple[str, object]] = field(
        default_factory=list
    )  # (task, cause) of every stop that was diagnosed
    findings: list[Finding] = field(default_factory=list)
    past: set[str] = field(default_factory=set)  # stops from before the watch that no longer count
    events: set[str] = field(default_factory=set)
    unseen: dict[str, str] = field(default_factory=dict)  # what could not be looked at, and why
    closed: set[str] = field(default_factory=set)  # what is not asked for again
    phase: str = ""
    stage: str = ""  # of a deployment that is not ROLLING
    settling: Settling | None = None
    misses: int = 0
    chase: int = 0
    owed: set[str] = field(
        default_factory=set
    )  # looks that a change asked for and the ration put off
    owed_at: float = 0.0

    def to_the_end(self) -> WatchResult:
        self.began = self.clock()
        self.screen.following(self.id, self.timeout_s)
        while True:
            looked = self.clock()
            decision = self.poll()
            if decision.verdict is not None:
                return self.outcome(decision)
            pause = (
                self.poll_s
                if not self.misses
                else min(self.poll_s * 2**self.misses, polling.LONGEST_PAUSE_S)
            )
            left = self.timeout_s - self.elapsed()
            wanted = max(pause - (self.clock() - looked), self.poll_s / 4)
            self.sleep(min(wanted, left) if left > 0 else wanted)

    def elapsed(self) -> float:
        return self.clock() - self.began

    def poll(self) -> Decision:
        """One look: the service, what its answer asks for, and the decision."""
        previous = self.service
        try:
            found = self.eyes.service()
        except OpsError as error:
            return self.blind(error)
        if self.misses:
            self.screen.line("ECS answers again")
        self.misses = 0
        self.history = remember(self.history, found, self.id, self.elapsed())
        if found is not None:
            self.service = found
            self.details(previous, found)
        decision = self.settled(self.decision(found))
        self.show(decision.phase)
        return decision

    def blind(self, error: OpsError) -> Decision:
        """ECS did not answer: said once, waited out until the time is up. Raises what no waiting
        mends.
        """
        if error.permanent:
            raise error
        if not self.misses:
            self.screen.line(f"cannot see ECS, watching on: {error.why or error.what}")
        self.misses += 1
        sight = self.sight(self.service)
        limit = deadline(sight, self.id, self.timeout_s, bounded=self.bounded)
        if self.elapsed() < limit:
            return Decision(None, self.phase)
        why = f"{limit:g} s passed, and ECS could not be seen at the end: {error.why or error.what}"
        return Decision(Verdict.TIMED_OUT, self.phase, why, baking(sight, self.id))

    def sight(self, service: ServiceState | None) -> Observation:
        return Observation(
            self.elapsed(),
            service,
            tuple(self.stopped.values()),
            self.history,
            self.eyes.container,
            self.stage,
        )

    def decision(self, service: ServiceState | None) -> Decision:
        return decide(
            self.sight(service),
            self.id,
            timeout_s=self.timeout_s,
            patient=self.patient,
            bounded=self.bounded,
        )

    def settled(self, decision: Decision) -> Decision:
        """A success where no target group checks the tasks waits until the same ones have run for
        `settle_s`.
        """
        service = self.service
        if (
            decision.verdict is not Verdict.SUCCEEDED
            or service is None
            or not self.settle_s
            or not unchecked(service, self.id)
        ):
            return decision
        if self.settling is None:
            self.screen.line(
                f"no target group checks these tasks: they must run for {self.settle_s:g} s"
            )
            return self.settle_anew(service)
        over = self.elapsed() - self.settling.since >= self.settle_s
        if over:
            self.diagnose(service)
        found = settle(self.settling, self.sight(service), self.settle_s)
        if found.verdict is not Verdict.SUCCEEDED:
            return found
        running, ours = self.our_running(), service.deployment(self.id)
        if running is None or ours is None or self.elapsed() >= self.timeout_s:
            return decision  # what could not be read is the proof's business
        if same_tasks(self.settling, running, ours.desired):
            return found
        self.screen.line("other tasks run now: they must run as long")
        return self.settle_anew(service)

    def settle_anew(self, service: ServiceState) -> Decision:
        self.diagnose(service)
        self.settling = Settling(
            self.elapsed(), self.our_running() or frozenset(), frozenset(self.stopped)
        )
        return Decision(None, "settling")

    def our_running(self) -> frozenset[str] | None:
        """ARNs of the running tasks of our deployment; None where they could not be read."""
        found: tuple[TaskState, ...] | None = self.optional("tasks", self.eyes.running, None)
        if found is None:
            return None
        self.tasks = found
        return frozenset(
            task.arn for task in found if task.started_by == self.id and task.status == "RUNNING"
        )

    def show(self, phase: str) -> None:
        if phase != self.phase:
            self.phase = phase
            self.screen.phase(phase)

    def details(self, previous: ServiceState | None, service: ServiceState) -> None:
        """Stops first and at once; tasks, targets and logs as the ration allows."""
        if previous is None:
            self.forgive(service)
        changed = wants_details(previous, service)
        self.new_events(service)
        if polling.may_have_stopped_tasks(previous, service, self.id):
            self.chase = polling.FAST_POLLS
        if changed or self.elapsed() - self.owed_at >= polling.HEARTBEAT_S:
            self.owed_at = self.elapsed()
            self.owed |= {"targets", "tasks", "stops"} if previous else {"targets"}
            self.owed |= {"stage"} if service.strategy != "ROLLING" else set()
        if self.chase or self.pays("stops", polling.TASKS_COST):
            self.chase = max(0, self.chase - 1)
            self.diagnose(service)
        if self.pays("stage", polling.STAGE_COST):
            self.stage = self.optional("lifecycle stage", self.eyes.stage, "")
        if self.refresh() or changed:
            left = tuple(task for task in self.tasks if task.arn not in self.stopped)
            self.screen.update(service, (*left, *self.stopped.values()), self.targets)
        ours = tuple(task for task in self.tasks if task.started_by == self.id)
        if self.follow and ours:  # asked for by the operator, so outside the ration
            for line in redact_lines(
                self.optional("logs", lambda: self.eyes.follow(ours), _NO_LINES)
            ):
                self.screen.line(line)

    def forgive(self, service: ServiceState) -> None:
        """A deployment that we find with all its tasks running again has outlived its earlier
        stops: they are no verdict on it.
        """
        ours = service.deployment(self.id)
        if ours and ours.running >= ours.desired > 0:
            self.past = {
                task.arn for task in self.optional("stopped tasks", self.eyes.stopped, _NO_TASKS)
            }

    def refresh(self) -> bool:
        """The table's tasks and targets, each as soon as the ration allows it; whether either was
        looked at.
        """
        if targets := self.pays("targets", polling.TARGETS_COST):
            self.targets = self.optional("targets", self.eyes.targets, self.targets)
        if tasks := self.pays("tasks", polling.TASKS_COST) or (
            self.follow and "tasks" in self.owed
        ):
            self.owed -= {"tasks"}
            self.tasks = self.optional("tasks", self.eyes.running, self.tasks)
        return targets or tasks

    def pays(self, what: str, calls: int) -> bool:
        """Whether `what` is owed and affordable; then it is owed no more."""
        pays = what in self.owed and polling.within_budget(
            calls, made=self.eyes.calls, elapsed_s=self.elapsed()
        )
        self.owed -= {what} if pays else set()
        return pays

    def new_events(self, service: ServiceState) -> None:
        """Oldest first, none from before our deployment (by AWS's own clock), each once."""
        since = self.history.ours.created_at if self.history.ours else None
        for event in polling.unseen_events(service, since, self.events):
            self.events.add(event.id)
            self.screen.event(event)

    def diagnose(self, service: ServiceState) -> None:
        """Each stopped task of ours, once, as soon as it says why. One that does not yet is looked
        at again in the next look.
        """
        listed = self.optional("stopped tasks", self.eyes.stopped, _NO_TASKS)
        ours = {
            task.arn: task
            for task in listed
            if task.started_by == self.id and task.arn not in self.past
        }
        self.stopped.update(ours)
        known = {arn for arn, _ in self.told}
        for task in sorted(ours.values(), key=polling.stopped_order):
            if task.arn in known:
                continue
            if not (task.stopped_reason or task.status in GONE):
                self.chase = max(self.chase, 1)
                continue
            self.tell(task, service)
        counted = service.deployment(self.id)
        if len(self.told) > len(known) and (counted is None or counted.failed <= len(self.told)):
            self.chase = 0

    def tell(self, task: TaskState, service: ServiceState) -> None:
        why = find_cause(task, self.eyes.container)
        before = sum(1 for _, key in self.told if key == why.key)
        self.told.append((task.arn, why.key))
        if not why.failure:
            return
        if before >= polling.MAX_FULL_DIAGNOSES:
            self.screen.line(
                f"task {task.id} stopped too, for the same cause ({before + 1} so far)"
            )
            return
        lines = self.optional("log", lambda: self.eyes.log(task), _NO_LINES)
        if why.code == "ECS-ELB":
            self.targets = self.optional("targets", self.eyes.targets, self.targets)
        ill = tuple(target for target in self.targets if target.state != "healthy")
        said = polling.health_check_events(service, self.id)
        group = service.load_balancers[0].target_group if service.load_balancers else ""
        names = {
            "service": self.name,
            "ecs_service": service.name,
            "target_group": group,
            "aws": self.eyes.aws,
        }
        found = stop_finding(
            task,
            why,
            lines,
            targets=ill,
            said=said,
            log_problem=self.unseen.get("log", ""),
            **names,
        )
        self.findings.append(found)
        self.screen.finding(found)

    def optional(self, what: str, look: Callable[[], T], otherwise: T) -> T:
        """A look that the verdict does not hang on: what it can't see is said, never taken for
        fine, and no reason to stop watching.
        """
        if what in self.closed:
            return otherwise
        try:
            found = look()
        except OpsError as error:
            if what not in self.unseen:
                self.screen.line(f"{what}: unknown: {error.why or error.what}")
            self.unseen[what] = error.why or error.what
            if error.permanent:
                self.closed.add(what)
            return otherwise
        self.unseen.pop(what, None)
        return found

    def outcome(self, decision: Decision) -> WatchResult:
        assert decision.verdict is not None
        if decision.baking:
            self.findings.append(polling.still_baking(decision.why, self.stage, self.name))
            self.screen.finding(self.findings[-1])
        elif decision.verdict is Verdict.TIMED_OUT and self.service and not self.misses:
            self.targets = self.optional("targets", self.eyes.targets, self.targets)
            late = polling.timeout_finding(
                self.id, decision.why, self.service, self.targets, self.name
            )
            self.findings.append(late)
            self.screen.finding(late)
        unseen = "".join(
            f"; {what} could not be looked at: {why}" for what, why in self.unseen.items()
        )
        why = decision.why + (unseen if decision.verdict is not Verdict.SUCCEEDED else "")
        return WatchResult(
            decision.verdict,
            why,
            tuple(self.findings),
            self.id,
            self.elapsed(),
            self.eyes.calls,
            decision.baking,
        )
