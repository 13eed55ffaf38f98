"""Checks of target groups and causes of unhealthy targets (runbook 5 and 7).

The load balancer's reason distinguishes a timeout (mostly a security group), a refused connection
(wrong port), and a wrong status code (wrong path, or a failing application).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ops.aws.facts import Ingress, Target, TargetGroup
from ops.core.findings import Evidence, Finding, Unknown
from ops.health.model import Check, CheckKey

_SETTLING = ("draining", "initial")
_BAD = ("unhealthy", "unhealthy.draining", "unused", "unavailable")
_UNREAD_ACLS = Evidence(
    "network ACLs", "not read; they can block it even where security groups allow it"
)


@dataclass(frozen=True)
class GroupFacts:
    """Facts about one target group of one service.

    `ingress`: rules of the tasks' security groups, None if not read. `balancer`: security groups of
    the load balancer.
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


def serving_group(
    groups: Mapping[str, tuple[Target, ...] | Unknown], weights: Mapping[str, int] | None = None
) -> str:
    """Return the target group to check, of the two that a blue/green service has.

    It has the largest share of production's traffic (`weights`). Where the shares are unknown or
    equal, it has the most healthy targets; an unreadable group is preferred to one with none.
    """

    def rank(arn: str) -> tuple[int, float]:
        found = groups[arn]
        healthy = (
            0.5
            if isinstance(found, Unknown)
            else sum(target.state == "healthy" for target in found)
        )
        return (weights or {}).get(arn, 0), healthy

    return max(groups, key=rank)


def may_be_blocked(found: Sequence[Target]) -> bool:
    """Whether a security group may block the load balancer, so that its rules are worth reading.

    True if a target timed out, or all are draining or initial.
    """
    return any(each.reason == "Target.Timeout" for each in found) or all(
        each.state in _SETTLING for each in found
    )


def check(facts: GroupFacts) -> Check:
    key = CheckKey("targets", "target group", facts.service, part=facts.name)
    targets = facts.targets
    if isinstance(targets, Unknown):
        return Check.unread(key, targets, service=facts.service)
    standing = [target for target in targets if target.state not in _SETTLING]
    healthy = [target for target in standing if target.state == "healthy"]
    value = f"{len(healthy)}/{len(standing)} healthy"
    if standing and len(healthy) == len(standing):
        moving = [target for target in targets if target.state in _SETTLING]
        note = f", {len(moving)} {moving[0].state}" if moving else ""
        if isinstance(facts.group, Unknown):
            why = f"{value}{note}; its health check is unknown: {facts.group.why}"
            return Check(
                key, "unknown", why, value, service=facts.service, denied=facts.group.denied
            )
        return Check(key, "ok", f"{value}{note}", value, service=facts.service)
    shown = (
        "; ".join(_reason_text(target) for target in targets if target.state != "healthy")
        or "no target is registered"
    )
    if standing and not any(target.state in _BAD for target in standing):
        why = f"{value}; a state that is not known here: {shown}"
        return Check(key, "unknown", why, value, service=facts.service)
    detail = f"{value}, expected all: {shown}"
    return Check(
        key,
        "failed",
        detail,
        value,
        service=facts.service,
        finding=_finding(facts, targets),
    )


def _reason_text(target: Target) -> str:
    why = ": ".join(part for part in (target.reason, target.description) if part)
    return f"{target.id}:{target.port} {target.state}" + (f" ({why})" if why else "")


