"""The way from a task to one of AWS's services, by EC2's documents: its first obstacle.

Only what the documents say for certain is an obstacle. Targets of routes that are not understood
(transit gateways, firewalls, instances) and documents that were not read are none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any, Literal

from ops.core.findings import Evidence
from ops.diagnosis.facts import Incident, evidence

Kind = Literal["no_route", "endpoint_missing", "endpoint_closed", "egress_closed"]
_HTTPS = 443
_EVERYWHERE = "0.0.0.0/0"
_UNUSABLE = (  # states of a VPC endpoint; another one may let traffic through
    "deleted",
    "deleting",
    "expired",
    "failed",
    "pending",
    "pendingacceptance",
    "rejected",
)
_NEEDED_BY_FARGATE = ("ecr.api", "ecr.dkr", "secretsmanager", "ssm", "logs")


@dataclass(frozen=True)
class Way:
    """From a subnet, through the task's security groups, to a service of AWS.

    `service` is "ecr.api", "s3" …, or "internet" for a registry outside AWS. `public`: the task
    has a public IP address.
    """

    subnet: str
    groups: tuple[str, ...]
    public: bool
    service: str


@dataclass(frozen=True)
class Obstacle:
    """What ends a way: the hop as a sentence, its evidence, and arguments of `aws` that mend it."""

    kind: Kind
    hop: str
    evidence: tuple[Evidence, ...]
    fix: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Vpc:
    """EC2's documents of the incident."""

    subnets: Mapping[str, Any]
    tables: Mapping[str, Any]
    nats: Mapping[str, Any]
    endpoints: Mapping[str, Any]
    groups: Mapping[str, Any]
    region: str


def first_obstacle(incident: Incident, way: Way) -> Obstacle | None:
    """The first hop that the documents show to be closed; None if they show none."""
    names = ("subnets", "route-tables", "nat-gateways", "endpoints", "security-groups")
    subnets, tables, nats, endpoints, groups = (incident.content(f"ec2/{name}") for name in names)
    if None in (subnets, tables, nats, endpoints, groups) or way.subnet not in subnets:
        return None
    vpc = _Vpc(subnets, tables, nats, endpoints, groups, incident.subject["region"])
    subnet = vpc.subnets[way.subnet]
    endpoint = _endpoint(vpc, subnet["VpcId"], way.service)
    if closed := _egress(vpc, way, subnet, endpoint):
        return closed
    if endpoint and endpoint["VpcEndpointType"] == "Interface":
        return _endpoint_group(vpc, way, subnet, endpoint)
    table = _table(vpc, subnet)
    if table is None:
        return None
    gateway = endpoint and table["RouteTableId"] in (endpoint.get("RouteTableIds") or ())
    return None if gateway else _default_route(vpc, way, subnet, table)


def _endpoint(vpc: _Vpc, vpc_id: str, service: str) -> Mapping[str, Any] | None:
    """The endpoint that a service's public name leads to; an interface needs private DNS."""
    name = f".{vpc.region}.{service}"  # after com.amazonaws; some of China's after cn.com.amazonaws
    return next(
        (
            each
            for each in vpc.endpoints.values()
            if each.get("VpcId") == vpc_id
            and str(each.get("ServiceName")).endswith(name)
            and str(each.get("State")).lower() not in _UNUSABLE
            and (each.get("VpcEndpointType") == "Gateway" or each.get("PrivateDnsEnabled"))
        ),
        None,
    )


def _egress(
    vpc: _Vpc, way: Way, subnet: Mapping[str, Any], endpoint: Mapping[str, Any] | None
) -> Obstacle | None:
    """No rule of the task's security groups lets HTTPS out, to anywhere that could be right."""
    if not way.groups or any(each not in vpc.groups for each in way.groups):
        return None
    rules = [rule for each in way.groups for rule in vpc.groups[each]["IpPermissionsEgress"]]
    targets = {each["GroupId"] for each in (endpoint or {}).get("Groups") or ()}
    inside = bool(endpoint) and (endpoint or {}).get("VpcEndpointType") == "Interface"
    if any(_lets_out(rule, inside, targets) for rule in rules if _is_https(rule)):
        return None
    named = ", ".join(way.groups)
    return Obstacle(
        "egress_closed",
        f"the tasks' security group {named} lets no HTTPS out",
        tuple(
            evidence(
                f"DescribeSecurityGroups {each} IpPermissionsEgress",
                _rules_text(vpc.groups[each]["IpPermissionsEgress"]),
            )
            for each in way.groups
        ),
        (
            f"ec2 authorize-security-group-egress --group-id {way.groups[0]} --ip-permissions "
            "'IpProtocol=tcp,FromPort=443,ToPort=443,IpRanges=[{CidrIp=0.0.0.0/0}]'",
        ),
    )


def _lets_out(rule: Mapping[str, Any], inside: bool, targets: set[str]) -> bool:
    """Whether a rule may be meant for this target; ranges and prefix lists are taken as right."""
    pairs = {each.get("GroupId") for each in rule.get("UserIdGroupPairs") or ()}
    if inside and pairs & targets:
        return True
    return any(rule.get(name) for name in ("IpRanges", "Ipv6Ranges", "PrefixListIds"))


