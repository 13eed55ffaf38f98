"""Faults of a service: failed starts, unhealthy targets, wrong ports, security groups.

All are caused by API calls, as an operator's mistake would be. For out-of-memory it emulates a
limit that any program exceeds (the agent measures, kills, and reports it as ECS does); for
wrong-architecture, the message and exit code of a program for another CPU. Differs from AWS: the
kernel is not involved in either.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ops.core.errors import Refused
from ops.sandbox.faults import probes
from ops.sandbox.faults.base import FaultInjector, FaultState, SandboxHandles

if TYPE_CHECKING:
    from ops.sandbox.seed.names import ServiceSpec

_ANSWERED = (  # by DescribeTaskDefinition, and not asked for by RegisterTaskDefinition
    "taskDefinitionArn",
    "revision",
    "status",
    "requiresAttributes",
    "compatibilities",
    "registeredAt",
    "registeredBy",
    "deregisteredAt",
)
_NEVER_PUSHED = "0000000"
CRASH = """
import json, sys, time
at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
line = {"time": at, "level": "error", "message": "cannot start: SESSION_STORE is not set"}
print(json.dumps(line))
sys.exit(1)
"""
OTHER_CPU = """
import sys
print("exec /usr/local/bin/python3: exec format error")
sys.exit(255)
"""


def python_command(program: str) -> tuple[tuple[str, Any], ...]:
    """Return the container fields that run `program` with this Python."""
    return ("entryPoint", ["python3", "-c"]), ("command", [program])


@dataclass(frozen=True)
class ServiceFault(FaultInjector):
    """A fault of one service (`backend`, `frontend`)."""

    service: str

    @property
    def spec(self) -> ServiceSpec:
        from ops.sandbox.seed.names import SERVICES

        return next(spec for spec in SERVICES if spec.name == self.service)

    def is_healthy(self, handles: SandboxHandles, state: FaultState) -> bool:
        """Whether the service is stable; drops cached pages of the frontend, as a deploy does."""
        probes.reset_backoff(handles, self.spec)
        if not probes.at_rest(handles, self.spec):
            return False
        if self.service == "frontend":
            handles.cdn.forget("/*")
        return True

    def _update(self, handles: SandboxHandles, **fields: Any) -> None:
        """UpdateService with these fields."""
        from ops.sandbox.seed.names import CLUSTER

        handles.clients.ecs.update_service(cluster=CLUSTER, service=self.spec.service, **fields)

    def _container(self, handles: SandboxHandles, definition: str = "") -> dict[str, Any]:
        """Return the service's container in a task definition, by default its current one."""
        arn = definition or probes.service(handles, self.spec)["taskDefinition"]
        found = handles.clients.ecs.describe_task_definition(taskDefinition=arn)["taskDefinition"]
        return next(
            each for each in found["containerDefinitions"] if each["name"] == self.spec.name
        )


@dataclass(frozen=True)
class BadRevision(ServiceFault):
    """A new task definition revision with these container fields changed is rolled out.

    Its tasks stop with `exit_code` (None: they never ran); with `runs` they keep running with
    unhealthy targets.
    """

    change: tuple[tuple[str, Any], ...] = ()
    exit_code: int | None = None
    runs: bool = False

    def changed(self, container: dict[str, Any]) -> dict[str, Any]:
        """Return the container fields to change."""
        return dict(self.change)

    def prepare(self, handles: SandboxHandles) -> FaultState:
        return {"before": probes.service(handles, self.spec)["taskDefinition"]}

    def inject(self, handles: SandboxHandles, state: FaultState) -> FaultState:
        made = self._register(
            handles, state["before"], self.changed(self._container(handles, state["before"]))
        )
        self._update(handles, taskDefinition=made)
        return {"made": made}

    def is_present(self, handles: SandboxHandles, state: FaultState) -> bool:
        """Whether the service's revision, possibly a newer one, still has these fields."""
        now = self._container(handles)
        wanted = self.changed(self._container(handles, state["before"]))
        return all(now.get(name) == value for name, value in wanted.items())

    def is_visible(self, handles: SandboxHandles, state: FaultState) -> bool:
        """Whether a task of the new revision has stopped this way, or its target is unhealthy."""
        if self.runs:
            return any(each["State"] == "unhealthy" for each in probes.targets(handles, self.spec))
        stopped = probes.stopped_tasks(handles, self.spec, state["made"])
        return self.exit_code in {
            container.get("exitCode") for task in stopped for container in task["containers"]
        }

    def remove(self, handles: SandboxHandles, state: FaultState) -> None:
        now = probes.service(handles, self.spec)["taskDefinition"]
        if now == state.get("made"):
            self._update(handles, taskDefinition=state["before"])
        elif self.is_present(handles, state):
            before = self._container(handles, state["before"])
            restored = {name: before.get(name) for name in self.changed(before)}
            self._update(handles, taskDefinition=self._register(handles, now, restored))
        if "made" in state:
            handles.clients.ecs.deregister_task_definition(taskDefinition=state["made"])

    def _register(
        self,
        handles: SandboxHandles,
        base: str,
        change: dict[str, Any],
        more: Sequence[dict[str, Any]] = (),
    ) -> str:
        """Register a copy of `base` with these container fields changed and return its ARN.

        A field of None is removed; `more` are further containers.
        """
        definition = handles.clients.ecs.describe_task_definition(taskDefinition=base)[
            "taskDefinition"
        ]
        request = {name: value for name, value in definition.items() if name not in _ANSWERED}
        changed = [
            {name: value for name, value in {**each, **change}.items() if value is not None}
            if each["name"] == self.spec.name
            else each
            for each in request["containerDefinitions"]
        ]
        made = handles.clients.ecs.register_task_definition(
            **{**request, "containerDefinitions": [*changed, *more]}
        )
        return str(made["taskDefinition"]["taskDefinitionArn"])


