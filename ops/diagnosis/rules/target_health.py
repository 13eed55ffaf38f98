"""Causes in the health check of a target group."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ops.aws.facts import Target
from ops.core.findings import Evidence, Finding, Unknown
from ops.diagnosis.facts import GroupFact, Incident, ServiceFact, evidence
from ops.diagnosis.model import Candidate
from ops.diagnosis.rules.causes import cause

_CODES = re.compile(r"\[(\d{3})\]")
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
    ),
)
def health_path_wrong(incident: Incident) -> Iterator[Candidate]:
    """The target group checks a path that the application does not have."""
    for service in incident.services:
        for group in service.target_groups:
            refused = [each for each in unhealthy(group) if answer_code(each) in _NO_SUCH_PATH]
            if refused:
                yield _wrong_path(incident, service, group, refused)


def _wrong_path(
    incident: Incident, service: ServiceFact, group: GroupFact, refused: list[Target]
) -> Candidate:
    path = group.group.health_path
    configured = incident.subject["services"][service.name].get("health_path") or path
    differs = f"; invoke.yaml has {configured}" if configured != path else ""
    codes = ", ".join(sorted({answer_code(each) for each in refused}))
    finding = Finding(
        "health_path_wrong",
        f"{service.name}: the health check of {group.group.name} requests {path} and gets "
        f"{codes}{differs}",
        "certain" if differs else "likely",
        tuple(map(target_evidence, refused)),
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