def _endpoint_group(
    vpc: _Vpc, way: Way, subnet: Mapping[str, Any], endpoint: Mapping[str, Any]
) -> Obstacle | None:
    """The endpoint's security groups let no HTTPS of the tasks in."""
    groups = [each["GroupId"] for each in endpoint.get("Groups") or ()]
    if not groups or any(each not in vpc.groups for each in groups):
        return None
    rules = [rule for each in groups for rule in vpc.groups[each]["IpPermissions"]]
    if any(_lets_in(rule, way, subnet) for rule in rules if _is_https(rule)):
        return None
    source = f"--source-group {way.groups[0]}" if way.groups else f"--cidr {subnet['CidrBlock']}"
    return Obstacle(
        "endpoint_closed",
        f"the security group {', '.join(groups)} of the endpoint {endpoint['VpcEndpointId']} "
        f"({endpoint['ServiceName']}) does not let the tasks in",
        tuple(
            evidence(
                f"DescribeSecurityGroups {each} IpPermissions",
                _rules_text(vpc.groups[each]["IpPermissions"]),
            )
            for each in groups
        ),
        (
            f"ec2 authorize-security-group-ingress --group-id {groups[0]} --protocol tcp "
            f"--port 443 {source}",
        ),
    )


def _lets_in(rule: Mapping[str, Any], way: Way, subnet: Mapping[str, Any]) -> bool:
    pairs = {each.get("GroupId") for each in rule.get("UserIdGroupPairs") or ()}
    if pairs & set(way.groups) or rule.get("PrefixListIds"):
        return True
    ranges = [each.get("CidrIp", "") for each in rule.get("IpRanges") or ()]
    return any(_overlap(each, subnet["CidrBlock"]) for each in ranges if each)


def _default_route(
    vpc: _Vpc, way: Way, subnet: Mapping[str, Any], table: Mapping[str, Any]
) -> Obstacle | None:
    """What is wrong with the subnet's route out of the VPC, if anything."""
    route = _route_out(table)
    name, source = way.subnet, f"DescribeRouteTables {table['RouteTableId']}"
    if route is None:
        return _no_way_out(vpc, way, subnet, table)
    found = (evidence(source, _route_text(route)),)
    nat = str(route.get("NatGatewayId") or "")
    if nat:
        return _nat_problem(vpc, way, table, nat, found)
    if route.get("State") == "blackhole":
        hop = f"the default route of {name} leads to something that is gone (blackhole)"
        return Obstacle("no_route", hop, found)
    if str(route.get("GatewayId") or "").startswith("igw-") and not way.public:
        hop = (
            f"the subnet {name} leads to an internet gateway, and its tasks have no public IP "
            "address (assignPublicIp is DISABLED)"
        )
        placed = evidence("DescribeServices networkConfiguration", name, "assignPublicIp: DISABLED")
        return Obstacle("no_route", hop, (*found, placed))
    return None


def _nat_problem(
    vpc: _Vpc, way: Way, table: Mapping[str, Any], nat: str, found: tuple[Evidence, ...]
) -> Obstacle | None:
    known: Mapping[str, Any] = vpc.nats.get(nat) or {}
    state = str(known.get("State") or "not found")
    if state in ("failed", "deleting", "deleted", "not found"):
        hop = f"the subnet {way.subnet} leads to the NAT gateway {nat}, which is {state}"
        seen = evidence(f"DescribeNatGateways {nat}", state)
        return Obstacle("no_route", hop, (*found, seen), _to_nat(vpc, table, "replace"))
    if state != "available":
        return None
    beyond = _table(vpc, {"SubnetId": known["SubnetId"], "VpcId": known["VpcId"]})
    out = _route_out(beyond) if beyond else None
    if known.get("ConnectivityType") == "private" or beyond is None:
        return None
    if out is None or out.get("NatGatewayId"):
        hop = (
            f"the subnet {way.subnet} leads to the NAT gateway {nat}, whose own subnet "
            f"{known['SubnetId']} has no route to an internet gateway"
        )
        text = _route_text(out) if out else "no route for 0.0.0.0/0"
        seen = evidence(f"DescribeRouteTables {beyond['RouteTableId']}", text)
        return Obstacle("no_route", hop, (*found, seen))
    return None


