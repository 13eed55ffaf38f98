"""Values that several probes of a sweep share, each read once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Generic, TypeVar

from ops.aws import cloudtrail, ecs, elb, rds, secrets
from ops.aws.facts import ServiceState, TargetGroup, TaskDefinition, TaskDefinitionArn
from ops.core.errors import OpsError
from ops.core.findings import Unknown
from ops.core.parallel import gather, try_call
from ops.ecs.rules.task_definition_refs import Reference, references
from ops.health.rules.deployments import OtherDeployment, later_deployment, other_deployment
from ops.platform import Platform
from ops.postgres import credentials
from ops.state import records
from ops.state.model import ReleaseRecord

_T = TypeVar("_T")
_BEFORE_DEPLOYMENT = timedelta(minutes=1)  # the call comes first; clocks of services differ
_PAGE_SHARE = 0.8  # of the deadline, for one page


class Memo(Generic[_T]):
    """A value read by the first caller and shared by all; so is the error it raises."""

    def __init__(self, read: Callable[[], _T]) -> None:
        self._read = read
        self._lock = threading.Lock()
        self._value: list[_T] = []
        self._error: BaseException | None = None

    def __call__(self) -> _T:
        with self._lock:
            if self._error is not None:
                raise self._error
            if not self._value:
                try:
                    self._value.append(self._read())
                except BaseException as error:
                    self._error = error
                    raise
            return self._value[0]


@dataclass(frozen=True)
class SweepContext:
    """The scope of one sweep.

    `since_s`: how far back logs are read (None: as configured). `from_s`: errors count from then
    on, in seconds since 1970 (None: recent ones only). `known`: log patterns of the previous run by
    identity of the check.
    `released`: releases that have just succeeded and are not recorded yet.
    """

    platform: Platform
    since_s: float | None = None
    from_s: float | None = None
    known: Mapping[tuple[str, str], frozenset[str]] = field(default_factory=dict)
    released: Mapping[str, ReleaseRecord] = field(default_factory=dict)
    deadline_s: float = 30.0

    @property
    def timeout_s(self) -> float:
        """The timeout of one page: as configured, but always shorter than the deadline."""
        return min(self.platform.settings.environment.health.timeout, _PAGE_SHARE * self.deadline_s)


class SweepInputs:
    """The shared reads of one sweep; every method is thread-safe."""

    def __init__(self, context: SweepContext) -> None:
        self.context, self.platform = context, context.platform
        self.environment = context.platform.settings.environment
        self.names = tuple(sorted(self.environment.services))
        cloud, database = self.platform.cloud, self.environment.database
        self._services = Memo(self._read_services)
        self._definitions = {name: Memo(partial(self._latest, name)) for name in self.names}
        self._running = {name: Memo(partial(self._running_revision, name)) for name in self.names}
        self._releases = {name: Memo(partial(self._last_success, name)) for name in self.names}
        self._others = {name: Memo(partial(self._other_deployment, name)) for name in self.names}
        self._groups: Memo[Mapping[str, TargetGroup]] = Memo(self._read_groups)
        instance = database.instance if database else None
        self.instance = Memo(lambda: rds.instance(cloud, instance) if instance else None)
        self.managed_secret = Memo(
            lambda: credentials.managed_secret(cloud, database) if database else None
        )
        self.secret = Memo(self._read_secret)
        self.address = Memo(lambda: credentials.address(cloud, instance) if instance else {})

    def _read_services(self) -> dict[str, ServiceState | None]:
        names = [self.environment.services[name].ecs_service for name in self.names]
        try:
            return ecs.services(self.platform.cloud, self.environment.cluster, names)
        except ecs.ClusterMissing:
            if self.environment.expect != "stopped":
                raise
            return dict.fromkeys(names)

    def state(self, name: str) -> ServiceState | None:
        """Return the state of an ECS service by its configured name, or None."""
        return self._services()[self.environment.services[name].ecs_service]

    def latest(self, name: str) -> TaskDefinition | None:
        """Return the newest ACTIVE revision of the service's task definition family, or None."""
        return self._definitions[name]()

    def _latest(self, name: str) -> TaskDefinition | None:
        state = self.state(name)
        family = TaskDefinitionArn(state.task_definition).family if state else ""
        return ecs.task_definition(self.platform.cloud, family) if family else None

    def running_revision(self, name: str) -> TaskDefinition | None:
        """Return the revision that the service is deployed with, or None."""
        return self._running[name]()

    def _running_revision(self, name: str) -> TaskDefinition | None:
        state = self.state(name)
        return ecs.task_definition(self.platform.cloud, state.task_definition) if state else None

    def release(self, name: str) -> ReleaseRecord | None:
        """Return the newest record of a successful release, or None."""
        return self.context.released.get(name) or self._releases[name]()

    def _last_success(self, name: str) -> ReleaseRecord | None:
        return records.last_success(self.platform, name)

    def other_deployment(self, name: str) -> OtherDeployment | None:
        """Return the healthy deployment after the last recorded release, if no record has it.

        CloudTrail and the newest records are read only if there may be one.
        """
        return self._others[name]()

    def _other_deployment(self, name: str) -> OtherDeployment | None:
        state, release = self.state(name), self.release(name)
        later = later_deployment(state, release) if state and release else None
        if later is None or later.created_at is None or release is None:
            return None
        cloud, cluster = self.platform.cloud, self.environment.cluster
        ecs_service = self.environment.services[name].ecs_service
        since = later.created_at - _BEFORE_DEPLOYMENT
        updates = try_call(lambda: cloudtrail.service_updates(cloud, cluster, ecs_service, since))
        newest = records.read(self.platform, name)
        return other_deployment(later, release, newest, updates, self.running_revision(name))

    def group(self, arn: str) -> TargetGroup:
        """Return the target group with this ARN. Raises OpsError if it does not exist."""
        found = self._groups().get(arn)
        if found is None:
            raise OpsError(
                f"target group {arn} does not exist",
                "ELB does not know it",
                "the service's load balancer must be recreated",
            )
        return found

    def _read_groups(self) -> Mapping[str, TargetGroup]:
        balancers = [
            each
            for name in self.names
            if (state := self.state(name))
            for each in state.load_balancers
        ]
        arns = [arn for each in balancers for arn in each.target_groups]
        return elb.target_groups(self.platform.cloud, list(dict.fromkeys(arns)))

    def learn_secrets(self, name: str) -> None:
        """Read the secrets of the service's tasks so that its log can be redacted.

        Values that may not be read are redacted by their shape only.
        """
        definition = self.latest(name)
        sources = {each.source: each for each in references(definition)} if definition else {}
        gather(**{source: partial(self._learn, each) for source, each in sources.items()})

    def _learn(self, reference: Reference) -> None:
        if reference.is_file:
            return  # its values are not read
        cloud = self.platform.cloud
        read = secrets.parameter_exists if reference.is_parameter else secrets.keys
        read(cloud, reference.source)

    def secret_name(self) -> str:
        """The configured secret, else the ARN of the one that RDS manages, else ""."""
        database = self.environment.database
        if database and database.secret:
            return database.secret
        managed = self.managed_secret()
        return managed.arn if managed else ""

    def _read_secret(self) -> Mapping[str, str]:
        database, cloud = self.environment.database, self.platform.cloud
        if database is None:
            return {}
        managed = self.managed_secret()
        if managed:
            return credentials.managed_values(cloud, database, managed)
        return secrets.value(cloud, database.secret) if database.secret else {}

    def database_clients(self) -> frozenset[str]:
        """Return the services whose tasks read the database secret, where it is known."""
        named = try_call(self.secret_name)
        wanted = "" if isinstance(named, Unknown) else named
        found = (
            gather(**{name: partial(self.latest, name) for name in self.names}) if wanted else {}
        )
        return frozenset(
            name
            for name, definition in found.items()
            if isinstance(definition, TaskDefinition)
            and any(wanted and wanted in each.source for each in references(definition))
        )
