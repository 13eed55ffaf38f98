"""Facts about AWS resources: frozen dataclasses, in the terms of the AWS API references.

The `ops.aws` modules return them and the rules read them. The ECS, ECR and ELBv2 API references
describe each field.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypedDict


def image_tag(reference: str) -> str:
    """The tag of an image reference `registry:port/name:tag@digest`, or ""."""
    return reference.partition("@")[0].rpartition("/")[2].partition(":")[2]


def target_group_name(arn: str) -> str:
    """The name in the ARN of a target group; the text itself if it is no such ARN."""
    return arn.split(":targetgroup/")[-1].split("/")[0]


@dataclass(frozen=True)
class Identity:
    """Account and ARN of the credentials (STS GetCallerIdentity)."""

    account: str
    arn: str


@dataclass(frozen=True)
class Deployment:
    """A deployment of an ECS service.

    `rollout_state` is IN_PROGRESS, COMPLETED, FAILED, or None if ECS records none. One that is
    not known here is taken for a deployment that has not ended.
    """

    id: str
    status: str
    task_definition: str
    desired: int
    running: int
    pending: int
    failed: int
    rollout_state: str | None
    rollout_reason: str
    created_at: datetime | None = None

    @property
    def is_under_way(self) -> bool:
        """Whether ECS says that it has not ended."""
        return self.rollout_state not in (None, "COMPLETED", "FAILED")


@dataclass(frozen=True)
class Event:
    """A service event (DescribeServices)."""

    id: str
    at: datetime | None
    message: str


@dataclass(frozen=True)
class LoadBalancer:
    """Where a service registers its tasks: a target group, and the container and port.

    `alternate` is the other target group of a blue/green pair; production alternates between the
    two, by the weights of `production_rule`, the ARN of a listener's rule.
    """

    target_group: str
    container: str
    port: int
    alternate: str = ""
    production_rule: str = ""

    @property
    def target_groups(self) -> tuple[str, ...]:
        """ARNs of the target groups in which tasks may be registered."""
        return (self.target_group, self.alternate) if self.alternate else (self.target_group,)


@dataclass(frozen=True)
class ServiceState:
    """An ECS service (DescribeServices).

    `controller` is ECS, CODE_DEPLOY or EXTERNAL. `strategy` is ROLLING, BLUE_GREEN, LINEAR or
    CANARY. `scheduling` is REPLICA or DAEMON. `bake_s` is how long its deployments stay IN_PROGRESS
    after all new tasks run, by configuration. `alarms` are the names of the CloudWatch alarms that
    can fail its deployments.
    """

    name: str
    status: str
    task_definition: str
    desired: int
    running: int
    pending: int
    deployments: tuple[Deployment, ...]
    events: tuple[Event, ...]
    load_balancers: tuple[LoadBalancer, ...]
    breaker: bool = False
    breaker_rollback: bool = False
    grace_s: int = 0
    security_groups: tuple[str, ...] = ()
    controller: str = "ECS"
    strategy: str = "ROLLING"
    bake_s: float = 0.0
    alarms_rollback: bool = False
    scheduling: str = "REPLICA"
    alarms: tuple[str, ...] = ()

    @property
    def rolls_back(self) -> bool:
        """Whether ECS rolls back a FAILED deployment, by circuit breaker or alarms."""
        return self.breaker_rollback or self.alarms_rollback

    @property
    def is_rolling_out(self) -> bool:
        """Whether a deployment is in progress, or tasks of an earlier one are left."""
        primary = self.primary
        moving = primary is not None and primary.is_under_way
        return moving or len(self.deployments) > 1

    @property
    def primary(self) -> Deployment | None:
        return next(
            (deployment for deployment in self.deployments if deployment.status == "PRIMARY"), None
        )

    @property
    def earlier_revision(self) -> str:
        """The revision ("family:7") of the newest earlier deployment that completed, or ""."""
        primary = self.primary
        found = (
            each.task_definition.rsplit("/", 1)[-1]
            for each in self.deployments
            if primary is not None
            and each.rollout_state == "COMPLETED"
            and each.task_definition != primary.task_definition
        )
        return next(found, "")

    def deployment(self, id: str) -> Deployment | None:
        return next((deployment for deployment in self.deployments if deployment.id == id), None)


@dataclass(frozen=True)
class ContainerState:
    """A container of a task. `exit_code` is None while it runs, or if it never started.

    `essential`: whether its end stops the task, by the task definition; None if that was not read.
    `exec_agent` is the status of its ExecuteCommandAgent, such as RUNNING, or "" if it has none.
    """

    name: str
    image: str
    digest: str | None
    status: str
    exit_code: int | None
    reason: str
    runtime_id: str = ""
    exec_agent: str = ""
    exec_agent_reason: str = ""
    essential: bool | None = None


@dataclass(frozen=True)
class TaskState:
    """A task (DescribeTasks). `started_by` is the id of the deployment that started it.

    `exec_enabled`: whether it was started with enableExecuteCommand. `address`: the private IPv4
    address of its network interface, or "" while it has none.
    """

    arn: str
    status: str
    desired_status: str
    started_by: str
    task_definition: str
    health: str
    stop_code: str
    stopped_reason: str
    containers: tuple[ContainerState, ...]
    created_at: datetime | None = None
    stopped_at: datetime | None = None
    exec_enabled: bool = False
    address: str = ""

    @property
    def id(self) -> str:
        return self.arn.rsplit("/", 1)[-1]

    def container(self, name: str) -> ContainerState | None:
        return next((container for container in self.containers if container.name == name), None)


@dataclass(frozen=True)
class TaskLaunch:
    """How a service starts its tasks: its revision and RunTask's `parameters`.

    `task_definition` is the revision that runs; `newer` is the one that a rollout in progress moves
    to, or "". `exec_enabled` is the service's enableExecuteCommand, for tasks started from now on.
    """

    task_definition: str
    parameters: Mapping[str, Any]
    newer: str = ""
    exec_enabled: bool = False


@dataclass(frozen=True)
class Target:
    """A target of a target group (DescribeTargetHealth); `group` is the ARN of the group."""

    id: str
    port: int
    state: str
    reason: str = ""
    description: str = ""
    group: str = field(default="", compare=False)


@dataclass(frozen=True)
class Alarm:
    """A CloudWatch alarm: its `state` is OK, ALARM or INSUFFICIENT_DATA."""

    name: str
    state: str


@dataclass(frozen=True)
class ScalableTarget:
    """The limits of Application Auto Scaling for a service's desired count.

    `suspended`: neither its policies nor its schedules change the count.
    """

    minimum: int
    maximum: int
    suspended: bool = False


@dataclass(frozen=True)
class TargetGroup:
    """A target group and its health check (DescribeTargetGroups); times in seconds."""

    arn: str
    name: str
    port: int
    health_path: str
    interval_s: int
    healthy_threshold: int
    unhealthy_threshold: int


@dataclass(frozen=True)
class TaskDefinitionArn:
    """The ARN of a task definition's revision; its short form `family:revision` is accepted too."""

    arn: str

    @property
    def label(self) -> str:
        """`family:revision`, as the ECS console shows it."""
        return self.arn.rsplit("/", 1)[-1]

    @property
    def family(self) -> str:
        return self.label.partition(":")[0]

    @property
    def revision(self) -> int | None:
        """The revision's number; None for a family alone."""
        number = self.label.partition(":")[2]
        return int(number) if number.isdecimal() else None