def _no_way_out(
    vpc: _Vpc, way: Way, subnet: Mapping[str, Any], table: Mapping[str, Any]
) -> Obstacle:
    """A subnet without a default route: its VPC relies on endpoints, or lacks a NAT gateway."""
    identifier = table["RouteTableId"]
    found = evidence(f"DescribeRouteTables {identifier}", f"no route for {_EVERYWHERE}")
    service = _endpoint_service(vpc.region, way.service)
    others = sorted(
        each["ServiceName"]
        for each in vpc.endpoints.values()
        if each.get("VpcId") == subnet["VpcId"]
    )
    private = any(each.endswith(f".{name}") for each in others for name in _NEEDED_BY_FARGATE)
    if not private or way.service == "internet":
        hop = f"the subnet {way.subnet} has no route out of its VPC ({identifier})"
        return Obstacle("no_route", hop, (found,), _to_nat(vpc, table, "create"))
    seen = evidence("DescribeVpcEndpoints", ", ".join(others))
    hop = (
        f"the subnet {way.subnet} has no route out of its VPC, and its VPC has no usable "
        f"endpoint for {service}"
    )
    return Obstacle(
        "endpoint_missing", hop, (found, seen), _new_endpoint(way, subnet, table, service)
    )


def _endpoint_service(region: str, service: str) -> str:
    """The name of a service's VPC endpoint; China's Regions have another one for ECR."""
    china = region.startswith("cn-") and service.startswith("ecr.")
    return f"{'cn.' if china else ''}com.amazonaws.{region}.{service}"


def _new_endpoint(
    way: Way, subnet: Mapping[str, Any], table: Mapping[str, Any], service: str
) -> tuple[str, ...]:
    start = f"ec2 create-vpc-endpoint --vpc-id {subnet['VpcId']} --service-name {service}"
    if way.service == "s3":
        return (f"{start} --route-table-ids {table['RouteTableId']}",)
    if not way.groups:
        return ()
    return (
        f"{start} --vpc-endpoint-type Interface --private-dns-enabled "
        f"--subnet-ids {way.subnet} --security-group-ids {way.groups[0]}",
    )


def _to_nat(vpc: _Vpc, table: Mapping[str, Any], verb: str) -> tuple[str, ...]:
    """The command that leads a route table to a NAT gateway of its VPC, if there is one."""
    usable = sorted(
        identifier
        for identifier, each in vpc.nats.items()
        if each.get("State") == "available" and each.get("VpcId") == table.get("VpcId")
    )
    return tuple(
        f"ec2 {verb}-route --route-table-id {table['RouteTableId']} "
        f"--destination-cidr-block {_EVERYWHERE} --nat-gateway-id {each}"
        for each in usable[:1]
    )


def _table(vpc: _Vpc, subnet: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The route table of a subnet: its own association, else the main table of the VPC."""
    main = None
    for table in vpc.tables.values():
        if table.get("VpcId") != subnet.get("VpcId"):
            continue
        for each in table.get("Associations") or ():
            if each.get("SubnetId") == subnet.get("SubnetId"):
                return table  # type: ignore[no-any-return]
            if each.get("Main"):
                main = table
    return main


def _route_out(table: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The default route; else one by a prefix list or a wide range, which is taken as one."""
    routes: Sequence[Mapping[str, Any]] = table.get("Routes") or ()
    default = [each for each in routes if each.get("DestinationCidrBlock") == _EVERYWHERE]
    return next(iter((*default, *_other_ways(routes))), None)


def _other_ways(routes: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    for each in routes:
        span = each.get("DestinationCidrBlock") or ""
        through = any(
            each.get(name) for name in ("TransitGatewayId", "NetworkInterfaceId", "NatGatewayId")
        )
        if through and span and not ip_network(span, strict=False).is_private:
            yield each


def _route_text(route: Mapping[str, Any]) -> str:
    target = next(
        (
            str(route[name])
            for name in (
                "NatGatewayId",
                "GatewayId",
                "TransitGatewayId",
                "NetworkInterfaceId",
                "VpcPeeringConnectionId",
                "InstanceId",
            )
            if route.get(name)
        ),
        "?",
    )
    return f"{route.get('DestinationCidrBlock', '?')} → {target} ({route.get('State', 'active')})"


def _is_https(rule: Mapping[str, Any]) -> bool:
    protocol = str(rule.get("IpProtocol"))
    if protocol == "-1":
        return True
    first, last = rule.get("FromPort", 0), rule.get("ToPort", 65_535)
    return protocol in ("tcp", "6") and first <= _HTTPS <= last


def _rules_text(rules: Sequence[Mapping[str, Any]]) -> str:
    return "; ".join(map(_rule_text, rules)) or "no rule"


def _rule_text(rule: Mapping[str, Any]) -> str:
    ports = f"{rule.get('FromPort', '')}-{rule.get('ToPort', '')}".strip("-") or "all ports"
    peers = [
        *(each.get("CidrIp", "") for each in rule.get("IpRanges") or ()),
        *(each.get("CidrIpv6", "") for each in rule.get("Ipv6Ranges") or ()),
        *(each.get("GroupId", "") for each in rule.get("UserIdGroupPairs") or ()),
        *(each.get("PrefixListId", "") for each in rule.get("PrefixListIds") or ()),
    ]
    return f"{rule.get('IpProtocol')} {ports} {', '.join(filter(None, peers)) or 'nobody'}"


def _overlap(one: str, other: str) -> bool:
    first, second = ip_network(one, strict=False), ip_network(other, strict=False)
    return first.version == second.version and first.overlaps(second)
