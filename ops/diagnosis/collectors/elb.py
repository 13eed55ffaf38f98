"""Evidence from the load balancer: target groups, targets, listeners and their rules."""

from __future__ import annotations

from typing import Any

from ops.aws.elb import target_group_arns
from ops.diagnosis.collectors.registry import Reader, chunks, collector

_PER_CALL = 20  # ARNs of target groups or load balancers


@collector("elb/target-groups", "elasticloadbalancing:DescribeTargetGroups")
def target_groups(reader: Reader) -> Any:
    """ARN → the target group, of every service; one that is gone is left out."""
    arns = dict.fromkeys(
        arn
        for service in reader.content("ecs/services").values()
        if service
        for balancer in service.get("loadBalancers") or ()
        for arn in target_group_arns(balancer)
    )
    groups = [group for some in chunks(list(arns), _PER_CALL) for group in _described(reader, some)]
    return {each["TargetGroupArn"]: each for each in groups}


def _described(reader: Reader, arns: list[str]) -> list[Any]:
    """The target groups that exist: ELB refuses the whole call if one of several does not."""
    try:
        return reader.pages("elbv2", "describe_target_groups", "TargetGroups", TargetGroupArns=arns)
    except reader.client("elbv2").exceptions.TargetGroupNotFoundException:
        if len(arns) == 1:
            return []
        return [group for arn in arns for group in _described(reader, [arn])]


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
    balancers = [
        balancer
        for some in chunks(list(arns), _PER_CALL)
        for balancer in reader.pages(
            "elbv2", "describe_load_balancers", "LoadBalancers", LoadBalancerArns=some
        )
    ]
    return {each["LoadBalancerArn"]: each for each in balancers}


@collector(
    "elb/listeners",
    "elasticloadbalancing:DescribeListeners, elasticloadbalancing:DescribeRules, "
    "elasticloadbalancing:DescribeListenerCertificates",
)
def listeners(reader: Reader) -> Any:
    """ARN of a load balancer → its listeners, each with its `Rules` and all its `Certificates`."""
    return {
        arn: [
            _whole(reader, listener)
            for listener in reader.pages(
                "elbv2", "describe_listeners", "Listeners", LoadBalancerArn=arn
            )
        ]
        for arn in reader.content("elb/load-balancers")
    }


def _whole(reader: Reader, listener: dict[str, Any]) -> dict[str, Any]:
    """A listener with its rules; DescribeListeners has only its default certificate."""
    arn, certificates = listener["ListenerArn"], list(listener.get("Certificates") or ())
    if certificates:
        certificates += [
            each
            for each in reader.pages(
                "elbv2", "describe_listener_certificates", "Certificates", ListenerArn=arn
            )
            if not each.get("IsDefault")
        ]
    rules = reader.pages("elbv2", "describe_rules", "Rules", ListenerArn=arn)
    return {**listener, "Certificates": certificates, "Rules": rules}
