"""Whether a task reaches one of AWS's services from its subnet.

Emulates egress rules of the task's security groups, interface endpoints with private DNS and their
security groups, gateway endpoints of S3, and the default route: an internet gateway needs a public
address, a NAT gateway must be available. Differs from AWS: network ACLs, IPv6, prefix lists in
egress rules, transit gateways, peerings and firewalls are ignored (a default route to one of these
leads out), an egress rule counts for AWS's addresses only if it is for 0.0.0.0/0, all of a
service's subnets are treated like the first one, and an unknown subnet and the account's default
VPC, to which moto gives no gateway, reach everything.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_network
from typing import Any

from moto.ec2.models import ec2_backends

from ops.sandbox.contracts import ACCOUNT, REGION

_HTTPS = 443
_EVERYWHERE = "0.0.0.0/0"


def reaches(place: dict[str, Any], service: str) -> bool:
    """Whether a task placed so (`awsvpcConfiguration`) reaches `service` ("ecr.api", "s3")."""
    backend = ec2_backends[ACCOUNT][REGION]
    subnet = _subnet(backend, place)
    if subnet is None or _is_default(backend, subnet.vpc_id):
        return True
    groups = [str(each) for each in place.get("securityGroups") or ()]
    table = _route_table(backend, subnet)
    endpoint = _endpoint(backend, subnet.vpc_id, service)
    if endpoint is not None and endpoint.vpc_endpoint_type == "Gateway":
        if table is not None and table.id in (endpoint.route_table_ids or ()):
            return _may_leave(backend, groups, _EVERYWHERE, set())
    elif endpoint is not None:
        theirs = set(endpoint.security_group_ids or ())
        return _may_leave(backend, groups, str(subnet.cidr_block), theirs) and _may_enter(
            backend, theirs, groups, str(subnet.cidr_block)
        )
    public = place.get("assignPublicIp") == "ENABLED"
    return (
        table is not None
        and _leads_out(table, public)
        and _may_leave(backend, groups, _EVERYWHERE, set())
    )


def free_addresses(place: dict[str, Any]) -> tuple[str, int]:
    """The task's subnet and its free addresses, as DescribeSubnets counts them.

    An unknown subnet has one.
    """
    subnet = _subnet(ec2_backends[ACCOUNT][REGION], place)
    return (subnet.id, subnet.available_ip_address_count) if subnet is not None else ("", 1)


def _subnet(backend: Any, place: dict[str, Any]) -> Any:
    named = place.get("subnets") or ()
    return next(
        (
            each
            for zone in list(backend.subnets.values())
            for each in list(zone.values())
            if each.id in named[:1]
        ),
        None,
    )


def _is_default(backend: Any, vpc: str) -> bool:
    return str(backend.vpcs[vpc].is_default).lower() == "true"


def _route_table(backend: Any, subnet: Any) -> Any:
    """The route table of a subnet: its own association, else the VPC's main table."""
    tables = [each for each in list(backend.route_tables.values()) if each.vpc_id == subnet.vpc_id]
    own = [
        table
        for table in tables
        if any(each.get("SubnetId") == subnet.id for each in table.associations)
    ]
    main = [
        table for table in tables if any(each.get("Main") is True for each in table.associations)
    ]
    return next(iter((*own, *main)), None)


def _endpoint(backend: Any, vpc: str, service: str) -> Any:
    name = f"com.amazonaws.{REGION}.{service}"
    return next(
        (
            each
            for each in list(backend.vpc_end_points.values())
            if each.vpc_id == vpc
            and each.service_name == name
            and str(each.state).lower() == "available"
            and (each.vpc_endpoint_type == "Gateway" or each.private_dns_enabled)
        ),
        None,
    )


def _leads_out(table: Any, public: bool) -> bool:
    route = next(
        (each for each in table.routes if each.destination_cidr_block == _EVERYWHERE), None
    )
    if route is None:
        return False
    if route.nat_gateway is not None:
        return bool(route.nat_gateway.state == "available")
    if route.gateway is not None:
        return public
    return any((route.transit_gateway, route.interface, route.vpc_pcx, route.instance))


def _may_leave(backend: Any, groups: list[str], span: str, targets: set[str]) -> bool:
    rules = [rule for each in groups for rule in _group_rules(backend, each, "egress_rules")]
    return not groups or any(_lets(rule, span, targets) for rule in rules)


def _may_enter(backend: Any, groups: Iterable[str], sources: list[str], span: str) -> bool:
    rules = [rule for each in groups for rule in _group_rules(backend, each, "ingress_rules")]
    return any(_lets(rule, span, set(sources)) for rule in rules)


def _group_rules(backend: Any, identifier: str, kind: str) -> list[Any]:
    group = backend.get_security_group_from_id(identifier)
    return list(getattr(group, kind)) if group is not None else []


def _lets(rule: Any, span: str, groups: set[str]) -> bool:
    protocol = str(rule.ip_protocol)
    if protocol not in ("-1", "tcp"):
        return False
    if protocol == "tcp" and not int(rule.from_port or 0) <= _HTTPS <= int(rule.to_port or 65_535):
        return False
    if (rule.source_group or {}).get("GroupId") in groups:
        return True
    granted = (rule.ip_range or {}).get("CidrIp")
    if not granted:
        return False
    inner, outer = ip_network(span, strict=False), ip_network(granted, strict=False)
    return inner.version == outer.version and inner.subnet_of(outer)  # type: ignore[arg-type]
