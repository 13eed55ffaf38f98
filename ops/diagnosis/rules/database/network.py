"""Causes in the network between the tasks and the database."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_address, ip_network
from typing import Any

from ops.core.findings import Evidence, Finding, Unknown
from ops.diagnosis.facts import Incident, ServiceFact, evidence
from ops.diagnosis.model import Candidate
from ops.diagnosis.rules.causes import cause
from ops.diagnosis.rules.database.symptoms import (
    CLIENTS_FAIL,
    clients,
    instance,
    log_evidence,
    suffers,
)

_DEFAULT_PORT = 5432


@cause(
    "database_security_group_closed",
    layer="network",
    symptoms="The application's connections to the database time out; RDS is available.",
    cure="Allow the tasks' security group on the database's port, in Terraform too.",
    explains=("database_unreachable", *CLIENTS_FAIL),
)
def database_security_group_closed(incident: Incident) -> Iterator[Candidate]:
    """No rule of the database's security groups allows a service's tasks, or theirs lets out."""
    found, groups = instance(incident), incident.content("rds/security-groups")
    if not found or not groups or found.get("DBInstanceStatus") != "available":
        return
    database = [
        each["VpcSecurityGroupId"]
        for each in found.get("VpcSecurityGroups") or ()
        if each.get("Status", "active") == "active"
    ]
    port = int((found.get("Endpoint") or {}).get("Port") or _DEFAULT_PORT)
    for service in clients(incident):
        tasks = _task_groups(service)
        known = [*database, *tasks]
        if not database or not tasks or any(each not in groups for each in known):
            continue
        if not suffers(incident, service):
            continue
        if not _open([groups[each] for each in database], "IpPermissions", port, tasks, service):
            yield _closed(incident, service, database[0], groups, port, inbound=True)
        elif not _open(
            [groups[each] for each in tasks], "IpPermissionsEgress", port, database, None
        ):
            yield _closed(incident, service, database[0], groups, port, inbound=False)


def _task_groups(service: ServiceFact) -> list[str]:
    place = (service.raw.get("networkConfiguration") or {}).get("awsvpcConfiguration") or {}
    return list(place.get("securityGroups") or ())


def _open(
    groups: Iterable[Mapping[str, Any]],
    direction: str,
    port: int,
    peers: list[str],
    service: ServiceFact | None,
) -> bool:
    """Whether a rule may allow the traffic. Doubt counts as open.

    Addresses are compared with those of the service's tasks; without one (egress, or no task runs)
    any range may be the right one. So may a prefix list.
    """
    for group in groups:
        for rule in group.get(direction) or ():
            if not _covers(rule, port):
                continue
            if any(each.get("GroupId") in peers for each in rule.get("UserIdGroupPairs") or ()):
                return True
            if rule.get("PrefixListIds") or _ranges_allow(rule, service):
                return True
    return False


def _covers(rule: Mapping[str, Any], port: int) -> bool:
    if str(rule.get("IpProtocol")) == "-1":
        return True
    return str(rule.get("IpProtocol")) in ("tcp", "6") and int(
        rule.get("FromPort", 0)
    ) <= port <= int(rule.get("ToPort", 65_535))


def _ranges_allow(rule: Mapping[str, Any], service: ServiceFact | None) -> bool:
    ranges = [each["CidrIp"] for each in rule.get("IpRanges") or ()]
    running = () if service is None or isinstance(service.running, Unknown) else service.running
    addresses = [task.address for task in running if task.address]
    if not addresses:
        return bool(ranges)
    return any(
        ip_address(address) in ip_network(span, strict=False)
        for span in ranges
        for address in addresses
    )


def _closed(
    incident: Incident,
    service: ServiceFact,
    database: str,
    groups: Mapping[str, Any],
    port: int,
    *,
    inbound: bool,
) -> Candidate:
    timeouts = log_evidence(incident, service, "silent")
    tasks = _task_groups(service)[0]
    where, direction, peer = (
        (database, "ingress", tasks) if inbound else (tasks, "egress", database)
    )
    summary = (
        f"{service.name}: security group {where} "
        f"{'of the database does not allow' if inbound else 'of the tasks does not let out to'} "
        f"{peer} on port {port}"
    )
    name = "IpPermissions" if inbound else "IpPermissionsEgress"
    rules = groups[where].get(name) or ()
    rule = f"IpProtocol=tcp,FromPort={port},ToPort={port},UserIdGroupPairs=[{{GroupId={peer}}}]"
    command = (
        f"{incident.aws} ec2 authorize-security-group-{direction} --group-id {where} "
        f"--ip-permissions '{rule}'"
    )
    finding = Finding(
        "database_security_group_closed",
        summary,
        "certain" if timeouts else "likely",
        (*_rule_evidence(f"DescribeSecurityGroups {where} {name}", rules), *timeouts),
        (command, "inv health.all"),
    )
    because = (
        "connections time out, where a wrong password or name would be refused at once"
        if timeouts
        else "RDS is available, and no rule allows this service's tasks"
    )
    return Candidate(finding, service.name, because)


def _rule_evidence(source: str, rules: Iterable[Mapping[str, Any]]) -> Iterator[Evidence]:
    listed = [_rule_text(each) for each in rules]
    for text in listed[:5] or ["no rules"]:
        yield evidence(source, text)


def _rule_text(rule: Mapping[str, Any]) -> str:
    peers = [
        *(each.get("GroupId", "") for each in rule.get("UserIdGroupPairs") or ()),
        *(each.get("CidrIp", "") for each in rule.get("IpRanges") or ()),
        *(each.get("PrefixListId", "") for each in rule.get("PrefixListIds") or ()),
    ]
    ports = f"{rule['FromPort']}-{rule.get('ToPort')}" if "FromPort" in rule else "all ports"
    return f"{rule.get('IpProtocol')} {ports} {', '.join(peers)}".strip()