@dataclass(frozen=True)
class ServiceUpdate:
    """An UpdateService call that deployed something (CloudTrail).

    `revision` is empty if the call named none: a new deployment of the same revision. `agent` is
    the caller's user agent.
    """

    at: datetime
    user: str
    agent: str
    revision: str = ""

    @property
    def program(self) -> str:
        """The first product of the user agent, such as `aws-cli/2.15.0`."""
        return (self.agent.split() or [""])[0]

    @property
    def by_terraform(self) -> bool:
        return "terraform" in self.agent.lower()


class NameValue(TypedDict):
    """An environment variable of a container."""

    name: str
    value: str


class SecretReference(TypedDict):
    """An entry of a container's `secrets`."""

    name: str
    valueFrom: str


class PortMapping(TypedDict, total=False):
    """A port that a container opens."""

    containerPort: int
    hostPort: int
    protocol: str


class LogConfiguration(TypedDict, total=False):
    """The log driver of a container, and its options."""

    logDriver: str
    options: dict[str, str]
    secretOptions: list[SecretReference]


class RepositoryCredentials(TypedDict, total=False):
    """The secret with the credentials of a private registry."""

    credentialsParameter: str


class EnvironmentFile(TypedDict, total=False):
    """A file with environment variables: `value` is the ARN of an object in S3."""

    value: str
    type: str


class ContainerDefinition(TypedDict, total=False):
    """A container of a task definition, by the fields that are read here (ECS API)."""

    name: str
    image: str
    essential: bool
    command: list[str]
    entryPoint: list[str]
    environment: list[NameValue]
    secrets: list[SecretReference]
    portMappings: list[PortMapping]
    logConfiguration: LogConfiguration | None
    repositoryCredentials: RepositoryCredentials | None
    environmentFiles: list[EnvironmentFile]


