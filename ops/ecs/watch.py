"""Watch one deployment, by its id, until it has a verdict.

Each poll is one DescribeServices; tasks and targets are read only when something changed.

Calls are limited to 0.5 a second on average, slightly more at the start. Stopped tasks are the
exception: when an answer may mean that one of our tasks stopped, ListTasks, DescribeTasks and its
log are read at once, so that the diagnosis appears within the same poll. Reads that fail are
reported once and left out; lost connections and throttling are retried with growing pauses.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeVar

from ops.aws.facts import ServiceState, Target, TaskState
from ops.core.errors import OpsError
from ops.core.findings import Finding, Verdict
from ops.core.redaction.redact import redact_lines
from ops.ecs.model import NO_OPTIONS, NO_TRAFFIC, Display, TrafficState, WatchOptions, WatchResult
from ops.ecs.observer import EcsObserver as EcsObserver
from ops.ecs.rules import polling
from ops.ecs.rules.stop_diagnosis import GONE, find_cause, same_failure, stop_finding
from ops.ecs.rules.verdict.observation import (
    Decision,
    Observation,
    RolloutHistory,
    remember,
    wants_details,
)
from ops.ecs.rules.verdict.rollout import baking, deadline, decide
from ops.ecs.rules.verdict.settling import Settling, same_tasks, settle, settle_time

_NO_LINES: tuple[str, ...] = ()
_NO_TASKS: tuple[TaskState, ...] = ()
T = TypeVar("T")


def watch(
    observer: EcsObserver,
    deployment_id: str,
    *,
    timeout_s: float,
    poll_s: float = 4.0,
    display: Display,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
    follow: bool = False,
    leave_to_circuit_breaker: bool = False,
    timeout_includes_bake: bool = False,
    settle_s: float | None = None,
    options: WatchOptions = NO_OPTIONS,
) -> WatchResult:
    """Watch a deployment until there is a verdict.

    Raises OpsError if ECS may not be read, Detached for `q`; KeyboardInterrupt passes through.

    `leave_to_circuit_breaker`: if the service's circuit breaker rolls back, leave failing tasks
    to it. `timeout_includes_bake`: `timeout_s` includes a bake time. `settle_s`: how long the
    tasks must run after the rollout completed; None: 30 s if no target group checks them, else 0.
    `options.service`: our name for the service, for commands in findings.
    """
    deployment_watch = DeploymentWatch(
        observer,
        deployment_id,
        timeout_s,
        poll_s,
        display,
        clock,
        sleep,
        follow,
        leave_to_circuit_breaker,
        timeout_includes_bake,
        settle_s,
        options,
    )
    try:
        return deployment_watch.run()
    finally:
        display.close()


@dataclass
class DeploymentWatch:
    """The state of one watch in progress."""

    observer: EcsObserver
    id: str
    timeout_s: float
    poll_s: float
    display: Display
    clock: Callable[[], float]
    sleep: Callable[[float], None]
    follow: bool
    leave_to_circuit_breaker: bool
    timeout_includes_bake: bool
    settle_s: float | None
    options: WatchOptions
    service: ServiceState | None = None
    history: RolloutHistory = field(default_factory=RolloutHistory)
    tasks: tuple[TaskState, ...] = ()
    targets: tuple[Target, ...] = ()
    traffic: TrafficState = NO_TRAFFIC
    stopped: dict[str, TaskState] = field(default_factory=dict)
    diagnosed: list[tuple[str, object]] = field(
        default_factory=list
    )  # (task, cause) of every diagnosed stop
    findings: list[Finding] = field(default_factory=list)
    ignored_stops: set[str] = field(default_factory=set)  # stops from before the watch
    events: set[str] = field(default_factory=set)
    failed_reads: dict[str, str] = field(default_factory=dict)  # what could not be read, and why
    denied_reads: set[str] = field(default_factory=set)  # reads that are not repeated
    phase: str = ""
    stage: str = ""  # of a deployment that is not ROLLING
    settling: Settling | None = None
    failed_polls: int = 0
    fast_polls_left: int = 0
    pending_reads: set[str] = field(
        default_factory=set
    )  # reads that a change calls for, delayed by the call budget
    last_heartbeat: float = 0.0

    def run(self) -> WatchResult:
        """Poll until there is a verdict, and return the result."""
        self.began = self.clock()
        self.display.following(self.id, self.timeout_s, self.options)
        while True:
            polled_at = self.clock()
            decision = self.poll()
            if decision.verdict is not None:
                return self.finish(decision)
            pause = (
                self.poll_s
                if not self.failed_polls
                else min(self.poll_s * 2**self.failed_polls, polling.LONGEST_PAUSE_S)
            )
            left = self.timeout_s - self.elapsed()
            wanted = max(pause - (self.clock() - polled_at), self.poll_s / 4)
            self.display.wait(min(wanted, left) if left > 0 else wanted, self.sleep)

    @property
    def name(self) -> str:
        """Our name for the service, for commands in findings."""
        return self.options.service

    def elapsed(self) -> float:
        return self.clock() - self.began

    def poll(self) -> Decision:
        """Read the service, the details that its answer calls for, and decide."""
        previous = self.service
        try:
            found = self.observer.service()
        except OpsError as error:
            return self.on_poll_error(error)
        if self.failed_polls:
            self.display.line("ECS answers again")
        self.failed_polls = 0
        self.history = remember(self.history, found, self.id, self.elapsed())
        if found is not None:
            self.service = found
            self.read_details(previous, found)
        decision = self.settle(self.decision(found))
        self.report_phase(decision.phase)
        return decision

    def on_poll_error(self, error: OpsError) -> Decision:
        """Report a failed poll once and keep polling until the timeout.

        Raises permanent errors.
        """
        if error.permanent:
            raise error
        if not self.failed_polls:
            self.display.line(f"cannot see ECS, watching on: {error.why or error.what}")
        self.failed_polls += 1
        observation = self.observe(self.service)
        limit = deadline(
            observation, self.id, self.timeout_s, timeout_includes_bake=self.timeout_includes_bake
        )
        if self.elapsed() < limit:
            return Decision(None, self.phase)
        why = f"{limit:g} s passed, and ECS could not be read at the end: {error.why or error.what}"
        return Decision(Verdict.TIMED_OUT, self.phase, why, baking(observation, self.id))

    def observe(self, service: ServiceState | None) -> Observation:
        return Observation(
            self.elapsed(),
            service,
            tuple(self.stopped.values()),
            self.history,
            self.observer.container,
            self.stage,
        )

    def decision(self, service: ServiceState | None) -> Decision:
        return decide(
            self.observe(service),
            self.id,
            timeout_s=self.timeout_s,
            leave_to_circuit_breaker=self.leave_to_circuit_breaker,
            timeout_includes_bake=self.timeout_includes_bake,
        )

    def settle(self, decision: Decision) -> Decision:
        """Delay a success until the same tasks have run for the settle time."""
        service = self.service
        if decision.verdict is not Verdict.SUCCEEDED or service is None:
            return decision
        settle_s = settle_time(self.settle_s, service, self.id)
        if not settle_s:
            return decision
        if self.settling is None:
            what = (
                "all tasks"
                if service.load_balancers
                else "no target group checks these tasks: they"
            )
            self.display.line(f"{what} must run for {settle_s:g} s before this succeeds")
            return self.restart_settling(service)
        over = self.elapsed() - self.settling.since >= settle_s
        if over:
            self.diagnose(service)
        found = settle(self.settling, self.observe(service), settle_s)
        if found.verdict is not Verdict.SUCCEEDED:
            return found
        running, ours = self.our_running_tasks(), service.deployment(self.id)
        if running is None or ours is None or self.elapsed() >= self.timeout_s:
            return decision  # the verification reports what could not be read
        if same_tasks(self.settling, running, ours.desired):
            return found
        self.display.line("other tasks run now: they must run as long")
        return self.restart_settling(service)

    def restart_settling(self, service: ServiceState) -> Decision:
        self.diagnose(service)
        self.settling = Settling(
            self.elapsed(), self.our_running_tasks() or frozenset(), frozenset(self.stopped)
        )
        return Decision(None, "settling")

    def our_running_tasks(self) -> frozenset[str] | None:
        """ARNs of the running tasks of our deployment; None if they could not be read."""
        found: tuple[TaskState, ...] | None = self.try_read("tasks", self.observer.running, None)
        if found is None:
            return None
        self.tasks = found
        return frozenset(
            task.arn for task in found if task.started_by == self.id and task.status == "RUNNING"
        )

    def report_phase(self, phase: str) -> None:
        if phase != self.phase:
            self.phase = phase
            self.display.phase(phase)

    def read_details(self, previous: ServiceState | None, service: ServiceState) -> None:
        """Read stopped tasks at once, and tasks, targets and logs as the call budget allows."""
        if previous is None:
            self.ignore_earlier_stops(service)
        changed = wants_details(previous, service)
        self.report_events(service)
        if polling.may_have_stopped_tasks(previous, service, self.id):
            self.fast_polls_left = polling.FAST_POLLS
        if changed or self.elapsed() - self.last_heartbeat >= polling.HEARTBEAT_S:
            self.last_heartbeat = self.elapsed()
            live = {"tasks"} if self.display.is_live else set()
            self.pending_reads |= {"targets", "tasks", "stops"} if previous else {"targets", *live}
            self.pending_reads |= {"stage", "weights"} if service.strategy != "ROLLING" else set()
            self.pending_reads |= {"alarms"} if service.alarms else set()
        if self.fast_polls_left or self.try_spend("stops", polling.TASKS_COST):
            self.fast_polls_left = max(0, self.fast_polls_left - 1)
            self.diagnose(service)
        if self.try_spend("stage", polling.STAGE_COST):
            self.stage = self.try_read("lifecycle stage", self.observer.stage, "")
        if self.refresh_table(service) or changed:
            left = tuple(task for task in self.tasks if task.arn not in self.stopped)
            tasks = (*left, *self.stopped.values())
            self.display.update(service, tasks, self.targets, self.traffic)
        self.follow_logs()

    def follow_logs(self) -> None:
        """Show new log lines of our tasks if the operator wants them; not limited by the budget."""
        wanted = self.display.shows_logs
        ours = tuple(task for task in self.tasks if task.started_by == self.id)
        if ours and (self.follow if wanted is None else wanted):
            lines = self.try_read("logs", lambda: self.observer.follow(ours), _NO_LINES)
            self.display.log_lines(tuple(redact_lines(lines)))

    def ignore_earlier_stops(self, service: ServiceState) -> None:
        """Ignore earlier stops if all tasks of the deployment run when the watch begins."""
        ours = service.deployment(self.id)
        if ours and ours.running >= ours.desired > 0:
            self.ignored_stops = {
                task.arn
                for task in self.try_read("stopped tasks", self.observer.stopped, _NO_TASKS)
            }

    def refresh_table(self, service: ServiceState) -> bool:
        """Read tasks, targets, weights and alarms within the call budget.

        Returns whether either was read.
        """
        ours = [task.status for task in self.tasks if task.started_by == self.id]
        starting = not ours or any(status != "RUNNING" for status in ours)
        wanted = self.follow or (self.display.is_live and starting)
        urgent = {"tasks"} if wanted else set()
        urgent |= {"targets"} if wanted and self.display.is_live else set()
        urgent &= self.pending_reads
        self.pending_reads -= urgent
        if targets := "targets" in urgent or self.try_spend("targets", polling.TARGETS_COST):
            self.targets = self.try_read("targets", self.observer.targets, self.targets)
        if tasks := "tasks" in urgent or self.try_spend("tasks", polling.TASKS_COST):
            self.tasks = self.try_read("tasks", self.observer.running, self.tasks)
        return self.read_traffic(service) or targets or tasks

    def read_traffic(self, service: ServiceState) -> bool:
        """Read the weights and the alarms; whether either was read."""
        before, traffic = self.traffic, self.traffic
        if self.try_spend("weights", polling.WEIGHTS_COST):
            weights = self.try_read(
                "weights", lambda: self.observer.weights(service), before.weights
            )
            traffic = replace(traffic, weights=weights)
        if self.try_spend("alarms", polling.ALARMS_COST):
            alarms = self.try_read("alarms", lambda: self.observer.alarms(service), before.alarms)
            traffic = replace(traffic, alarms=alarms)
        self.traffic = traffic
        return traffic is not before

    def try_spend(self, what: str, calls: int) -> bool:
        """Whether the read `what` is pending and within the call budget; if so, mark it done."""
        spends = what in self.pending_reads and polling.within_budget(
            calls, made=self.observer.calls, elapsed_s=self.elapsed(), poll_s=self.poll_s
        )
        self.pending_reads -= {what} if spends else set()
        return spends

    def report_events(self, service: ServiceState) -> None:
        """Report each new event once, oldest first.

        Events from before our deployment, by AWS's clock, are left out.
        """
        since = self.history.ours.created_at if self.history.ours else None
        for event in polling.unseen_events(service, since, self.events):
            self.events.add(event.id)
            self.display.event(event)

    def diagnose(self, service: ServiceState) -> None:
        """Diagnose each stopped task of ours once, as soon as it has a stop reason.

        A task that has none yet is read again in the next poll.
        """
        listed = self.try_read("stopped tasks", self.observer.stopped, _NO_TASKS)
        ours = {
            task.arn: task
            for task in listed
            if task.started_by == self.id and task.arn not in self.ignored_stops
        }
        self.stopped.update(ours)
        known = {arn for arn, _ in self.diagnosed}
        for task in sorted(ours.values(), key=polling.stopped_order):
            if task.arn in known:
                continue
            if not (task.stopped_reason or task.status in GONE):
                self.fast_polls_left = max(self.fast_polls_left, 1)
                continue
            self.diagnose_task(task, service)
        counted = service.deployment(self.id)
        if len(self.diagnosed) > len(known) and (
            counted is None or counted.failed <= len(self.diagnosed)
        ):
            self.fast_polls_left = 0

    def diagnose_task(self, task: TaskState, service: ServiceState) -> None:
        """Report why a task stopped; one line if the cause was reported before."""
        why = find_cause(task, self.observer.container)
        before = sum(1 for _, key in self.diagnosed if key == why.key)
        self.diagnosed.append((task.arn, why.key))
        if not why.failure:
            return
        if before >= polling.MAX_FULL_DIAGNOSES:
            self.display.line(
                f"task {task.id} stopped too, for the same cause ({before + 1} so far)"
            )
            return
        lines = self.try_read("log", lambda: self.observer.log(task), _NO_LINES)
        if why.code == "ECS-ELB":
            self.targets = self.try_read("targets", self.observer.targets, self.targets)
        unhealthy = tuple(target for target in self.targets if target.state != "healthy")
        events = polling.health_check_events(service, self.id)
        first = service.load_balancers[0].target_group if service.load_balancers else ""
        group = next((each.group for each in unhealthy if each.group), first)
        names = {
            "service": self.name,
            "ecs_service": service.name,
            "target_group": group,
            "aws": self.observer.aws,
            # a deploy that rolls back by itself offers no rollback
            "earlier": service.earlier_revision if self.leave_to_circuit_breaker else "",
        }
        found = stop_finding(
            task,
            why,
            lines,
            targets=unhealthy,
            events=events,
            log_problem=self.failed_reads.get("log", ""),
            **names,
        )
        same = next((each for each in self.findings if same_failure(each, found)), None)
        self.findings.append(found)
        if same:
            self.display.line(f"{found.summary} [{found.cause}]: as above")
        else:
            self.display.finding(found)

    def try_read(self, what: str, read: Callable[[], T], otherwise: T) -> T:
        """Read optional information; report a failure once and return `otherwise`.

        Denied reads are not repeated.
        """
        if what in self.denied_reads:
            return otherwise
        try:
            found = read()
        except OpsError as error:
            if what not in self.failed_reads:
                self.display.line(f"{what}: unknown: {error.why or error.what}")
            self.failed_reads[what] = error.why or error.what
            if error.permanent:
                self.denied_reads.add(what)
            return otherwise
        self.failed_reads.pop(what, None)
        return found

    def finish(self, decision: Decision) -> WatchResult:
        """The result of the watch; a timeout gets a finding of its own."""
        assert decision.verdict is not None
        if decision.baking:
            self.findings.append(polling.still_baking(decision.why, self.stage, self.name))
            self.display.finding(self.findings[-1])
        elif decision.verdict is Verdict.TIMED_OUT and self.service and not self.failed_polls:
            self.targets = self.try_read("targets", self.observer.targets, self.targets)
            late = polling.timeout_finding(
                self.id, decision.why, self.service, self.targets, self.name
            )
            self.findings.append(late)
            self.display.finding(late)
        unread = "".join(
            f"; {what} could not be read: {why}" for what, why in self.failed_reads.items()
        )
        why = decision.why + (unread if decision.verdict is not Verdict.SUCCEEDED else "")
        return WatchResult(
            decision.verdict,
            why,
            tuple(self.findings),
            self.id,
            self.elapsed(),
            self.observer.calls,
            decision.baking,
        )
