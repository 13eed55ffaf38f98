"""The services' network: VPC, subnets, security groups, load balancer and target groups.

Emulates the live platform's layout (facts.md): public and private subnets in two zones, `/api/*` to
the backend, the rest to the frontend, health checks as measured there; public subnets lead to an
internet gateway, private ones to one NAT gateway. Differs: no TLS listener.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ops.sandbox.seed.clients import Clients
from ops.sandbox.seed.names import BACKEND, FRONTEND, LOAD_BALANCER, PREFIX, SERVICES, ServiceSpec

_ZONES = ("us-east-1a", "us-east-1b")


@dataclass(frozen=True)
class Network:
    """The placement of services: private subnets, security groups and target groups."""

    subnets: tuple[str, ...]
    database_subnets: tuple[str, ...]
    groups: dict[str, str]
    target_groups: dict[str, str]
    domain: str


def make_network(clients: Clients, database_port: int = 5432) -> Network:
    """Create the network with the platform's names."""
    vpc = clients.ec2.create_vpc(
        CidrBlock="10.0.0.0/16", TagSpecifications=_tags("vpc", f"{PREFIX}-vpc")
    )["Vpc"]["VpcId"]
    public = [
        _subnet(clients, vpc, zone, f"10.0.{number}.0/24", "public")
        for number, zone in enumerate(_ZONES)
    ]
    private = [
        _subnet(clients, vpc, zone, f"10.0.{number + 10}.0/24", "private")
        for number, zone in enumerate(_ZONES)
    ]
    _route(clients, vpc, public, private)
    groups = {
        name: _group(clients, vpc, name) for name in ("alb", BACKEND.name, FRONTEND.name, "db")
    }
    _allow(clients, groups["alb"], 80, CidrIp="0.0.0.0/0")
    for spec in SERVICES:
        _allow_from(clients, groups[spec.name], spec.port, groups["alb"])
    _allow_from(clients, groups["db"], database_port, groups[BACKEND.name])
    balancer = clients.elb.create_load_balancer(
        Name=LOAD_BALANCER, Subnets=public, SecurityGroups=[groups["alb"]], Type="application"
    )
    made = balancer["LoadBalancers"][0]
    clients.elb.modify_load_balancer_attributes(
        LoadBalancerArn=made["LoadBalancerArn"],
        Attributes=[{"Key": "idle_timeout.timeout_seconds", "Value": "60"}],
    )
    target_groups = {spec.name: _target_group(clients, vpc, spec) for spec in SERVICES}
    _listen(clients, made["LoadBalancerArn"], target_groups)
    return Network(tuple(private), tuple(private), groups, target_groups, made["DNSName"])


def _tags(kind: str, name: str) -> list[dict[str, Any]]:
    return [
        {
            "ResourceType": kind,
            "Tags": [{"Key": "Name", "Value": name}, {"Key": "Environment", "Value": "dev"}],
        }
    ]


def _subnet(clients: Clients, vpc: str, zone: str, cidr: str, kind: str) -> str:
    tags = _tags("subnet", f"{PREFIX}-{kind}-{zone}")
    made = clients.ec2.create_subnet(
        VpcId=vpc, CidrBlock=cidr, AvailabilityZone=zone, TagSpecifications=tags
    )
    return str(made["Subnet"]["SubnetId"])


def _route(clients: Clients, vpc: str, public: list[str], private: list[str]) -> None:
    """Lead the public subnets to an internet gateway and the private ones to a NAT gateway."""
    gateway = clients.ec2.create_internet_gateway(
        TagSpecifications=_tags("internet-gateway", f"{PREFIX}-igw")
    )["InternetGateway"]["InternetGatewayId"]
    clients.ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    address = clients.ec2.allocate_address(Domain="vpc")["AllocationId"]
    nat = clients.ec2.create_nat_gateway(
        SubnetId=public[0],
        AllocationId=address,
        TagSpecifications=_tags("natgateway", f"{PREFIX}-nat"),
    )["NatGateway"]["NatGatewayId"]
    _route_table(clients, vpc, "public", public, GatewayId=gateway)
    _route_table(clients, vpc, "private", private, NatGatewayId=nat)


def _route_table(clients: Clients, vpc: str, kind: str, subnets: list[str], **target: str) -> None:
    made = clients.ec2.create_route_table(
        VpcId=vpc, TagSpecifications=_tags("route-table", f"{PREFIX}-{kind}-rt")
    )["RouteTable"]["RouteTableId"]
    clients.ec2.create_route(RouteTableId=made, DestinationCidrBlock="0.0.0.0/0", **target)
    for subnet in subnets:
        clients.ec2.associate_route_table(RouteTableId=made, SubnetId=subnet)


def _group(clients: Clients, vpc: str, name: str) -> str:
    full = f"{PREFIX}-{name}-sg"
    made = clients.ec2.create_security_group(
        GroupName=full,
        Description=f"{name} of {PREFIX}",
        VpcId=vpc,
        TagSpecifications=_tags("security-group", full),
    )
    return str(made["GroupId"])


def _allow(clients: Clients, group: str, port: int, CidrIp: str) -> None:  # noqa: N803 - the API's own word
    permission = {
        "IpProtocol": "tcp",
        "FromPort": port,
        "ToPort": port,
        "IpRanges": [{"CidrIp": CidrIp}],
    }
    clients.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[permission])


def _allow_from(clients: Clients, group: str, port: int, source: str) -> None:
    permission = {
        "IpProtocol": "tcp",
        "FromPort": port,
        "ToPort": port,
        "UserIdGroupPairs": [{"GroupId": source}],
    }
    clients.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[permission])


def _target_group(clients: Clients, vpc: str, spec: ServiceSpec) -> str:
    made = clients.elb.create_target_group(
        Name=spec.target_group,
        Protocol="HTTP",
        Port=spec.port,
        VpcId=vpc,
        TargetType="ip",
        HealthCheckProtocol="HTTP",
        HealthCheckPath=spec.health_path,
        HealthCheckIntervalSeconds=30,
        HealthCheckTimeoutSeconds=5,
        HealthyThresholdCount=2,
        UnhealthyThresholdCount=3,
        Matcher={"HttpCode": "200"},
    )
    arn = str(made["TargetGroups"][0]["TargetGroupArn"])
    clients.elb.modify_target_group_attributes(
        TargetGroupArn=arn,
        Attributes=[{"Key": "deregistration_delay.timeout_seconds", "Value": "30"}],
    )
    return arn


def _listen(clients: Clients, balancer: str, target_groups: dict[str, str]) -> None:
    def forward(spec: ServiceSpec) -> list[dict[str, str]]:
        return [{"Type": "forward", "TargetGroupArn": target_groups[spec.name]}]

    listener = clients.elb.create_listener(
        LoadBalancerArn=balancer, Protocol="HTTP", Port=80, DefaultActions=forward(FRONTEND)
    )
    clients.elb.create_rule(
        ListenerArn=listener["Listeners"][0]["ListenerArn"],
        Priority=100,
        Actions=forward(BACKEND),
        Conditions=[{"Field": "path-pattern", "Values": ["/api/*"]}],
    )
