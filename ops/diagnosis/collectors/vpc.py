"""Evidence from EC2: the subnets of services, and their VPC's routes, endpoints and groups."""

from __future__ import annotations

from typing import Any

from ops.diagnosis.collectors.registry import Reader, collector


@collector("ec2/subnets", "ec2:DescribeSubnets")
def subnets(reader: Reader) -> Any:
    """Id → the subnet, of every service."""
    named = dict.fromkeys(
        subnet
        for service in reader.content("ecs/services").values()
        if service
        for place in _places(service)
        for subnet in place.get("subnets") or ()
    )
    if not named:
        return {}
    found = reader.client("ec2").describe_subnets(SubnetIds=list(named))["Subnets"]
    return {each["SubnetId"]: each for each in found}


def _places(service: dict[str, Any]) -> list[dict[str, Any]]:
    """The network configurations of a service and its deployments."""
    configurations = [service, *(service.get("deployments") or ())]
    found = [each.get("networkConfiguration") or {} for each in configurations]
    return [each["awsvpcConfiguration"] for each in found if each.get("awsvpcConfiguration")]


@collector("ec2/route-tables", "ec2:DescribeRouteTables")
def route_tables(reader: Reader) -> Any:
    """Id → the route table, of the services' VPCs."""
    return _of_the_vpcs(reader, "describe_route_tables", "RouteTables", "RouteTableId")


@collector("ec2/nat-gateways", "ec2:DescribeNatGateways")
def nat_gateways(reader: Reader) -> Any:
    """Id → the NAT gateway, of the services' VPCs; deleted ones stay for about an hour."""
    return _of_the_vpcs(reader, "describe_nat_gateways", "NatGateways", "NatGatewayId")


@collector("ec2/endpoints", "ec2:DescribeVpcEndpoints")
def endpoints(reader: Reader) -> Any:
    """Id → the VPC endpoint, of the services' VPCs."""
    return _of_the_vpcs(reader, "describe_vpc_endpoints", "VpcEndpoints", "VpcEndpointId")


@collector("ec2/security-groups", "ec2:DescribeSecurityGroups")
def security_groups(reader: Reader) -> Any:
    """Id → the security group, of the services' VPCs."""
    return _of_the_vpcs(reader, "describe_security_groups", "SecurityGroups", "GroupId")


def _of_the_vpcs(reader: Reader, operation: str, field: str, key: str) -> dict[str, Any]:
    vpcs = sorted({each["VpcId"] for each in reader.content("ec2/subnets").values()})
    if not vpcs:
        return {}
    name = "Filter" if operation == "describe_nat_gateways" else "Filters"
    pages = (
        reader.client("ec2")
        .get_paginator(operation)
        .paginate(**{name: [{"Name": "vpc-id", "Values": vpcs}]})
    )
    return {each[key]: each for page in pages for each in page[field]}
