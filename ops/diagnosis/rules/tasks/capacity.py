"""Causes in capacity: Fargate, quotas, addresses of subnets, Spot."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ops.core.findings import Evidence, Finding
from ops.diagnosis.facts import Incident, evidence
from ops.diagnosis.model import Candidate
from ops.diagnosis.rules.causes import cause
from ops.diagnosis.rules.tasks.stops import (
    event_evidence,
    place,
    recent_events,
    stop_evidence,
    troubled,
)

_CONSEQUENCES = ("service_unsteady", "no_targets")
_UNAVAILABLE = re.compile(r"Capacity is unavailable at this time", re.IGNORECASE)
_QUOTA = re.compile(
    r"reached the limit on the number of (?P<what>vCPUs|tasks)|"
    r"The maximum number of network interfaces has been reached|NetworkInterfaceLimitExceeded|"
    r"reached the limit for .{0,40}network interfaces",
    re.IGNORECASE,
)
_NO_INSTANCE = re.compile(r"no container instance met all of its requirements", re.IGNORECASE)
_SPOT = "FARGATE_SPOT"
_QUOTA_CODES = {"vCPUs": "L-3032A538", "network interfaces": "L-DF5E4CA3"}


def _from_texts(
    incident: Incident, pattern: re.Pattern[str]
) -> Iterator[tuple[str, str, Evidence]]:
    """Service, match and evidence of events and stop reasons; the newest of each service."""
    for service in incident.services:
        for event in recent_events(service):
            if found := pattern.search(event.message):
                yield service.name, found[0], event_evidence(event)
                break
    for service, stops in troubled(incident):
        for stop in stops[:1]:
            if found := pattern.search(stop.text):
                yield service.name, found[0], stop_evidence(stop)


@cause(
    "capacity",
    layer="capacity",
    symptoms="ECS says: Capacity is unavailable at this time.",
    cure="Wait, use other Availability Zones, or another capacity provider.",
    explains=_CONSEQUENCES,
)
def capacity(incident: Incident) -> Iterator[Candidate]:
    """An event or a stop reason says that Fargate has no capacity."""
    for name, _, found in _from_texts(incident, _UNAVAILABLE):
        service = incident.service(name)
        strategy = (service.raw.get("capacityProviderStrategy") or []) if service else []
        spot = bool(strategy) and all(each["capacityProvider"] == _SPOT for each in strategy)
        kind = "Fargate Spot" if spot else "Fargate"
        zones = _zones(incident, name)
        yield Candidate(
            Finding(
                "capacity",
                f"{name}: {kind} has no capacity for a task at the moment"
                + (f" in {', '.join(zones)}" if zones else ""),
                "certain",
                (found, *_strategy_evidence(strategy)),
                (f"inv {name}.watch",),
            ),
            name,
            "ECS says so itself; nothing of the task definition is involved",
        )


def _zones(incident: Incident, name: str) -> list[str]:
    service = incident.service(name)
    known = incident.content("ec2/subnets") or {}
    named = place(service).get("subnets") or () if service else ()
    return sorted({known[each]["AvailabilityZone"] for each in named if each in known})


def _strategy_evidence(strategy: list[dict[str, object]]) -> tuple[Evidence, ...]:
    if not strategy:
        return ()
    texts = [f"{each['capacityProvider']} weight {each.get('weight', 0)}" for each in strategy]
    return (evidence("DescribeServices capacityProviderStrategy", ", ".join(texts)),)


@cause(
    "quota_reached",
    layer="capacity",
    symptoms="ECS says: You've reached the limit on the number of vCPUs you can run concurrently.",
    cure="Stop other tasks, or request a higher quota in Service Quotas.",
    explains=(*_CONSEQUENCES, "network_interface", "capacity"),
)
def quota_reached(incident: Incident) -> Iterator[Candidate]:
    """An event or a stop reason says that a quota of the account is reached."""
    for name, text, found in _from_texts(incident, _QUOTA):
        what = next((each for each in _QUOTA_CODES if each.lower() in text.lower()), "tasks")
        service, code = (
            ("vpc", _QUOTA_CODES[what])
            if what == "network interfaces"
            else ("fargate", _QUOTA_CODES["vCPUs"])
        )
        yield Candidate(
            Finding(
                "quota_reached",
                f"{name}: the account's quota of {what} is reached, so no task can be placed",
                "certain",
                (found,),
                (
                    f"{incident.aws} service-quotas get-service-quota --service-code {service} "
                    f"--quota-code {code}",
                ),
            ),
            name,
            "ECS names the quota; capacity of AWS itself is reported in other words",
        )


@cause(
    "instances_full",
    layer="capacity",
    symptoms="An event says: no container instance met all of its requirements.",
    cure="Add instances to the cluster, or reduce the task's cpu and memory.",
    explains=_CONSEQUENCES,
)
def instances_full(incident: Incident) -> Iterator[Candidate]:
    """An event says that no EC2 instance of the cluster can take the task."""
    for name, _, found in _from_texts(incident, _NO_INSTANCE):
        yield Candidate(
            Finding(
                "instances_full",
                f"{name}: no instance of the cluster can take the task",
                "certain",
                (found,),
                (
                    f"{incident.aws} ecs list-container-instances --cluster "
                    f"{incident.subject['cluster']}",
                ),
            ),
            name,
            "ECS's event says which requirement was not met",
        )


@cause(
    "subnet_full",
    layer="capacity",
    symptoms="ECS says: InsufficientFreeAddressesInSubnet.",
    cure="Use a larger subnet, or end other network interfaces.",
    explains=(*_CONSEQUENCES, "network_interface"),
)
def subnet_full(incident: Incident) -> Iterator[Candidate]:
    """A task got no address, and a subnet of the service has none left."""
    for service, stops in troubled(incident):
        failed = [each for each in stops if "InsufficientFreeAddresses" in each.text]
        subnets = incident.content("ec2/subnets") or {}
        named = place(service).get("subnets") or ()
        full = [
            subnets[each]
            for each in named
            if each in subnets and subnets[each]["AvailableIpAddressCount"] < 1
        ]
        if not failed or not full:
            continue
        names = ", ".join(f"{each['SubnetId']} ({each['CidrBlock']})" for each in full)
        yield Candidate(
            Finding(
                "subnet_full",
                f"{service.name}: no free address in {names}",
                "certain",
                (
                    *(
                        evidence(
                            f"DescribeSubnets {each['SubnetId']}",
                            each["CidrBlock"],
                            f"AvailableIpAddressCount: {each['AvailableIpAddressCount']}",
                        )
                        for each in full
                    ),
                    *map(stop_evidence, failed),
                ),
                (
                    f"{incident.aws} ec2 describe-network-interfaces --filters "
                    f"Name=subnet-id,Values={full[0]['SubnetId']}",
                ),
            ),
            service.name,
            "EC2 counts no free address there, and the tasks stopped for lack of one",
        )
