"""Target groups as checks, and why their targets are not healthy (runbook 5, "ALB Target Health";
7, "502 Bad Gateway").

What the load balancer says of a target tells three faults apart: no answer in time (a security
group, mostly), a refused connection (another port than the application's), and a wrong code
(another path than the application's, or an application that is ill)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ops.aws.facts import Ingress, Target, TargetGroup
from ops.core.findings import Evidence, Finding, Unknown
from ops.health.model import Check

SETTLING = ("draining", "initial")


@dataclass(frozen=True)
class GroupFacts:
    """One target group of one service. `ingress` and `balancer` (security groups): None and none
    where nothing speaks for a closed one.
    """

    service: str
    group: TargetGroup | Unknown
    name: str
    targets: tuple[Target, ...] | Unknown
    health_path: str | None
    ingress: tuple[Ingress, ...] | Unknown | None = None
    balancer: tuple[str, ...] | Unknown = ()
    security_groups: tuple[str, ...] = ()
    aws: str = "aws"


def serving(groups: Mapping[str, tuple[Target, ...] | Unknown]) -> str:
    """Of a service's target groups (two in blue/green, which production alternates between) the one
    to check.

    It is the one with the most healthy targets; one that could not be read goes before one without
    any."""

    def rank(arn: str) -> float:
        found = groups[arn]
        return (
            0.5
            if isinstance(found, Unknown)
            else sum(target.state == "healthy" for target in found)
        )

    return max(groups, key=rank)


def unknown_targets(found: Sequence[Target]) -> bool:
    """Whether the load balancer may not get in: only then it is asked who lets it in. Targets that
    did not answer, or are gone by now.
    """
    return any(each.reason == "Target.Timeout" for each in found) or all(
        each.state in SETTLING for each in found
    )


def check(facts: GroupFacts) -> Check:
    name, targets = f"{facts.service} {facts.name}", facts.targets
    if isinstance(targets, Unknown):
        return Check("targets", name, "unknown", targets.why, service=facts.service)
    standing = [target for target in targets if target.state not in SETTLING]
    healthy = [target for target in standing if target.state == "healthy"]
    value = f"{len(healthy)}/{len(standing)} healthy"
    if standing and len(healthy) == len(standing):
        moving = [target for target in targets if target.state in SETTLING]
        note = f", {len(moving)} {moving[0].state}" if moving else ""
        if isinstance(facts.group, Unknown):
            why = f"{value}{note}; its health check is unknown: {facts.group.why}"
            return Check("targets", name, "unknown", why, value, service=facts.service)
        return Check("targets", name, "ok", f"{value}{note}", value, service=facts.service)
    shown = (
        "; ".join(reason_text(target) for target in targets if target.state != "healthy")
        or "no target is registered"
    )
    detail = f"{value}, expected all: {shown}"
    return Check(
        "targets",
        name,
        "failed",
        detail,
        value,
        service=facts.service,
        finding=finding(facts, targets),
    )


def reason_text(target: Target) -> str:
    why = ": ".join(part for part in (target.reason, target.description) if part)
    return f"{target.id}:{target.port} {target.state}" + (f" ({why})" if why else "")


def finding(facts: GroupFacts, targets: Sequence[Target]) -> Finding:
    """Why they are not healthy, as far as the load balancer's reasons tell."""
    ill = [target for target in targets if target.state not in ("healthy", *SETTLING)]
    evidence = tuple(
        Evidence(f"DescribeTargetHealth {facts.name}", reason_text(target)) for target in ill
    )
    status = (f"inv {facts.service}.status",)
    reasons = {target.reason for target in ill}
    if wrong_path(facts):  # then the reasons are those of whatever answers there
        return mismatched(facts, evidence)
    if not ill and not closed(
        facts, port_of(facts, targets)
    ):  # where it is closed, its tasks have been stopped already
        what = f"{facts.name} has no target that takes requests"
        return Finding("no_targets", what, "certain", fix=status)
    if not ill or "Target.Timeout" in reasons:
        return timed_out(facts, port_of(facts, ill or targets), evidence)
    if "Target.ResponseCodeMismatch" in reasons:
        return mismatched(facts, evidence)
    if "Target.FailedHealthChecks" in reasons:
        port = ill[0].port
        what = (
            f"the tasks of {facts.service} refuse connections on port {port}: the application "
            f"listens on another one, or not yet"
        )
        return Finding("target_port", what, "likely", evidence, ("inv preflight", *status))
    return Finding(
        "target_unhealthy", f"targets of {facts.name} are not healthy", "likely", evidence, status
    )


