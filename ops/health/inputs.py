"""What several probes of one sweep need, each looked at once: services, releases, the secret, the
instance.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ops.aws import ecs, elb, rds, secrets
from ops.aws.facts import ServiceState, TargetGroup, TaskDefinition
from ops.core.errors import OpsError
from ops.core.parallel import gather
from ops.ecs.rules.task_definition_refs import Reference, references
from ops.health.probe_runner import Memo
from ops.platform import Platform
from ops.state import records

SHARE = 0.8  # of the deadline, for one page


@dataclass(frozen=True)
class SweepContext:
    """One sweep: where, how far back the logs are read (None: as configured), since when errors
    count (`from_s`, seconds since 1970; None: for the last while), what the logs of the run before
    said, and releases that have just succeeded and are not recorded yet."""

    platform: Platform
    since_s: float | None = None
    from_s: float | None = None
    known: Mapping[str, frozenset[str]] = field(default_factory=dict)
    released: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    deadline_s: float = 30.0

    @property
    def timeout_s(self) -> float:
        """For one page: as configured, and always so much shorter than the whole that it can be
        named.
        """
        return min(self.platform.settings.environment.health.timeout, SHARE * self.deadline_s)


class SweepInputs:
    """The looks of one sweep; every method may be called from any probe's thread."""

    def __init__(self, asked: SweepContext) -> None:
        self.asked, self.platform = asked, asked.platform
        self.environment = asked.platform.settings.environment
        self.names = tuple(sorted(self.environment.services))
        cloud, database = self.platform.cloud, self.environment.database
        ecs_names = [self.environment.services[name].ecs_service for name in self.names]
        self._services = Memo(lambda: ecs.services(cloud, self.environment.cluster, ecs_names))
        self._definitions = {name: Memo(partial(self._latest, name)) for name in self.names}
        self._releases = {name: Memo(partial(self._released, name)) for name in self.names}
        self._groups: Memo[Mapping[str, TargetGroup]] = Memo(self._described)
        secret, instance = (database.secret, database.instance) if database else (None, None)
        self.secret = Memo(lambda: secrets.value(cloud, secret) if secret else {})
        self.instance = Memo(lambda: rds.instance(cloud, instance) if instance else None)

    def state(self, name: str) -> ServiceState | None:
        """The service by our name for it; None: ECS has none."""
        return self._services()[self.environment.services[name].ecs_service]

    def latest(self, name: str) -> TaskDefinition | None:
        """The newest ACTIVE revision of the family that the service runs; None: no service, or no
        such revision.
        """
        return self._definitions[name]()

    def _latest(self, name: str) -> TaskDefinition | None:
        state = self.state(name)
        family = state.task_definition.rsplit("/", 1)[-1].split(":")[0] if state else ""
        return ecs.task_definition(self.platform.cloud, family) if family else None

    def release(self, name: str) -> Mapping[str, Any] | None:
        """The newest record of a release that succeeded; None: there is none, or nowhere to keep
        any.
        """
        return self.asked.released.get(name) or self._releases[name]()

    def _released(self, name: str) -> Mapping[str, Any] | None:
        return records.last_success(self.platform, name)

    def group(self, arn: str) -> TargetGroup:
        """What a target group of one of the services checks."""
        found = self._groups().get(arn)
        if found is None:
            raise OpsError(
                f"target group {arn} does not exist",
                "ELB does not know it",
                "the service's load balancer must be made anew",
            )
        return found

    def _described(self) -> Mapping[str, TargetGroup]:
        balancers = [
            each
            for name in self.names
            if (state := self.state(name))
            for each in state.load_balancers
        ]
        arns = [arn for each in balancers for arn in each.target_groups]
        return elb.target_groups(self.platform.cloud, list(dict.fromkeys(arns)))

    def learn_secrets(self, name: str) -> None:
        """Read the secrets of the service's tasks, so that its log is shown without them.

        What may not be read is hidden by its shape only.
        """
        definition = self.latest(name)
        sources = {each.source: each for each in references(definition)} if definition else {}
        gather(**{source: partial(self._learn, each) for source, each in sources.items()})

    def _learn(self, reference: Reference) -> None:
        cloud = self.platform.cloud
        read = secrets.parameter_exists if reference.is_parameter else secrets.keys
        read(cloud, reference.source)

    def users(self) -> frozenset[str]:
        """The services whose tasks read the database's secret, as far as that can be seen."""
        database = self.environment.database
        wanted = database.secret if database else None
        found = (
            gather(**{name: partial(self.latest, name) for name in self.names}) if wanted else {}
        )
        return frozenset(
            name
            for name, definition in found.items()
            if isinstance(definition, TaskDefinition)
            and any(wanted and wanted in each.source for each in references(definition))
        )
