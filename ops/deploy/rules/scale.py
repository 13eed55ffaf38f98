"""Plan another desired count from facts alone, and say what else sets it (pure)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from ops.aws.facts import ScalableTarget, ServiceState
from ops.core.errors import ConfigError, Refused
from ops.core.findings import Unknown
from ops.core.plan import Plan, Step
from ops.core.text import format_count
from ops.deploy.rules.in_flight import in_flight

_LARGEST = 5000  # AWS's quota of tasks per service


@dataclass(frozen=True)
class SetDesiredCount(Step):
    """Set the desired count of the ECS service `service`, whose PRIMARY is `deployment`."""

    verb: ClassVar[str] = "scale"
    service: str
    before: int
    count: int
    deployment: str

    def __str__(self) -> str:
        return f"Set the desired count of service {self.service} from {self.before} to {self.count}"

    @property
    def undo(self) -> str | None:
        return f"Set it back to {self.before}, and watch that too"


@dataclass(frozen=True)
class WatchCount(Step):
    """Watch `deployment` until `count` tasks run and are healthy; `before` was set before."""

    verb: ClassVar[str] = "watch"
    service: str
    before: int
    count: int
    deployment: str

    def __str__(self) -> str:
        if not self.count:
            return f"Watch service {self.service} until no task runs"
        healthy = format_count(self.count, "healthy task")
        return f"Watch service {self.service} until it runs {healthy}"


@dataclass(frozen=True)
class ScaleFacts:
    """What decides on another desired count.

    `target`: of Application Auto Scaling; None if the service has none. `terraform`: whether an
    apply sets the count; None if the environment has no Terraform.
    """

    state: ServiceState | None
    target: ScalableTarget | Unknown | None
    terraform: bool | Unknown | None


def parse_count(text: str | None) -> int:
    """The value of `--count`. Raises ConfigError unless it is a whole number from 0 to 5000."""
    allowed = f"a whole number of tasks, from 0 to {_LARGEST}"
    if text is None:
        raise ConfigError("--count", f"it is missing; it takes {allowed}", "--count 2")
    what, why = f"--count {text}", f"allowed: {allowed}"
    if not (text.isascii() and text.isdigit()) or len(text) > len(str(_LARGEST)):
        raise ConfigError(what, why, "--count 2")
    if int(text) > _LARGEST:
        raise ConfigError(what, why, "--count 2")
    return int(text)


def plan_scale(
    facts: ScaleFacts, name: str, count: int, *, aws: str = "aws", resource: str = ""
) -> Plan:
    """The steps that set and watch the count.

    `aws`: the program with the options of the environment; `resource`: the service's name in
    Application Auto Scaling. Raises Refused for a service that cannot have this count.
    """
    state = facts.state
    if state is None or state.primary is None:
        raise Refused(f"scale {name}", "ECS has no such active service", "inv preflight")
    if state.status != "ACTIVE":
        raise Refused(f"scale {name}", f"the service is {state.status}", f"inv {name}.status")
    if state.scheduling == "DAEMON":
        why = "it is a DAEMON service: ECS runs one task on each instance"
        raise Refused(f"scale {name}", why, "change the number of instances")
    if deployment := in_flight(state):
        why = f"{deployment.id} is not complete"
        how = f"inv {name}.watch, then inv {name}.scale --count {count}"
        raise Refused(f"a deployment of {name} is in flight", why, how)
    _refuse_out_of_range(facts.target, name, count, aws, resource)
    others = tuple(_other_owners(facts))
    watch = WatchCount(state.name, state.desired, count, state.primary.id)
    if state.desired != count:
        step = SetDesiredCount(state.name, state.desired, count, state.primary.id)
        gone = f"{name} answers nothing then: no task runs"
        return Plan((step, watch), (*others, *([gone] if not count else [])))
    already = f"the desired count of {state.name} is {count} already"
    settled = state.running == count and not state.pending
    return Plan(() if settled else (watch,), (*others, already))


def _refuse_out_of_range(
    target: ScalableTarget | Unknown | None, name: str, count: int, aws: str, resource: str
) -> None:
    if not isinstance(target, ScalableTarget) or target.suspended:
        return
    if target.minimum <= count <= target.maximum:
        return
    limit = "min" if count < target.minimum else "max"
    why = (
        f"Application Auto Scaling keeps it between {target.minimum} and {target.maximum}, and "
        f"would set it back"
    )
    how = (
        f"{aws} application-autoscaling register-scalable-target --service-namespace ecs "
        f"--scalable-dimension ecs:service:DesiredCount --resource-id {resource} "
        f"--{limit}-capacity {count}"
    )
    raise Refused(f"scale {name} to {count}", why, how)


def _other_owners(facts: ScaleFacts) -> Iterator[str]:
    """What else sets the desired count, a sentence each."""
    target = facts.target
    if isinstance(target, Unknown):
        yield f"unknown: whether Application Auto Scaling sets the count: {target.why}"
    elif target is None:
        yield "Application Auto Scaling does not set the count"
    elif target.suspended:
        yield "Application Auto Scaling is suspended for this service, and leaves the count alone"
    else:
        limits = f"between {target.minimum} and {target.maximum}"
        yield f"Application Auto Scaling may change the count again, {limits}"
    if isinstance(facts.terraform, Unknown):
        yield f"unknown: whether Terraform sets the count: {facts.terraform.why}"
    elif facts.terraform:
        yield "Terraform sets desired_count: the next apply sets the count back"
    elif facts.terraform is False:
        yield "Terraform leaves the count alone"
