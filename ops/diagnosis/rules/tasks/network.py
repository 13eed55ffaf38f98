"""Causes between tasks and AWS's services: routes, NAT gateways, endpoints, security groups."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ops.core.findings import Finding
from ops.diagnosis.facts import Incident, ServiceFact
from ops.diagnosis.model import Candidate
from ops.diagnosis.rules.causes import cause
from ops.diagnosis.rules.tasks.reach import Kind, Obstacle, Way, first_obstacle
from ops.diagnosis.rules.tasks.stops import FailedStop, place, stop_evidence, troubled

_EXPLAINS = (
    "image_network",
    "image_pull_failed",
    "secret_network",
    "log_network",
    "service_unsteady",
    "no_targets",
)
_NAMES = {
    "ecr.api": "ECR",
    "ecr.dkr": "ECR",
    "s3": "S3, where ECR keeps layers",
    "secretsmanager": "Secrets Manager",
    "ssm": "Systems Manager",
    "logs": "CloudWatch Logs",
    "internet": "a registry on the internet",
}
_TARGETS = (  # the first pattern that matches names the service that was not reached
    ("internet", r"docker\.io|public\.ecr\.aws|ghcr\.io|quay\.io|registry\.gitlab\.com"),
    ("s3", r"starport-layer-bucket|s3(?:-fips)?(?:\.dualstack)?\.[a-z0-9-]+\.amazonaws\.com"),
    (
        "ecr.api",
        r"registry auth from Amazon ECR|retrieve ecr registry auth|//(?:api\.)?ecr(?:-fips)?\.",
    ),
    ("ssm", r"Systems Manager|secrets? from ssm|//ssm(?:-fips)?\."),
    ("secretsmanager", r"Secrets Manager|secrets? from asm|//secretsmanager(?:-fips)?\."),
    ("logs", r"CloudWatch|logger args|//logs(?:-fips)?\."),
    ("ecr.dkr", r"\.dkr[.-]ecr(?:-fips)?\.|//\d+\.\d+\.\d+\.\d+:\d+/v2/|CannotPull"),
)


@dataclass(frozen=True)
class _Blocked:
    service: ServiceFact
    obstacle: Obstacle
    target: str
    stops: tuple[FailedStop, ...]


@cause(
    "no_route",
    layer="network",
    symptoms="Tasks stop with i/o timeout or a connection issue; their subnet has no way out.",
    cure="Public subnet: assign a public IP. Private subnet: a route to a NAT gateway, or VPC "
    "endpoints.",
    explains=_EXPLAINS,
)
def no_route(incident: Incident) -> Iterator[Candidate]:
    """The subnet of the tasks has no route to the service that they could not reach."""
    yield from _candidates(incident, "no_route")


@cause(
    "endpoint_missing",
    layer="network",
    symptoms="Tasks stop with i/o timeout; their VPC has endpoints, but not for this service "
    "(layers of images come from S3).",
    cure="Create the missing endpoint: an interface endpoint with private DNS, or for S3 a "
    "gateway endpoint in the subnet's route table.",
    explains=_EXPLAINS,
)
def endpoint_missing(incident: Incident) -> Iterator[Candidate]:
    """A VPC without a way out lacks the endpoint of the service that was not reached."""
    yield from _candidates(incident, "endpoint_missing")


@cause(
    "endpoint_closed",
    layer="network",
    symptoms="Tasks stop with i/o timeout; the endpoint's security group does not let them in.",
    cure="Allow port 443 from the tasks' security group in the endpoint's group.",
    explains=_EXPLAINS,
)
def endpoint_closed(incident: Incident) -> Iterator[Candidate]:
    """The security group of an interface endpoint does not admit the tasks."""
    yield from _candidates(incident, "endpoint_closed")


@cause(
    "egress_closed",
    layer="network",
    symptoms="Tasks stop with i/o timeout; their security group lets no HTTPS out.",
    cure="Allow port 443 outbound in the tasks' security group.",
    explains=(*_EXPLAINS, "database_unreachable", "database_security_group_closed"),
)
def egress_closed(incident: Incident) -> Iterator[Candidate]:
    """The security groups of the tasks let no HTTPS out."""
    yield from _candidates(incident, "egress_closed")


def _candidates(incident: Incident, kind: Kind) -> Iterator[Candidate]:
    for each in _blocked(incident):
        if each.obstacle.kind != kind:
            continue
        fix = tuple(f"{incident.aws} {command}" for command in each.obstacle.fix)
        fix = fix or _place_fix(incident, each)
        yield Candidate(
            Finding(
                kind,
                f"{each.service.name}: tasks do not reach {_NAMES[each.target]}: "
                f"{each.obstacle.hop}",
                "certain",
                (*each.obstacle.evidence, *map(stop_evidence, each.stops)),
                fix,
            ),
            each.service.name,
            "the connection timed out, and EC2's configuration shows the hop where it ends",
        )


def _place_fix(incident: Incident, blocked: _Blocked) -> tuple[str, ...]:
    """Give the tasks a public IP address, where that is what lacks."""
    if "assignPublicIp" not in blocked.obstacle.hop:
        return (f"{incident.aws} ec2 describe-route-tables",)
    where = place(blocked.service)
    subnets = ",".join(where.get("subnets") or ())
    groups = ",".join(where.get("securityGroups") or ())
    return (
        f"{incident.aws} ecs update-service --cluster {incident.subject['cluster']} "
        f"--service {blocked.service.ecs_service} --network-configuration "
        f"'awsvpcConfiguration={{subnets=[{subnets}],securityGroups=[{groups}],"
        "assignPublicIp=ENABLED}'",
    )


def _blocked(incident: Incident) -> Iterator[_Blocked]:
    """The stops without a connection whose obstacle the documents show, folded by target."""
    for service, stops in troubled(incident):
        by_way: dict[Way, list[FailedStop]] = {}
        for stop in stops:
            if stop.cause.reason.network:
                by_way.setdefault(_way(incident, service, stop), []).append(stop)
        for way, same in by_way.items():
            if obstacle := first_obstacle(incident, way):
                yield _Blocked(service, obstacle, way.service, tuple(same))


def _way(incident: Incident, service: ServiceFact, stop: FailedStop) -> Way:
    where = place(service)
    subnet = _subnet(incident, service, stop) or next(iter(where.get("subnets") or ()), "")
    return Way(
        subnet,
        tuple(where.get("securityGroups") or ()),
        where.get("assignPublicIp") == "ENABLED",
        _target(stop.text),
    )


def _subnet(incident: Incident, service: ServiceFact, stop: FailedStop) -> str:
    """The subnet of a stopped task's network interface, or ""."""
    tasks = (incident.content("ecs/tasks") or {}).get(service.ecs_service) or {}
    for raw in tasks.get("stopped") or ():
        if raw["taskArn"] == stop.task.arn:
            for attachment in raw.get("attachments") or ():
                for detail in attachment.get("details") or ():
                    if detail.get("name") == "subnetId":
                        return str(detail.get("value") or "")
    return ""


def _target(text: str) -> str:
    return next(
        (service for service, pattern in _TARGETS if re.search(pattern, text, re.IGNORECASE)),
        "ecr.dkr",
    )
