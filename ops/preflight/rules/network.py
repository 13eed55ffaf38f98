"""Preflight: how it is reached. Ports, the target group's health path, and the configured endpoints
as they answer now.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ops.aws.facts import LoadBalancer, ServiceState, TargetGroup, TaskDefinition
from ops.core.findings import Unknown
from ops.ecs.rules.task_definition_refs import ports
from ops.preflight.facts import ReleaseFacts
from ops.preflight.rules.result import (
    CheckResult,
    healthy_revision,
    key,
    listed,
    ok,
    refuse,
    refuse_unknown,
    service_config,
    unknown,
    warn,
)

if TYPE_CHECKING:
    from ops.core.config.settings import Environment

NO_BALANCER = "no load balancer sends to this service"


def endpoints(facts: ReleaseFacts, environment: Environment) -> CheckResult:
    """A warning, never a refusal: a hotfix must be able to go out."""
    if not service_config(facts, environment).endpoints:
        return warn(
            "none are configured, so a deploy cannot be proved from outside",
            f"name them under {key(facts, 'endpoints')}",
        )
    if isinstance(facts.answers, Unknown):
        return unknown(facts.answers.why)
    bad = tuple(
        f"{answer.path}: {answer.problem}" for answer in facts.answers if not answer.healthy
    )
    if bad:
        return warn(
            f"{len(bad)} of {len(facts.answers)} unhealthy before the deploy: {listed(bad)}",
            "deploy if that is the cure; else find out why first",
        )
    return ok(f"{len(facts.answers)} of {len(facts.answers)} healthy")


def cdn(facts: ReleaseFacts, environment: Environment) -> CheckResult:
    """A refusal: a roll-out whose pages nobody sees is found out after everything has been done."""
    paths = service_config(facts, environment).invalidate
    if not paths:
        return ok("nothing of it is cached (no `invalidate` paths)")
    if facts.distribution is None or isinstance(facts.distribution, Unknown):
        return refuse_unknown(
            "the distribution",
            facts.distribution,
            f"set environments.{facts.environment}.cdn, or --skip cdn",
        )
    return ok(f"{facts.distribution}: {listed(paths)}")


def port(facts: ReleaseFacts, environment: Environment) -> CheckResult:
    """ECS registers targets by the container's port, so the target group's own is only a default: a
    difference there is a warning.
    """
    revision, ours = healthy_revision(facts), service_config(facts, environment)
    if isinstance(revision, Unknown) or not isinstance(facts.state, ServiceState):
        return unknown("the service's task definition is not known")
    for balancer in facts.state.load_balancers:
        if balancer.port not in ports_of(revision, balancer.container):
            sends = f"the load balancer sends to {balancer.container}:{balancer.port}"
            there = f"{revision.label} opens {format_ports(revision, balancer.container)} there"
            return refuse(
                f"{sends}; {there}", "correct the service's load balancer or the task definition"
            )
    if ours.container_port and ours.container_port not in ports_of(revision, ours.container):
        found = f"{ours.container} opens {format_ports(revision, ours.container)}"
        return warn(
            f"{found}; configured is {ours.container_port}",
            f"correct {key(facts, 'container_port')}",
        )
    return check_target_groups(
        facts,
        facts.state.load_balancers,
        f"{ours.container} opens {format_ports(revision, ours.container)}",
    )


def check_target_groups(
    facts: ReleaseFacts, balancers: tuple[LoadBalancer, ...], found: str
) -> CheckResult:
    if not balancers:
        return ok(f"{found}; {NO_BALANCER}")
    if isinstance(facts.target_groups, Unknown):
        return unknown(facts.target_groups.why)
    groups = {group.arn: group for group in facts.target_groups}
    for balancer in balancers:
        group = groups.get(balancer.target_group)
        if group and group.port != balancer.port:
            other = (
                f"target group {group.name} says {group.port}; targets are registered with "
                f"{balancer.port}"
            )
            return warn(other, "harmless, unless something registers targets by hand")
    return ok(f"{found}; load balancer and target group agree")


def ports_of(revision: TaskDefinition, container: str) -> tuple[int, ...]:
    return ports(revision.container(container) or {})


def format_ports(revision: TaskDefinition, container: str) -> str:
    return listed([str(number) for number in ports_of(revision, container)]) or "no port"


def health_path(facts: ReleaseFacts, environment: Environment) -> CheckResult:
    wanted = service_config(facts, environment).health_path
    if isinstance(facts.state, ServiceState) and not facts.state.load_balancers:
        return ok(NO_BALANCER)
    if isinstance(facts.target_groups, Unknown):
        return unknown(facts.target_groups.why)
    other = next(
        (group for group in facts.target_groups if wanted and group.health_path != wanted), None
    )
    if other:
        found = f"target group {other.name} checks {path_of(other)}"
        return warn(
            f"{found}; configured is {wanted}",
            f"correct {key(facts, 'health_path')} or the target group",
        )
    return ok(listed([f"{group.name} checks {path_of(group)}" for group in facts.target_groups]))


def path_of(group: TargetGroup) -> str:
    return group.health_path or "no path (its check is no HTTP)"