class NoImage(BadRevision):
    """The image has a tag that was never pushed."""

    def changed(self, container: dict[str, Any]) -> dict[str, Any]:
        return {"image": f"{container['image'].rpartition(':')[0]}:{_NEVER_PUSHED}"}


class NoSecret(BadRevision):
    """The secrets are read from a secret that does not exist."""

    def changed(self, container: dict[str, Any]) -> dict[str, Any]:
        from ops.sandbox.seed.names import SECRET

        named = [
            {**each, "valueFrom": each["valueFrom"].replace(SECRET, f"{SECRET}-old")}
            for each in container["secrets"]
        ]
        return {"secrets": named}


@dataclass(frozen=True)
class HealthPath(ServiceFault):
    """ModifyTargetGroup to a path that answers 404."""

    path: str

    def prepare(self, handles: SandboxHandles) -> FaultState:
        found = probes.target_group(handles, self.spec)
        return {"group": found["TargetGroupArn"], "before": found["HealthCheckPath"]}

    def inject(self, handles: SandboxHandles, state: FaultState) -> FaultState:
        self._check(handles, state, self.path)
        return {}

    def is_present(self, handles: SandboxHandles, state: FaultState) -> bool:
        return bool(probes.target_group(handles, self.spec)["HealthCheckPath"] == self.path)

    def is_visible(self, handles: SandboxHandles, state: FaultState) -> bool:
        return probes.none_healthy(handles, self.spec)

    def remove(self, handles: SandboxHandles, state: FaultState) -> None:
        if self.is_present(handles, state):
            self._check(handles, state, state["before"])

    @staticmethod
    def _check(handles: SandboxHandles, state: FaultState, path: str) -> None:
        handles.clients.elb.modify_target_group(TargetGroupArn=state["group"], HealthCheckPath=path)


class ClosedSecurityGroup(ServiceFault):
    """RevokeSecurityGroupIngress: the tasks' group drops the load balancer's packets."""

    def prepare(self, handles: SandboxHandles) -> FaultState:
        group = self._group(handles)
        return {"group": group, "rules": permissions(handles, group)}

    def _group(self, handles: SandboxHandles) -> str:
        """Return the group to close. Raises Refused if there is none."""
        place = probes.service(handles, self.spec)["networkConfiguration"]["awsvpcConfiguration"]
        if not place["securityGroups"]:
            raise Refused(
                "fault security-group",
                f"{self.spec.service} has no security group of its own",
                "give it one",
            )
        return str(place["securityGroups"][0])

    def inject(self, handles: SandboxHandles, state: FaultState) -> FaultState:
        handles.clients.ec2.revoke_security_group_ingress(
            GroupId=state["group"], IpPermissions=state["rules"]
        )
        return {}

    def is_present(self, handles: SandboxHandles, state: FaultState) -> bool:
        return not permissions(handles, state["group"])

    def is_visible(self, handles: SandboxHandles, state: FaultState) -> bool:
        return probes.none_healthy(handles, self.spec)

    def remove(self, handles: SandboxHandles, state: FaultState) -> None:
        if self.is_present(handles, state):
            handles.clients.ec2.authorize_security_group_ingress(
                GroupId=state["group"], IpPermissions=state["rules"]
            )


def permissions(
    handles: SandboxHandles, group: str, direction: str = "IpPermissions"
) -> list[dict[str, Any]]:
    """Return a security group's rules (`direction`) in the form that Authorize* takes."""
    [found] = handles.clients.ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"]
    return [_permission_request(each) for each in found[direction]]


def _permission_request(rule: dict[str, Any]) -> dict[str, Any]:
    """Convert a described rule to the form that AuthorizeSecurityGroupIngress takes."""
    sources = [{"GroupId": each["GroupId"]} for each in rule.get("UserIdGroupPairs") or ()]
    state: dict[str, Any] = {
        name: rule[name] for name in ("IpProtocol", "FromPort", "ToPort") if name in rule
    }
    return {**state, "IpRanges": rule.get("IpRanges") or [], "UserIdGroupPairs": sources}


class ExecDisabled(ServiceFault):
    """The service has lost enableExecuteCommand, and its tasks were replaced since."""

    def inject(self, handles: SandboxHandles, state: FaultState) -> FaultState:
        self._update(handles, enableExecuteCommand=False, forceNewDeployment=True)
        return {}

    def is_present(self, handles: SandboxHandles, state: FaultState) -> bool:
        return not probes.service(handles, self.spec)["enableExecuteCommand"]

    def is_visible(self, handles: SandboxHandles, state: FaultState) -> bool:
        """Whether no task of the service accepts ECS Exec."""
        return probes.at_rest(handles, self.spec) and not any(
            task["enableExecuteCommand"] for task in probes.running_tasks(handles, self.spec)
        )

    def remove(self, handles: SandboxHandles, state: FaultState) -> None:
        if self.is_present(handles, state):
            self._update(handles, enableExecuteCommand=True, forceNewDeployment=True)
