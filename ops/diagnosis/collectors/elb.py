"""Evidence from the load balancer: target groups, targets, listeners and their rules."""

from __future__ import annotations

from typing import Any

from ops.diagnosis.collectors.registry import Reader, collector


@collector("elb/target-groups", "elasticloadbalancing:DescribeTargetGroups")
def target_groups(reader: Reader) -> Any:
    """ARN → the target group, of every service."""
    arns = dict.fromkeys(
        arn
        for service in reader.content("ecs/services").values()
        if service
        for balancer in service.get("loadBalancers") or ()
        for arn in _groups(balancer)
    )
    if not arns:
        return {}
    found = reader.client("elbv2").describe_target_groups(TargetGroupArns=list(arns))
    return {each["TargetGroupArn"]: each for each in found["TargetGroups"]}


def _groups(balancer: dict[str, Any]) -> list[str]:
    alternate = (balancer.get("advancedConfiguration") or {}).get("alternateTargetGroupArn")
    return [arn for arn in (balancer.get("targetGroupArn"), alternate) if arn]


@collector("elb/targets", "elasticloadbalancing:DescribeTargetHealth")
def targets(reader: Reader) -> Any:
    """ARN of a target group → its targets with their health."""
    client = reader.client("elbv2")
    return {
        arn: client.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
        for arn in reader.content("elb/target-groups")
    }


@collector("elb/load-balancers", "elasticloadbalancing:DescribeLoadBalancers")
def load_balancers(reader: Reader) -> Any:
    """ARN → the load balancer, of every target group."""
    groups = reader.content("elb/target-groups").values()
    arns = dict.fromkeys(arn for each in groups for arn in each.get("LoadBalancerArns") or ())
    if not arns:
        return {}
    found = reader.client("elbv2").describe_load_balancers(LoadBalancerArns=list(arns))
    return {each["LoadBalancerArn"]: each for each in found["LoadBalancers"]}


@collector(
    "elb/listeners",
    "elasticloadbalancing:DescribeListeners, elasticloadbalancing:DescribeRules",
)
def listeners(reader: Reader) -> Any:
    """ARN of a load balancer → its listeners, each with its `Rules`."""
    client = reader.client("elbv2")
    found = {}
    for arn in reader.content("elb/load-balancers"):
        pages = client.get_paginator("describe_listeners").paginate(LoadBalancerArn=arn)
        found[arn] = [
            {
                **listener,
                "Rules": client.describe_rules(ListenerArn=listener["ListenerArn"])["Rules"],
            }
            for page in pages
            for listener in page["Listeners"]
        ]
    return found