@dataclass(frozen=True)
class TaskDefinition:
    """A task definition revision.

    `document` is complete, as needed to register a new revision; `arn` ends in `family:revision`.
    `newer_fields` are paths of fields in ECS's answer that the installed SDK does not know; a copy
    of the revision would not have them.
    """

    arn: str
    status: str
    architecture: str
    document: Mapping[str, Any]
    newer_fields: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """`family:revision`, as the ECS console shows it."""
        return TaskDefinitionArn(self.arn).label

    @property
    def family(self) -> str:
        return TaskDefinitionArn(self.arn).family

    @property
    def registered_at(self) -> datetime | None:
        """When it was registered; None if ECS does not say."""
        found = self.document.get("registeredAt")
        return found if isinstance(found, datetime) else None

    @property
    def registered_by(self) -> str:
        """Who registered it, without the account (`assumed-role/ci/run-7`); "" if not known."""
        return str(self.document.get("registeredBy") or "").rpartition(":")[2]

    @property
    def containers(self) -> tuple[ContainerDefinition, ...]:
        return tuple(self.document.get("containerDefinitions") or ())

    def container(self, name: str) -> ContainerDefinition | None:
        return next((each for each in self.containers if each.get("name") == name), None)


# ECR's hosts in every partition, dual-stack and FIPS ones included
_ECR_URI = re.compile(
    r"(?P<account>\d{12})\.dkr[.-]ecr(?:-fips)?\.(?P<region>[a-z0-9-]+)\.[a-z0-9.-]+/"
    r"(?P<name>[^:@]+)"
)


@dataclass(frozen=True)
class EcrUri:
    """The repository that an image reference or URI names in ECR.

    A repository has several hosts (dual-stack and FIPS ones), which make no difference here.
    """

    account: str
    region: str
    name: str

    @classmethod
    def parse(cls, reference: str) -> EcrUri | None:
        """The repository of a reference, with or without tag and digest; None outside of ECR."""
        found = _ECR_URI.match(reference)
        return cls(found["account"], found["region"], found["name"]) if found else None


@dataclass(frozen=True)
class Repository:
    """An ECR repository; `uri` is `registry/name`.

    `immutable`: whether its tags never move. `exclusions` are patterns, with `*`, of the tags for
    which the opposite holds.
    """

    name: str
    uri: str
    immutable: bool
    exclusions: tuple[str, ...] = ()

    def is_immutable(self, tag: str) -> bool:
        """Whether this tag never moves."""
        excluded = any(
            re.fullmatch(re.escape(each).replace(r"\*", ".*"), tag) for each in self.exclusions
        )
        return self.immutable is not excluded


@dataclass(frozen=True)
class Image:
    """An image in ECR.

    `revision` and `architecture` come from its configuration; None if it does not state them.
    `architectures` are those of an index of several images; empty for a single one. `tags`: all
    of its tags, if images are listed.
    """

    digest: str
    tag: str
    size: int
    pushed_at: datetime | None
    revision: str | None = None
    architecture: str | None = None
    architectures: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ingress:
    """An inbound rule of a security group (EC2 IpPermission).

    `protocol` "-1" means all protocols; `sources` are security groups, address ranges and prefix
    lists.
    """

    protocol: str
    first: int
    last: int
    sources: tuple[str, ...]


@dataclass(frozen=True)
class Balancer:
    """A load balancer (DescribeLoadBalancers); `groups` are its security groups."""

    name: str
    dns_name: str
    internal: bool
    groups: tuple[str, ...] = ()


@dataclass(frozen=True)
class LogGroupRef:
    """A CloudWatch log group; `account` is set if it was named by ARN."""

    name: str
    region: str
    account: str = ""
    partition: str = "aws"

    @classmethod
    def parse(cls, text: str, region: str) -> LogGroupRef:
        """A group from its name, or from its ARN, which names its Region (`:*` is ignored)."""
        if not text.startswith("arn:"):
            return cls(text, region)
        parts = text.split(":", 6)
        if len(parts) < 7 or parts[5] != "log-group":
            return cls(text, region)
        return cls(parts[6].removesuffix(":*"), parts[3], parts[4], parts[1])

    @property
    def arn(self) -> str:
        return f"arn:{self.partition}:logs:{self.region}:{self.account}:log-group:{self.name}"


@dataclass(frozen=True)
class LogEvent:
    """A log event; `at` is in milliseconds since 1970. `id` is empty in a live tail."""

    at: int
    stream: str
    message: str
    id: str = ""
