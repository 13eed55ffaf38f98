"""The ECS service scheduler: reconciles every service at each tick and ends deployments.

Emulates rolling updates within minimum and maximum healthy percent, replacement of stopped and
unhealthy tasks after the grace period, the circuit breaker with and without rollback, back-off,
superseded deployments, events. A rollback is a new PRIMARY deployment of the last completed
revision; its reason and event name the new deployment's id. Differs from ECS: the grace period is
the shorter of the service's own and `Timing.grace`; an event that would repeat the newest one is
left out; FAILED deployments stay visible until the rollback has completed; alarms are those in
ALARM now, without a bake; lifecycle hooks and zone rebalancing do not exist.
"""

from __future__ import annotations

import traceback

from ops.sandbox.agent import breaker, ecs_messages
from ops.sandbox.agent.reconcile import ServiceView, Start, Stop, TaskView, reconcile
from ops.sandbox.aws import lookups
from ops.sandbox.aws.access import roles
from ops.sandbox.aws.ecs.model import Deployment, Service, Task, deployment_id, utc_now
from ops.sandbox.aws.server import Cloud
from ops.sandbox.aws.targets import Target
from ops.sandbox.contracts import Timing


class Scheduler:
    """Schedules all services of a cloud. Call `tick` from one thread only."""

    def __init__(self, cloud: Cloud, timing: Timing) -> None:
        self.cloud = cloud
        self.ecs = cloud.ecs
        self.timing = timing

    def tick(self, now: float) -> None:
        """Reconcile every service once; `now` in monotonic seconds."""
        with self.ecs.lock:
            for service in list(self.ecs.services.values()):
                try:
                    if service.status != "INACTIVE":
                        self._look_after(service, now)
                except (
                    Exception
                ):  # one bad service must not stop the others; the next tick tries again
                    traceback.print_exc()
            self.ecs.forget_stopped(self.timing.stopped_visible)

    def _look_after(self, service: Service, now: float) -> None:
        self.cloud.scaling.apply(service)
        tasks = self.ecs.of_service(service)
        self._account_for_stopped(service, tasks, now)
        for task in tasks:
            if task.running:
                self._judge_health(service, task, now)
        self._trip_breaker(service)
        self._trip_alarms(service)
        self._carry_out(service, now)
        self._settle(service, now)

    def _account_for_stopped(self, service: Service, tasks: list[Task], now: float) -> None:
        for task in tasks:
            if task.last_status != "STOPPED" or task.accounted:
                continue
            task.accounted = True
            deployment = service.primary
            if task.started_by != deployment.id or task.established or not _failed(task):
                continue
            deployment.failed_tasks += 1
            deployment.updated_at = utc_now()
            deployment.not_before = now + breaker.wait_before_launch(
                deployment.failed_tasks, self.timing.health_interval
            )
            if (
                deployment.failed_tasks >= breaker.FREE_FAILURES
                and not deployment.announced_unstable
            ):
                deployment.announced_unstable = True
                service.say(ecs_messages.UNSTABLE)

    def _judge_health(self, service: Service, task: Task, now: float) -> None:
        if not task.healthy_deadline:
            grace = min(
                float(service.settings.get("healthCheckGracePeriodSeconds") or 0), self.timing.grace
            )
            task.healthy_deadline = now + grace
        if task.health == "UNHEALTHY":
            service.say(ecs_messages.container_unhealthy(task.id))
            task.ask_to_stop("ServiceSchedulerInitiated", ecs_messages.FAILED_CONTAINER_HEALTH)
            return
        if self._healthy(task):
            if not task.established:
                task.established = True
                self._reset_failures(service, task)
            return
        bad = next((target for target in self._targets(task) if target.state == "unhealthy"), None)
        if bad is not None and now >= task.healthy_deadline:
            service.say(
                ecs_messages.unhealthy(
                    bad.port, bad.group, bad.description or "Health checks failed"
                )
            )
            task.ask_to_stop("ServiceSchedulerInitiated", ecs_messages.failed_elb(bad.group))

    def _reset_failures(self, service: Service, task: Task) -> None:
        if task.started_by == service.primary.id:
            service.primary.failed_tasks = 0
            service.primary.not_before = 0.0
            service.primary.announced_unstable = False

    def _healthy(self, task: Task) -> bool:
        """Whether the task is RUNNING and healthy in every target group.

        Without a load balancer: RUNNING for `Timing.steady` seconds.
        """
        if not task.running or task.started_at is None or task.health not in ("", "HEALTHY"):
            return False
        balanced = [each for each in task.load_balancers if each.get("targetGroupArn")]
        if not balanced:
            return (utc_now() - task.started_at).total_seconds() >= self.timing.steady
        targets = self._targets(task)
        return len(targets) == len(balanced) and all(
            target.state == "healthy" for target in targets
        )

    def _targets(self, task: Task) -> list[Target]:
        found = [
            self.cloud.targets.find(
                each["targetGroupArn"], task.address or "", int(each["containerPort"])
            )
            for each in task.load_balancers
            if each.get("targetGroupArn")
        ]
        return [target for target in found if target is not None]

    def _trip_breaker(self, service: Service) -> None:
        enabled, rolls_back = service.breaker()
        failing = service.primary
        if (
            not enabled
            or failing.rollout_state != "IN_PROGRESS"
            or failing.failed_tasks < breaker.threshold(service.desired_count)
        ):
            return
        failing.conclude("FAILED", ecs_messages.BREAKER_FAILED)
        service.say(ecs_messages.failed(failing.id))
        if rolls_back:
            self._roll_back(service, failing)

    def _trip_alarms(self, service: Service) -> None:
        """Fail the deployment while an alarm of the service is in ALARM."""
        alarms = service.settings["deploymentConfiguration"].get("alarms") or {}
        failing = service.primary
        if (
            not alarms.get("enable")
            or failing.rollout_state != "IN_PROGRESS"
            or failing.rollback_of is not None
            or not lookups.any_alarm(alarms.get("alarmNames") or ())
        ):
            return
        failing.conclude("FAILED", ecs_messages.ALARM_FAILED)
        service.say(ecs_messages.failed(failing.id, ecs_messages.ALARM_DETECTED))
        if alarms.get("rollback"):
            self._roll_back(service, failing)

    @staticmethod
    def _roll_back(service: Service, failing: Deployment) -> None:
        """Begin a deployment of the last completed revision; a rollback is not rolled back."""
        good = service.last_completed
        if good is not None and failing.rollback_of is None:
            back = Deployment(
                deployment_id(),
                good.task_definition,
                good.network_configuration,
                good.load_balancers,
            )
            back.rollback_of = failing.id
            back.rollout_reason = ecs_messages.rolling_back_reason(back.id)
            service.begin(back)
            service.say(ecs_messages.rolling_back(back.id))

    def _carry_out(self, service: Service, now: float) -> None:
        live = [task for task in self.ecs.of_service(service) if task.desired_status == "RUNNING"]
        minimum, maximum = service.percentages()
        primary = service.primary
        view = ServiceView(
            service.desired_count,
            minimum,
            maximum,
            primary.id,
            primary.rollout_state != "FAILED"
            and now >= primary.not_before
            and service.status == "ACTIVE",
            tuple(
                TaskView(task.id, task.started_by, self._healthy(task), _age(task)) for task in live
            ),
        )
        actions = reconcile(view)
        if not actions and view.may_start and _has_no_room(view):
            self._say_stuck(service)
        for action in actions:
            match action:
                case Start(count):
                    self._start(service, count, now)
                case Stop(tasks):
                    for identifier in tasks:
                        self.ecs.tasks[identifier].ask_to_stop(
                            "ServiceSchedulerInitiated", ecs_messages.scaling(primary.id)
                        )

    @staticmethod
    def _say_stuck(service: Service) -> None:
        """Say once a deployment that its percentages leave no room."""
        primary = service.primary
        if not primary.announced_stuck:
            primary.announced_stuck = True
            service.say(ecs_messages.STUCK)

    def _start(self, service: Service, count: int, now: float) -> None:
        deployment = service.primary
        cluster, definition = (
            lookups.cluster(service.cluster),
            lookups.task_definition(deployment.task_definition),
        )
        if cluster is None:
            return
        if obstacle := self._obstacle(deployment):
            deployment.failed_tasks += 1
            deployment.not_before = now + breaker.wait_before_launch(
                deployment.failed_tasks, self.timing.health_interval
            )
            if not any(obstacle in each.message for each in list(service.events)[:1]):
                service.say(obstacle)
            return
        made = [
            self.ecs.new_task(
                cluster,
                definition,
                group=f"service:{service.name}",
                started_by=deployment.id,
                service=service.arn,
                network_configuration=deployment.network_configuration,
                load_balancers=deployment.load_balancers,
                enable_execute_command=bool(service.settings.get("enableExecuteCommand")),
            )
            for _ in range(count)
        ]
        service.announced_steady = False
        service.say(ecs_messages.started([task.id for task in made]))

    def _obstacle(self, deployment: Deployment) -> str:
        """The event that says why ECS can launch no task; "" if it can."""
        spec = lookups.launch_spec(deployment.task_definition)
        for role in filter(None, (spec.role, spec.task_role)):
            if not roles.trusts_tasks(role):
                return ecs_messages.role_not_assumed(role)
        refused = self.cloud.placement_refusal
        return ecs_messages.not_placed(refused) if refused else ""

    def _settle(self, service: Service, now: float) -> None:
        """Complete deployments.

        Drained ones are removed, the PRIMARY completes, the service becomes steady or INACTIVE.
        """
        primary = service.primary
        unfinished = [
            task for task in self.ecs.of_service(service) if task.last_status != "STOPPED"
        ]
        for former in service.current[1:]:
            if former.rollout_state != "FAILED" and not any(
                task.started_by == former.id for task in unfinished
            ):
                former.status = "INACTIVE"
        if service.status == "DRAINING" and not unfinished:
            service.status = "INACTIVE"
            return
        if not self._as_wanted(service, unfinished):
            primary.steady_since = None
            return
        primary.steady_since = primary.steady_since or now
        if now - primary.steady_since >= self.timing.steady and primary.rollout_state != "FAILED":
            self._complete(service)

    def _as_wanted(self, service: Service, unfinished: list[Task]) -> bool:
        """Whether exactly the desired tasks of the PRIMARY are healthy and no others remain."""
        return len(unfinished) == service.desired_count and all(
            task.started_by == service.primary.id and self._healthy(task) for task in unfinished
        )

    @staticmethod
    def _complete(service: Service) -> None:
        primary = service.primary
        if primary.rollout_state == "IN_PROGRESS":
            primary.conclude("COMPLETED", ecs_messages.completed_reason(primary.id))
            service.last_completed = primary
            for former in service.current[1:]:
                former.status = "INACTIVE"
            service.say(ecs_messages.completed(primary.id))
        if not service.announced_steady:
            service.announced_steady = True
            service.say(ecs_messages.STEADY)


def _has_no_room(view: ServiceView) -> bool:
    """Whether tasks of an earlier deployment run, and none of the PRIMARY may start."""
    old = [task for task in view.tasks if task.deployment != view.primary]
    return len(old) >= view.desired > 0 and len(old) == len(view.tasks)


def _failed(task: Task) -> bool:
    """Whether ECS counts this stop as a failed task."""
    if task.stop_code in ("TaskFailedToStart", "EssentialContainerExited"):
        return True
    return (task.stopped_reason or "").startswith(
        ("Task failed ELB health checks", ecs_messages.FAILED_CONTAINER_HEALTH)
    )


def _age(task: Task) -> float:
    return (utc_now() - task.created_at).total_seconds()