def _finding(facts: GroupFacts, targets: Sequence[Target]) -> Finding:
    """Diagnose unhealthy targets from the load balancer's reasons."""
    unhealthy = [target for target in targets if target.state not in ("healthy", *_SETTLING)]
    evidence = tuple(
        Evidence(f"DescribeTargetHealth {facts.name}", _reason_text(target)) for target in unhealthy
    )
    status = (f"inv {facts.service}.status",)
    reasons = {target.reason for target in unhealthy}
    if _wrong_path(facts):  # the reasons then describe the wrong path
        return _response_mismatch(facts, evidence)
    if not unhealthy and not _is_blocked(
        facts, _port_of(facts, targets)
    ):  # a blocked group's tasks may have been stopped already
        what = f"{facts.name} has no target that takes requests"
        return Finding("no_targets", what, "certain", fix=status)
    if not unhealthy or "Target.Timeout" in reasons:
        return _timeout_finding(facts, _port_of(facts, unhealthy or targets), evidence)
    if "Target.ResponseCodeMismatch" in reasons:
        return _response_mismatch(facts, evidence)
    if "Target.FailedHealthChecks" in reasons:
        port = unhealthy[0].port
        what = (
            f"the tasks of {facts.service} refuse connections on port {port}: the application "
            f"listens on another one, or not yet"
        )
        return Finding("target_port", what, "likely", evidence, ("inv preflight", *status))
    return Finding(
        "target_unhealthy", f"targets of {facts.name} are not healthy", "likely", evidence, status
    )


def _checked_path(facts: GroupFacts) -> str:
    return facts.group.health_path if isinstance(facts.group, TargetGroup) else ""


def _wrong_path(facts: GroupFacts) -> bool:
    """Whether the health check path differs from the configured one."""
    return bool(
        _checked_path(facts) and facts.health_path and _checked_path(facts) != facts.health_path
    )


def _response_mismatch(facts: GroupFacts, evidence: tuple[Evidence, ...]) -> Finding:
    path, wrong = _checked_path(facts), _wrong_path(facts)
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


def _port_of(facts: GroupFacts, targets: Sequence[Target]) -> int:
    return (
        targets[0].port
        if targets
        else facts.group.port
        if isinstance(facts.group, TargetGroup)
        else 0
    )


def _is_blocked(facts: GroupFacts, port: int) -> bool:
    """Whether the rules were read and none lets the load balancer in."""
    if (
        facts.ingress is None
        or isinstance(facts.ingress, Unknown)
        or isinstance(facts.balancer, Unknown)
    ):
        return False
    return bool(facts.security_groups) and not _allows(facts.ingress, facts.balancer, port)


def _timeout_finding(facts: GroupFacts, port: int, evidence: tuple[Evidence, ...]) -> Finding:
    if _is_blocked(facts, port):
        groups = ", ".join(facts.security_groups)
        shown = Evidence(
            "DescribeSecurityGroups", f"{groups}: nothing lets the load balancer in on port {port}"
        )
        what = (
            f"the security group of {facts.service} does not let the load balancer in on port "
            f"{port}"
        )
        if not isinstance(facts.balancer, tuple) or not facts.balancer:
            return Finding(  # which group to let in is not known, nor that it is the cause
                "security_group_closed", what, "likely", (*evidence, shown), ("inv tf.drift",)
            )
        rule = (
            f"--group-id {facts.security_groups[0]} --protocol tcp --port {port} "
            f"--source-group {facts.balancer[0]}"
        )
        fix = f"{facts.aws} ec2 authorize-security-group-ingress {rule}"
        return Finding(
            "security_group_closed", what, "certain", (*evidence, shown), (fix, "inv tf.drift")
        )
    what = f"the tasks of {facts.service} do not answer the health check in time on port {port}"
    commands = (f"inv {facts.service}.status", "inv tf.drift")
    return Finding("target_timeout", what, "likely", (*evidence, _UNREAD_ACLS), commands)


def _allows(rules: Iterable[Ingress], balancer: Sequence[str], port: int) -> bool:
    """Whether a rule allows the load balancer: one of its groups, or any address range.

    Any group may be the load balancer's if its own are unknown.
    """
    for rule in rules:
        fits = rule.protocol == "-1" or (rule.protocol == "tcp" and rule.first <= port <= rule.last)
        if fits and any(
            not balancer or source in balancer or not source.startswith("sg-")
            for source in rule.sources
        ):
            return True
    return False
