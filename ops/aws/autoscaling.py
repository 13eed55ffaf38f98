"""Application Auto Scaling: the limits that it has for an ECS service."""

from __future__ import annotations

from ops.aws.facts import ScalableTarget
from ops.aws.session import AwsSession

_DIMENSION = "ecs:service:DesiredCount"


def resource_id(cluster: str, service: str) -> str:
    """The name of an ECS service in Application Auto Scaling; `cluster` is a name or an ARN."""
    return f"service/{cluster.rsplit('/', 1)[-1]}/{service}"


def scalable_target(cloud: AwsSession, cluster: str, service: str) -> ScalableTarget | None:
    """The scalable target of an ECS service, or None if it has none.

    Calls application-autoscaling:DescribeScalableTargets.
    """
    name = resource_id(cluster, service)
    what = f"scalable target {name} (application-autoscaling:DescribeScalableTargets)"
    with cloud.translated(what):
        pages = (
            cloud.client("application-autoscaling")
            .get_paginator("describe_scalable_targets")
            .paginate(ServiceNamespace="ecs", ResourceIds=[name], ScalableDimension=_DIMENSION)
        )
        found = [
            ScalableTarget(
                each["MinCapacity"],
                each["MaxCapacity"],
                _suspended(each.get("SuspendedState") or {}),
            )
            for page in pages
            for each in page["ScalableTargets"]
            if each["ResourceId"] == name
        ]
    return found[0] if found else None


def _suspended(state: dict[str, bool]) -> bool:
    parts = ("DynamicScalingInSuspended", "DynamicScalingOutSuspended", "ScheduledScalingSuspended")
    return all(state.get(part) for part in parts)
