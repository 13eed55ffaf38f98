"""Preflight checks of the network: ports, health check path, CDN."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ops.aws.facts import LoadBalancer, ServiceState, TargetGroup, TaskDefinition
from ops.core.findings import Unknown
from ops.ecs.rules.task_definition_refs import ports
from ops.preflight.facts import ReleaseFacts
from ops.preflight.rules.registry import preflight_check
from ops.preflight.rules.result import (
    CheckResult,
    config_key,
    join_limited,
    ok,
    refuse,
    refuse_unknown,
    service_config,
    task_definition,
    unknown,
    warn,
)

if TYPE_CHECKING:
    from ops.core.config.settings import Environment

_NO_LOAD_BALANCER = "no load balancer sends to this service"


@preflight_check(
    "port",
    section="network",
    subject="the ports of container, load balancer and target group",
    needs=("credentials", "service", "container"),
)
def port(facts: ReleaseFacts, environment: Environment) -> CheckResult:
    """Check the ports of container, load balancer and target group.

    ECS registers targets with the container's port; the target group's own is only a default, so a
    difference is a warning.
    """
    revision, ours = task_definition(facts), service_config(facts, environment)
    if isinstance(revision, Unknown) or not isinstance(facts.state, ServiceState):
        return unknown("the service's task definition is not known")
    for balancer in facts.state.load_balancers:
        if balancer.port not in _ports_of(revision, balancer.container):
            sends = f"the load balancer sends to {balancer.container}:{balancer.port}"
            there = f"{revision.label} opens {_format_ports(revision, balancer.container)} there"
            return refuse(
                f"{sends}; {there}", "correct the service's load balancer or the task definition"
            )
    if ours.container_port and ours.container_port not in _ports_of(revision, ours.container):
        found = f"{ours.container} opens {_format_ports(revision, ours.container)}"
        return warn(
            f"{found}; configured is {ours.container_port}",
            f"correct {config_key(facts, 'container_port')}",
        )
    return _check_target_groups(
        facts,
        facts.state.load_balancers,
        f"{ours.container} opens {_format_ports(revision, ours.container)}",
    )


def _check_target_groups(
    facts: ReleaseFacts, balancers: tuple[LoadBalancer, ...], found: str
) -> CheckResult:
    if not balancers:
        return ok(f"{found}; {_NO_LOAD_BALANCER}")
    if isinstance(facts.target_groups, Unknown):
        return unknown(facts.target_groups.why)
    groups = {group.arn: group for group in facts.target_groups}
    for arn, balancer in ((arn, each) for each in balancers for arn in each.target_groups):
        group = groups.get(arn)
        if group and group.port != balancer.port:
            other = (
                f"target group {group.name} says {group.port}; targets are registered with "
                f"{balancer.port}"
            )
            return warn(other, "harmless, unless something registers targets by hand")
    return ok(f"{found}; load balancer and target group agree")


def _ports_of(revision: TaskDefinition, container: str) -> tuple[int, ...]:
    return ports(revision.container(container) or {})


def _format_ports(revision: TaskDefinition, container: str) -> str:
    return join_limited([str(number) for number in _ports_of(revision, container)]) or "no port"


@preflight_check(
    "health-path",
    section="network",
    subject="the path that the target group checks",
    needs=("credentials", "service"),
)
def health_path(facts: ReleaseFacts, environment: Environment) -> CheckResult:
    wanted = service_config(facts, environment).health_path
    if isinstance(facts.state, ServiceState) and not facts.state.load_balancers:
        return ok(_NO_LOAD_BALANCER)
    if isinstance(facts.target_groups, Unknown):
        return unknown(facts.target_groups.why)
    other = next(
        (group for group in facts.target_groups if wanted and group.health_path != wanted), None
    )
    if other:
        found = f"target group {other.name} checks {_path_of(other)}"
        return warn(
            f"{found}; configured is {wanted}",
            f"correct {config_key(facts, 'health_path')} or the target group",
        )
    return ok(
        join_limited([f"{group.name} checks {_path_of(group)}" for group in facts.target_groups])
    )


def _path_of(group: TargetGroup) -> str:
    return group.health_path or "no path (its check is no HTTP)"


@preflight_check(
    "cdn",
    section="network",
    subject="the CloudFront distribution whose cache a deploy invalidates",
    needs=("credentials",),
)
def cdn(facts: ReleaseFacts, environment: Environment) -> CheckResult:
    """Check that the distribution is known; refuses, since the rollout would be invisible."""
    paths = service_config(facts, environment).invalidate
    if not paths:
        return ok("nothing of it is cached (no `invalidate` paths)")
    if facts.distribution is None or isinstance(facts.distribution, Unknown):
        return refuse_unknown(
            "the distribution",
            facts.distribution,
            f"set environments.{facts.environment}.cdn, or --skip cdn",
        )
    what = f"{facts.distribution}: {join_limited(paths)}"
    if not facts.distribution.enabled:
        return warn(f"{what}; visitors reach nothing of a disabled distribution", "inv cdn.status")
    return ok(what)
