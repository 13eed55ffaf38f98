"""The contracts between the sandbox's components: paths, timing, ECR, container runtime.

Nothing here starts anything. Components depend on these types only, so each can be tested against
the real service that it emulates.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

ACCOUNT = "123456789012"
REGION = "us-east-1"
# moto's RDS host name, which no resolver knows
DATABASE_HOST = f"davidshaevel-dev-db.aaaaaaaaaa.{REGION}.rds.amazonaws.com"
OPERATOR = "operator"  # the user that the bastion accepts

FIXED = "fixed:"  # prefix of a fixed response: `fixed:STATUS CONTENT-TYPE BODY`
REDIRECT = "redirect:"  # prefix of a redirect action: `redirect:STATUS HOST PATH QUERY`


@dataclass(frozen=True)
class Paths:
    """The files of a sandbox: everything below `root` (`.sandbox/` of one checkout)."""

    root: Path

    @property
    def record(self) -> Path:
        return self.root / "supervisor.json"

    @property
    def overlay(self) -> Path:
        return self.root / "environment.yaml"

    @property
    def authority(self) -> Path:
        return self.root / "site-ca.pem"

    @property
    def faults(self) -> Path:
        return self.root / "faults.json"

    @property
    def token(self) -> Path:
        return self.root / "control.token"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def images(self) -> Path:
        return self.root / "images"

    @property
    def postgres(self) -> Path:
        return self.root / "postgres"

    @property
    def bastion(self) -> Path:
        return self.root / "bastion"

    @property
    def platform(self) -> Path:
        return self.root / "platform"

    @property
    def origin(self) -> Path:
        return self.root / "origin.git"

    @property
    def tasks(self) -> Path:
        return self.root / "tasks"


@dataclass(frozen=True)
class Timing:
    """Durations of the emulated AWS operations, in seconds.

    AWS's own figures are in the comments (facts.md "Times seen"). The durations are shorter here,
    but no state is skipped.
    """

    tick: float = 0.3  # the scheduler's loop
    provision: float = 0.4  # PROVISIONING: network interface (AWS: 10-20 s)
    pull: float = 0.3  # PENDING: image pull (AWS: 5-60 s)
    health_interval: float = 1.0  # target group probe interval (AWS: the target group's own, 30 s)
    health_timeout: float = 1.0  # (AWS: 5 s)
    deregistration_delay: float = 1.5  # draining (AWS: 30-300 s)
    stop_timeout: float = 2.0  # SIGTERM to SIGKILL (AWS: 30 s)
    grace: float = 20.0  # health check grace period (AWS: 60 s)
    steady: float = 1.0  # running and healthy before COMPLETED
    stopped_visible: float = 3600.0  # a stopped task stays describable for about an hour
    invalidation: float = 3.0  # CloudFront invalidation (AWS: 3-5 min)
    snapshot: float = 2.0  # RDS snapshot (AWS: minutes)
    database: float = 2.0  # a stopped RDS instance to start, or one to stop (AWS: minutes)
    latency: float = (
        0.0  # added to every AWS call, and to every page at the edge: the distance to AWS
    )


class PullError(Exception):
    """An image could not be pulled.

    `str()` is the stoppedReason as ECS words it (`CannotPullContainerError: ...`).
    """


class StartError(Exception):
    """A container could not be started.

    `str()` is the container's reason as ECS words it (`CannotStartContainerError: ...`).
    """


@dataclass(frozen=True)
class ContainerSpec:
    """One container to start, resolved by the agent from a task definition."""

    task_id: str
    name: str
    image: str  # host:port/repo:tag or ...@sha256:...
    address: str  # the task's own loopback address; processes get it as HOST
    environment: Mapping[str, str]  # plain environment and resolved secrets
    log: Callable[[str], None]  # called once a line of stdout or stderr, without its newline
    command: tuple[str, ...] | None = None  # overrides the image's CMD
    entry_point: tuple[str, ...] | None = None  # overrides the image's ENTRYPOINT
    ports: tuple[int, ...] = ()
    working_directory: str | None = None


class Container(Protocol):
    """A started container: a process in its own session, or a Docker container."""

    digest: str  # imageDigest as DescribeTasks shows it, sha256:...
    pid: int | None

    def poll(self) -> int | None:
        """Return the exit code (128+signal when killed), or None while it runs."""

    def stop(self, timeout: float) -> int:
        """Send SIGTERM, then SIGKILL after `timeout` seconds; return the exit code. Idempotent."""


class Runtime(Protocol):
    """The container runtime that the agent uses."""

    def pull(self, image: str, platform: str) -> str:
        """Make `image` available for `platform` (linux/amd64) and return its digest.

        Raises PullError.
        """

    def start(self, spec: ContainerSpec) -> Container:
        """Start one container. Raises PullError or StartError."""


@dataclass(frozen=True)
class EcrRepository:
    name: str
    immutable: bool


class EcrBackend(Protocol):
    """The registry's access to (moto's) ECR, implemented by the AWS endpoint."""

    def authorized(self, token: str) -> bool:
        """Whether GetAuthorizationToken issued `token` and it has not expired.

        The token is the password after `AWS:` in Basic authentication.
        """

    def repository(self, name: str) -> EcrRepository | None:
        """Return the repository, or None if ECR has no repository of that name."""

    def digest(self, name: str, tag: str) -> str | None:
        """Return the digest that `tag` refers to in ECR, or None."""

    def has_image(self, name: str, digest: str) -> bool:
        """Whether ECR holds this manifest.

        BatchDeleteImage removes it here first, while the blob store may still hold it.
        """

    def put_image(
        self, name: str, tag: str | None, digest: str, manifest: bytes, media_type: str, size: int
    ) -> None:
        """Record a pushed manifest (PutImage).

        `size` is in bytes (config and layers), reported as imageSizeInBytes.
        """


@dataclass(frozen=True)
class TargetState:
    """One target as the load balancer sees it (DescribeTargetHealth)."""

    address: str
    port: int
    state: str  # initial | healthy | unhealthy | draining
    reason: str | None = (
        # Elb.InitialHealthChecking, Target.ResponseCodeMismatch, Target.Timeout,
        # Target.FailedHealthChecks ...
        None
    )
    description: str | None = None
    reachable: bool = True  # false: a security group drops what the load balancer sends


class LoadBalancerBackend(Protocol):
    """The edge's access to the AWS side, queried on every request."""

    def route(self, path: str) -> str | None:
        """Return the target group (ARN) or redirect that the ALB's rules select for `path`.

        A redirect starts with `REDIRECT`, a fixed response with `FIXED`. None if no listener
        answers.
        """

    def targets(self, target_group: str) -> tuple[TargetState, ...]:
        """Return the current targets, including draining ones."""

    def cached(self, path: str) -> bool:
        """Whether the CloudFront behaviour for `path` caches (false: always forwarded)."""

    def invalidations(self) -> tuple[tuple[str, float], ...]:
        """Return (path pattern, epoch seconds of completion) of every completed invalidation.

        Objects cached before that moment are stale.
        """


@dataclass(frozen=True)
class OriginProblem:
    """Why CloudFront gets no answer from its origin, and the error that it answers itself."""

    status: int
    why: str


@dataclass(frozen=True)
class EdgeConfiguration:
    """What the edge reads of the configuration in AWS, on every request.

    `idle_timeout`: seconds that the load balancer waits for a target, None if not set.
    `origin_problem`: by path. `minimum_ttl`: seconds for which the CDN caches a path in any case.
    """

    idle_timeout: Callable[[], float | None] = lambda: None
    origin_problem: Callable[[str], OriginProblem | None] = lambda path: None
    minimum_ttl: Callable[[str], float] = lambda path: 0.0


@dataclass(frozen=True)
class Ports:
    """TCP ports on 127.0.0.1, chosen at `up` and reused across restarts while they are free."""

    aws: int
    registry: int
    site: int
    alb: int
    database: int
    site_tls: int = 0
    bastion: int = 0  # 0 in the record of an older sandbox
    network: str = "127.77.1"  # first three octets of the task addresses


@dataclass(frozen=True)
class Component:
    """A started component, with what status and shutdown need."""

    name: str
    stop: Callable[[], None]
    alive: Callable[[], bool]
    pids: tuple[int, ...] = field(default=())
