"""Read one ECS service, its tasks, targets and logs from AWS, counting the API calls.

Logs are read from where the *task's own* revision sends them (after a rollback the service has
another revision).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial

from ops.aws import ecs, elb
from ops.aws.cloudwatch import alarms, logs
from ops.aws.facts import Alarm, ServiceState, Target, TaskDefinition, TaskState
from ops.aws.session import AwsSession
from ops.core.parallel import try_call
from ops.ecs.rules.stop_diagnosis import responsible_container
from ops.ecs.rules.task_definition_refs import log_options

_LAST_LINES = 20
_NEW_LINES = 200  # of one task between two polls; more would hide everything else


@dataclass
class EcsObserver:
    """Reads of one ECS service.

    `container`: our container, whose log is shown. `calls`: API calls so far, without
    botocore's own retries and without those of `follow`.
    """

    cloud: AwsSession
    cluster: str
    name: str
    container: str
    calls: int = 0
    _groups: tuple[str, ...] = ()
    _definitions: dict[str, TaskDefinition | None] = field(default_factory=dict)
    _tokens: dict[str, str | None] = field(default_factory=dict)

    @property
    def aws(self) -> str:
        """The `aws` program with the options of this environment."""
        return self.cloud.program

    def service(self) -> ServiceState | None:
        """DescribeServices; one call. Raises OpsError."""
        self.calls += 1
        found = ecs.service(self.cloud, self.cluster, self.name)
        if found:
            self._groups = tuple(
                dict.fromkeys(
                    arn for balancer in found.load_balancers for arn in balancer.target_groups
                )
            )
        return found

    def stage(self) -> str:
        """The lifecycle stage of the current service deployment, or an empty string.

        (ListServiceDeployments, DescribeServiceDeployments)
        """
        self.calls += 2
        return ecs.deployment_stage(self.cloud, self.cluster, self.name)

    def stopped(self) -> tuple[TaskState, ...]:
        """The service's tasks that stop or have stopped within about an hour.

        (ListTasks, DescribeTasks)
        """
        return tuple(map(self._with_essential, self._tasks("STOPPED")))

    def running(self) -> tuple[TaskState, ...]:
        """The service's tasks with desired status RUNNING (ListTasks, DescribeTasks)."""
        return self._tasks("RUNNING")

    def _tasks(self, desired: str) -> tuple[TaskState, ...]:
        self.calls += 1
        found = ecs.tasks(self.cloud, self.cluster, self.name, desired)
        self.calls += -(-len(found) // ecs.TASKS_PER_CALL)
        return found

    def targets(self) -> tuple[Target, ...]:
        """DescribeTargetHealth of every target group of the service."""
        found: list[Target] = []
        for group in self._groups:
            self.calls += 1
            found += elb.targets(self.cloud, group)
        return tuple(found)

    def weights(self, service: ServiceState) -> dict[str, int]:
        """The percentage of each target group of a blue/green service (DescribeRules), by ARN."""
        found: dict[str, int] = {}
        rules = (each.production_rule for each in service.load_balancers)
        for rule in dict.fromkeys(rule for rule in rules if rule):
            self.calls += 1
            found.update(elb.rule_weights(self.cloud, rule))
        return found

    def alarms(self, service: ServiceState) -> tuple[Alarm, ...]:
        """The alarms that can fail the service's deployments (DescribeAlarms)."""
        self.calls += 1
        return alarms.alarms(self.cloud, service.alarms)

    def log(self, task: TaskState) -> tuple[str, ...]:
        """The last log lines of the container that stopped, or of ours.

        Empty if the container logs elsewhere or never ran.
        """
        ended = responsible_container(task, self.container)
        where = self._stream(task, ended.name if ended else self.container)
        if where is None:
            return ()
        self.calls += 1
        return logs.last_lines(*where, limit=_LAST_LINES)

    def follow(self, tasks: tuple[TaskState, ...]) -> tuple[str, ...]:
        """New log lines of our container in these tasks, prefixed with the task's short id."""
        found: list[str] = []
        for task in tasks:
            where = self._stream(task, self.container)
            if where is None:
                continue
            new, self._tokens[task.arn] = logs.since(*where, self._tokens.get(task.arn))
            found += [f"{task.id[:12]} {line}" for line in new[-_NEW_LINES:]]
        return tuple(found)

    def _definition(self, task: TaskState) -> TaskDefinition | None:
        if task.task_definition not in self._definitions:
            self.calls += 1
            self._definitions[task.task_definition] = ecs.task_definition(
                self.cloud, task.task_definition
            )
        return self._definitions[task.task_definition]

    def _with_essential(self, task: TaskState) -> TaskState:
        """The task, whose containers say whether they are essential, if that can be read.

        It decides only where several containers have ended.
        """
        if len(task.containers) < 2:
            return task
        definition = try_call(partial(self._definition, task))
        if not isinstance(definition, TaskDefinition):
            return task
        essential = {
            each.get("name"): each.get("essential", True) for each in definition.containers
        }
        containers = tuple(
            replace(each, essential=essential.get(each.name)) for each in task.containers
        )
        return replace(task, containers=containers)

    def _stream(self, task: TaskState, container: str) -> tuple[AwsSession, str, str] | None:
        """Session of the Region, log group and stream by the task's own revision.

        The stream is `prefix/container/task-id`, as the awslogs driver names it.
        """
        definition = self._definition(task)
        options = log_options(definition.container(container) if definition else None)
        group, prefix = options.get("awslogs-group"), options.get("awslogs-stream-prefix")
        if not group or not prefix:
            return None
        cloud = self.cloud.in_region(options.get("awslogs-region") or self.cloud.region)
        return cloud, group, f"{prefix}/{container}/{task.id}"
