"""A service that does not start, is not healthy, listens elsewhere or is not let through: done by
calls of the API, as an operator errs.

Emulates for out-of-memory a limit that any program exceeds (the agent measures and kills, and words
it as ECS does), for wrong-architecture the words and the exit code of a program of another CPU.
Differs from AWS: the kernel has no part in either."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ops.core.errors import Refused
from ops.sandbox.faults import probes
from ops.sandbox.faults.base import Ground, Kept, Work

if TYPE_CHECKING:
    from ops.sandbox.seed.names import Shape

ANSWERED = (  # by DescribeTaskDefinition, and not asked for by RegisterTaskDefinition
    "taskDefinitionArn",
    "revision",
    "status",
    "requiresAttributes",
    "compatibilities",
    "registeredAt",
    "registeredBy",
    "deregisteredAt",
)
NEVER_PUSHED = "0000000"
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


def crashing(program: str) -> tuple[tuple[str, Any], ...]:
    """The fields of a container that runs this Python instead of its own."""
    return ("entryPoint", ["python3", "-c"]), ("command", [program])


@dataclass(frozen=True)
class OfService(Work):
    """Something about one service (`backend`, `frontend`)."""

    service: str

    @property
    def shape(self) -> Shape:
        from ops.sandbox.seed.names import SHAPES

        return next(shape for shape in SHAPES if shape.name == self.service)

    def well(self, ground: Ground, kept: Kept) -> bool:
        probes.encourage(ground, self.shape)
        return probes.at_rest(ground, self.shape)


@dataclass(frozen=True)
class Rolled(OfService):
    """A new revision of the task definition is rolled out, with these fields of its container
    changed.

    Its tasks stop (with `exit_code`; None: they never ran), or with `runs` go on, and their targets
    are unhealthy."""

    change: tuple[tuple[str, Any], ...] = ()
    exit_code: int | None = None
    runs: bool = False

    def changed(self, container: dict[str, Any]) -> dict[str, Any]:
        """What of the container is to be otherwise."""
        return dict(self.change)

    def prepare(self, ground: Ground) -> Kept:
        return {"before": probes.service(ground, self.shape)["taskDefinition"]}

    def begin(self, ground: Ground, kept: Kept) -> Kept:
        made = self._register(
            ground, kept["before"], self.changed(self._container(ground, kept["before"]))
        )
        self._roll(ground, made)
        return {"made": made}

    def there(self, ground: Ground, kept: Kept) -> bool:
        """The service's revision has these fields still: the one made here, or one that was based
        on it.
        """
        now = self._container(ground, probes.service(ground, self.shape)["taskDefinition"])
        wanted = self.changed(self._container(ground, kept["before"]))
        return all(now.get(name) == value for name, value in wanted.items())

    def is_visible(self, ground: Ground, kept: Kept) -> bool:
        """A task of the new revision has ended so, or its target is unhealthy."""
        if self.runs:
            return any(each["State"] == "unhealthy" for each in probes.targets(ground, self.shape))
        return self.exit_code in exit_codes(ground, self.shape, kept["made"])

    def end(self, ground: Ground, kept: Kept) -> None:
        now = probes.service(ground, self.shape)["taskDefinition"]
        if now == kept.get("made"):
            self._roll(ground, kept["before"])
        elif self.there(ground, kept):
            before = self._container(ground, kept["before"])
            self._roll(
                ground,
                self._register(
                    ground, now, {name: before.get(name) for name in self.changed(before)}
                ),
            )
        if "made" in kept:
            ground.clients.ecs.deregister_task_definition(taskDefinition=kept["made"])

    def well(self, ground: Ground, kept: Kept) -> bool:
        """At rest; and what the CDN kept from before this deployment is out of it, as after any
        deploy.
        """
        if not super().well(ground, kept):
            return False
        if self.service == "frontend":
            ground.cdn.forget("/*")
        return True

    def _register(self, ground: Ground, base: str, change: dict[str, Any]) -> str:
        """A revision like `base` with these fields of the container changed (None: left out); its
        ARN.
        """
        definition = ground.clients.ecs.describe_task_definition(taskDefinition=base)[
            "taskDefinition"
        ]
        asked = {name: value for name, value in definition.items() if name not in ANSWERED}
        changed = [
            {name: value for name, value in {**each, **change}.items() if value is not None}
            if each["name"] == self.shape.name
            else each
            for each in asked["containerDefinitions"]
        ]
        made = ground.clients.ecs.register_task_definition(
            **{**asked, "containerDefinitions": changed}
        )
        return str(made["taskDefinition"]["taskDefinitionArn"])

    def _container(self, ground: Ground, definition: str) -> dict[str, Any]:
        found = ground.clients.ecs.describe_task_definition(taskDefinition=definition)[
            "taskDefinition"
        ]
        return next(
            each for each in found["containerDefinitions"] if each["name"] == self.shape.name
        )

    def _roll(self, ground: Ground, definition: str) -> None:
        from ops.sandbox.seed.names import CLUSTER

        ground.clients.ecs.update_service(
            cluster=CLUSTER, service=self.shape.service, taskDefinition=definition
        )


class NoImage(Rolled):
    """Its image has a tag that nobody pushed."""

    def changed(self, container: dict[str, Any]) -> dict[str, Any]:
        return {"image": f"{container['image'].rpartition(':')[0]}:{NEVER_PUSHED}"}


class NoSecret(Rolled):
    """Its secrets are read from one that is not there."""

    def changed(self, container: dict[str, Any]) -> dict[str, Any]:
        from ops.sandbox.seed.names import SECRET

        named = [
            {**each, "valueFrom": each["valueFrom"].replace(SECRET, f"{SECRET}-old")}
            for each in container["secrets"]
        ]
        return {"secrets": named}


def exit_codes(ground: Ground, shape: Shape, definition: str) -> set[int | None]:
    """With which codes containers of stopped tasks of this revision have ended."""
    from ops.sandbox.seed.names import CLUSTER

    ecs = ground.clients.ecs
    arns = ecs.list_tasks(cluster=CLUSTER, serviceName=shape.service, desiredStatus="STOPPED")[
        "taskArns"
    ]
    tasks = ecs.describe_tasks(cluster=CLUSTER, tasks=arns[:100])["tasks"] if arns else []
    mine = [
        task
        for task in tasks
        if task["taskDefinitionArn"] == definition and task["lastStatus"] == "STOPPED"
    ]
    return {container.get("exitCode") for task in mine for container in task["containers"]}


@dataclass(frozen=True)
class HealthPath(OfService):
    """ModifyTargetGroup to a path that answers 404."""

    path: str

    def prepare(self, ground: Ground) -> Kept:
        found = probes.group(ground, self.shape)
        return {"group": found["TargetGroupArn"], "before": found["HealthCheckPath"]}

    def begin(self, ground: Ground, kept: Kept) -> Kept:
        self._check(ground, kept, self.path)
        return {}

    def there(self, ground: Ground, kept: Kept) -> bool:
        return bool(probes.group(ground, self.shape)["HealthCheckPath"] == self.path)

    def is_visible(self, ground: Ground, kept: Kept) -> bool:
        return probes.none_healthy(ground, self.shape)

    def end(self, ground: Ground, kept: Kept) -> None:
        if self.there(ground, kept):
            self._check(ground, kept, kept["before"])

    @staticmethod
    def _check(ground: Ground, kept: Kept, path: str) -> None:
        ground.clients.elb.modify_target_group(TargetGroupArn=kept["group"], HealthCheckPath=path)


class Closed(OfService):
    """RevokeSecurityGroupIngress: the tasks' group no longer lets the load balancer in, so its
    packets are dropped.
    """

    def prepare(self, ground: Ground) -> Kept:
        place = probes.service(ground, self.shape)["networkConfiguration"]["awsvpcConfiguration"]
        if not place["securityGroups"]:
            raise Refused(
                "fault security-group",
                f"{self.shape.service} has no security group of its own",
                "give it one",
            )
        group = place["securityGroups"][0]
        return {"group": group, "rules": [asked(each) for each in permissions(ground, group)]}

    def begin(self, ground: Ground, kept: Kept) -> Kept:
        ground.clients.ec2.revoke_security_group_ingress(
            GroupId=kept["group"], IpPermissions=kept["rules"]
        )
        return {}

    def there(self, ground: Ground, kept: Kept) -> bool:
        return not permissions(ground, kept["group"])

    def is_visible(self, ground: Ground, kept: Kept) -> bool:
        return probes.none_healthy(ground, self.shape)

    def end(self, ground: Ground, kept: Kept) -> None:
        if self.there(ground, kept):
            ground.clients.ec2.authorize_security_group_ingress(
                GroupId=kept["group"], IpPermissions=kept["rules"]
            )


def permissions(ground: Ground, group: str) -> list[dict[str, Any]]:
    """The ingress rules of a security group (DescribeSecurityGroups)."""
    return list(
        ground.clients.ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0][
            "IpPermissions"
        ]
    )


def asked(rule: dict[str, Any]) -> dict[str, Any]:
    """A rule as it is described, in the words in which it is asked for."""
    sources = [{"GroupId": each["GroupId"]} for each in rule.get("UserIdGroupPairs") or ()]
    kept: dict[str, Any] = {
        name: rule[name] for name in ("IpProtocol", "FromPort", "ToPort") if name in rule
    }
    return {**kept, "IpRanges": rule.get("IpRanges") or [], "UserIdGroupPairs": sources}
