"""Elastic Load Balancing v2: target groups and the health of their targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from ops.aws.facts import Balancer, Target, TargetGroup, target_group_name
from ops.aws.session import AwsSession
from ops.core.errors import Refused

_GROUPS_PER_CALL = 20


def _translated_elb(cloud: AwsSession, arn: str, call: str) -> AbstractContextManager[None]:
    name = target_group_name(arn)
    gone = Refused(
        f"target group {name} does not exist",
        f"ELB answered TargetGroupNotFound for {arn}",
        f"{cloud.program} elbv2 describe-target-groups; the service's load balancer must "
        f"be recreated",
    )
    return cloud.translated(
        f"target group {name} (elasticloadbalancing:{call})",
        {"TargetGroupNotFound": gone, "TargetGroupNotFoundException": gone},
    )


def target_group(cloud: AwsSession, arn: str) -> TargetGroup:
    """Port and health check of a target group (DescribeTargetGroups).

    The path is "" for a health check that does not use HTTP. Raises Refused if the target group
    does not exist.
    """
    with _translated_elb(cloud, arn, "DescribeTargetGroups"):
        return to_target_group(
            cloud.client("elbv2").describe_target_groups(TargetGroupArns=[arn])["TargetGroups"][0]
        )


def target_groups(cloud: AwsSession, arns: Sequence[str]) -> dict[str, TargetGroup]:
    """Describe several target groups, by ARN (DescribeTargetGroups, 20 per call)."""
    found: dict[str, TargetGroup] = {}
    for start in range(0, len(arns), _GROUPS_PER_CALL):
        some = list(arns[start : start + _GROUPS_PER_CALL])
        with _translated_elb(cloud, some[0], "DescribeTargetGroups"):
            groups = cloud.client("elbv2").describe_target_groups(TargetGroupArns=some)[
                "TargetGroups"
            ]
            found.update({each["TargetGroupArn"]: to_target_group(each) for each in groups})
    return found


def to_target_group(found: Mapping[str, Any]) -> TargetGroup:
    return TargetGroup(
        arn=found["TargetGroupArn"],
        name=found["TargetGroupName"],
        port=found.get("Port", 0),
        health_path=found.get("HealthCheckPath", ""),
        interval_s=found.get("HealthCheckIntervalSeconds", 0),
        healthy_threshold=found.get("HealthyThresholdCount", 0),
        unhealthy_threshold=found.get("UnhealthyThresholdCount", 0),
    )


def target_group_arns(balancer: Mapping[str, Any]) -> tuple[str, ...]:
    """ARNs of an entry of a service's `loadBalancers`: of a blue/green pair both."""
    alternate = (balancer.get("advancedConfiguration") or {}).get("alternateTargetGroupArn")
    return tuple(arn for arn in (balancer.get("targetGroupArn"), alternate) if arn)


def load_balancers(cloud: AwsSession) -> tuple[Balancer, ...]:
    """The Region's load balancers that have a DNS name (DescribeLoadBalancers)."""
    with cloud.translated("load balancers (elasticloadbalancing:DescribeLoadBalancers)"):
        pages = cloud.client("elbv2").get_paginator("describe_load_balancers").paginate()
        return tuple(
            Balancer(
                str(each.get("LoadBalancerName", "")),
                str(each["DNSName"]),
                each.get("Scheme") == "internal",
                tuple(each.get("SecurityGroups") or ()),
            )
            for page in pages
            for each in page["LoadBalancers"]
            if "DNSName" in each
        )


def load_balancer_names(cloud: AwsSession) -> tuple[str, ...]:
    """The DNS names of the Region's load balancers (DescribeLoadBalancers)."""
    return tuple(each.dns_name for each in load_balancers(cloud))


def targets(cloud: AwsSession, arn: str) -> tuple[Target, ...]:
    """Registered targets with state and reason, including draining ones (DescribeTargetHealth).

    Raises Refused if the target group does not exist.
    """
    with _translated_elb(cloud, arn, "DescribeTargetHealth"):
        found = cloud.client("elbv2").describe_target_health(TargetGroupArn=arn)[
            "TargetHealthDescriptions"
        ]
        return tuple(to_target(item["Target"], item["TargetHealth"], arn) for item in found)


def rule_weights(cloud: AwsSession, rule: str) -> dict[str, int]:
    """The share of each target group in a listener's rule, in percent, by ARN (DescribeRules)."""
    what = f"listener rule {rule.rsplit('/', 1)[-1]} (elasticloadbalancing:DescribeRules)"
    with cloud.translated(what):
        found = cloud.client("elbv2").describe_rules(RuleArns=[rule])["Rules"]
        return to_weights([action for each in found for action in each["Actions"]])


def to_weights(actions: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """The percentages of the `forward` actions of a rule; a group without a weight has 1."""
    weights: dict[str, int] = {}
    for action in actions:
        groups = (action.get("ForwardConfig") or {}).get("TargetGroups") or []
        if not groups and action.get("TargetGroupArn"):
            groups = [{"TargetGroupArn": action["TargetGroupArn"]}]
        weights.update({each["TargetGroupArn"]: each.get("Weight", 1) for each in groups})
    total = sum(weights.values())
    return {arn: round(100 * weight / total) for arn, weight in weights.items()} if total else {}


def to_target(found: Mapping[str, Any], health: Mapping[str, Any], group: str = "") -> Target:
    return Target(
        id=found["Id"],
        port=found.get("Port", 0),
        state=health["State"],
        reason=health.get("Reason", ""),
        description=health.get("Description", ""),
        group=group,
    )
