"""EC2: security group rules and the security groups of load balancers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ops.aws.facts import Ingress
from ops.aws.session import AwsSession

_SOURCES = {
    "UserIdGroupPairs": "GroupId",
    "IpRanges": "CidrIp",
    "Ipv6Ranges": "CidrIpv6",
    "PrefixListIds": "PrefixListId",
}


def ingress(cloud: AwsSession, groups: Sequence[str]) -> tuple[Ingress, ...]:
    """All inbound rules of these security groups (ec2:DescribeSecurityGroups)."""
    with cloud.translated(f"security groups {', '.join(groups)} (ec2:DescribeSecurityGroups)"):
        found = cloud.client("ec2").describe_security_groups(GroupIds=list(groups))[
            "SecurityGroups"
        ]
        return tuple(_to_ingress(each) for group in found for each in group["IpPermissions"])


def _to_ingress(found: dict[str, Any]) -> Ingress:
    ports = found.get("FromPort", 0), found.get("ToPort", 65535)
    return Ingress(str(found["IpProtocol"]), *ports, tuple(_sources(found)))


def _sources(rule: dict[str, list[dict[str, str]]]) -> Iterable[str]:
    for key, name in _SOURCES.items():
        yield from (each[name] for each in rule.get(key) or () if name in each)


def balancer_groups(cloud: AwsSession, target_group: str) -> tuple[str, ...]:
    """Security groups of the load balancers of a target group.

    Calls elasticloadbalancing:DescribeTargetGroups and DescribeLoadBalancers.
    """
    client = cloud.client("elbv2")
    with cloud.translated(
        f"load balancers of {target_group} (elasticloadbalancing:DescribeLoadBalancers)"
    ):
        group = client.describe_target_groups(TargetGroupArns=[target_group])["TargetGroups"][0]
        arns = group["LoadBalancerArns"]
        found = (
            client.describe_load_balancers(LoadBalancerArns=arns)["LoadBalancers"] if arns else []
        )
    return tuple(
        dict.fromkeys(each for balancer in found for each in balancer.get("SecurityGroups") or ())
    )