def checked_path(facts: GroupFacts) -> str:
    return facts.group.health_path if isinstance(facts.group, TargetGroup) else ""


def wrong_path(facts: GroupFacts) -> bool:
    """Whether the load balancer asks for another path than the configured one."""
    return bool(
        checked_path(facts) and facts.health_path and checked_path(facts) != facts.health_path
    )


def mismatched(facts: GroupFacts, evidence: tuple[Evidence, ...]) -> Finding:
    path, wrong = checked_path(facts), wrong_path(facts)
    expected = f", invoke.yaml says {facts.health_path}" if wrong else ""
    what = (
        f"the health check of {facts.name} asks {path or 'its path'}{expected}, and gets "
        f"another answer than it wants"
    )
    arn = facts.group.arn if isinstance(facts.group, TargetGroup) else facts.name
    command = (
        f"{facts.aws} elbv2 modify-target-group --target-group-arn {arn} --health-check-path "
        f"{facts.health_path}"
    )
    fix = (command,) if wrong else ()
    return Finding(
        "target_unhealthy",
        what,
        "certain" if wrong else "likely",
        evidence,
        (*fix, f"inv {facts.service}.status"),
    )


def port_of(facts: GroupFacts, targets: Sequence[Target]) -> int:
    return (
        targets[0].port
        if targets
        else facts.group.port
        if isinstance(facts.group, TargetGroup)
        else 0
    )


def closed(facts: GroupFacts, port: int) -> bool:
    """Whether it was looked at, and nothing lets the load balancer in."""
    if (
        facts.ingress is None
        or isinstance(facts.ingress, Unknown)
        or isinstance(facts.balancer, Unknown)
    ):
        return False
    return bool(facts.security_groups) and not lets(facts.ingress, facts.balancer, port)


def timed_out(facts: GroupFacts, port: int, evidence: tuple[Evidence, ...]) -> Finding:
    if closed(facts, port):
        groups = ", ".join(facts.security_groups)
        shown = Evidence(
            "DescribeSecurityGroups", f"{groups}: nothing lets the load balancer in on port {port}"
        )
        what = (
            f"the security group of {facts.service} does not let the load balancer in on port "
            f"{port}"
        )
        source = (
            next(iter(facts.balancer), "GROUP")
            if not isinstance(facts.balancer, Unknown)
            else "GROUP"
        )
        rule = (
            f"--group-id {facts.security_groups[0]} --protocol tcp --port {port} "
            f"--source-group {source}"
        )
        fix = f"{facts.aws} ec2 authorize-security-group-ingress {rule}"
        return Finding(
            "security_group_closed", what, "certain", (*evidence, shown), (fix, "inv tf.drift")
        )
    what = f"the tasks of {facts.service} do not answer the health check in time on port {port}"
    return Finding(
        "target_timeout", what, "likely", evidence, (f"inv {facts.service}.status", "inv tf.drift")
    )


def lets(rules: Iterable[Ingress], balancer: Sequence[str], port: int) -> bool:
    """Whether a rule may let the load balancer in: one of its groups, or any address range (its own
    addresses are not looked up).

    Any group may be the load balancer's where it is not known to have one.
    """
    for rule in rules:
        fits = rule.protocol == "-1" or (rule.protocol == "tcp" and rule.first <= port <= rule.last)
        if fits and any(
            not balancer or source in balancer or not source.startswith("sg-")
            for source in rule.sources
        ):
            return True
    return False
