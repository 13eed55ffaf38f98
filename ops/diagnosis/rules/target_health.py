"""Causes in the health check of a target group."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta

from ops.aws.facts import Event, Target
from ops.core.findings import Evidence, Finding, Unknown
from ops.diagnosis.facts import GroupFact, Incident, ServiceFact, evidence
from ops.diagnosis.model import Candidate
from ops.diagnosis.rules.causes import cause

_CODES = re.compile(r"\[(\d{3})\]")
_RECENT = timedelta(minutes=15)
_NO_SUCH_PATH = ("403", "404", "405")


@cause(
    "health_path_wrong",
    layer="target",
    symptoms="Targets are unhealthy with a code such as 404, while the application runs.",
    cure="Correct the path of the target group's health check (Terraform), or serve that path.",
    explains=(
        "target_unhealthy",
        "service_unsteady",
        "page_failing",
        "page_slow",
        "wrong_body",
        "log_errors",
        "fails_open",
        "rollout_reverted_*",
    ),
)
def health_path_wrong(incident: Incident) -> Iterator[Candidate]:
    """The target group checks a path that the application does not have."""
    for service in incident.services:
        for group in service.target_groups:
            refused = {
                answer_code(each): target_evidence(each)
                for each in unhealthy(group)
                if answer_code(each) in _NO_SUCH_PATH
            } or _refused_before(incident, service, group)
            if refused:
                yield _wrong_path(incident, service, group, refused)


def _refused_before(
    incident: Incident, service: ServiceFact, group: GroupFact
) -> dict[str, Evidence]:
    """Code → a recent event in which ECS names it; empty while a target has a result of its own.

    ECS replaces unhealthy tasks, so that for a while no target is unhealthy.
    """
    targets = () if isinstance(group.targets, Unknown) else group.targets
    if any(each.state in ("healthy", "unhealthy") for each in targets):
        return {}
    return {
        code: evidence(f"DescribeServices {service.ecs_service} event", event.message)
        for event in unhealthy_events(incident, service, group)
        for code in _CODES.findall(event.message)
        if code in _NO_SUCH_PATH
    }


def unhealthy_events(incident: Incident, service: ServiceFact, group: GroupFact) -> Iterator[Event]:
    """Recent events in which ECS calls a target of this group unhealthy."""
    for event in service.events:
        recent = event.at is not None and incident.at - event.at <= _RECENT
        if recent and f"is unhealthy in (target-group {group.group.arn})" in event.message:
            yield event


def _wrong_path(
    incident: Incident, service: ServiceFact, group: GroupFact, refused: dict[str, Evidence]
) -> Candidate:
    path = group.group.health_path
    configured = incident.subject["services"][service.name].get("health_path") or path
    differs = f"; invoke.yaml has {configured}" if configured != path else ""
    codes = ", ".join(sorted(refused))
    finding = Finding(
        "health_path_wrong",
        f"{service.name}: the health check of {group.group.name} requests {path} and gets "
        f"{codes}{differs}",
        "certain" if differs else "likely",
        tuple(refused.values()),
        (
            f"{incident.aws} elbv2 modify-target-group --target-group-arn {group.group.arn} "
            f"--health-check-path {configured}",
        )
        if differs
        else (f"inv {service.name}.logs --grep '{path}' --since 5m",),
    )
    because = "the targets answer, so they listen and the network is open; only this path fails"
    return Candidate(finding, service.name, because)


def unhealthy(group: GroupFact) -> tuple[Target, ...]:
    """The unhealthy targets of a group; none if they are unknown."""
    if isinstance(group.targets, Unknown):
        return ()
    return tuple(each for each in group.targets if each.state == "unhealthy")


def target_evidence(target: Target) -> Evidence:
    """The target's health, as DescribeTargetHealth words it."""
    source = f"DescribeTargetHealth {target.id}:{target.port}"
    return evidence(source, target.state, target.reason, target.description)


def answer_code(target: Target) -> str:
    """The HTTP status that the health check got, or ""."""
    found = _CODES.search(target.description)
    return found[1] if found and target.reason == "Target.ResponseCodeMismatch" else ""
