"""Stops by the scheduler, by people and by AWS, and failed health checks."""

from __future__ import annotations

from ops.ecs.rules.stop_reasons.model import DESCRIBE, GROUPS, STATUS, StopReason

SCHEDULING = (
    StopReason(
        "ECS-SCALE",
        "benign",
        pattern=r"^Scaling activity initiated by \(?deployment (?P<dep>ecs-svc/\d+|[^)]*)\)?",
    ),
    StopReason(
        "ECS-SPOT",
        "transient",
        pattern=r"Your Spot Task was interrupted",
        finding="spot_interrupted",
        says="Fargate Spot took the capacity back",
        fix=(STATUS,),
        capacity=True,
    ),
    StopReason(
        "ECS-MAINT",
        "benign",
        pattern=r"ECS is performing maintenance on the underlying infrastructure hosting the task",
    ),
    StopReason(
        "ECS-DRAIN",
        "benign",
        pattern=(
            r"container instance is in DRAINING state|"
            r"Container instance deregistration forced by user"
        ),
    ),
    StopReason(
        "ECS-HOST",
        "transient",
        pattern=r"Host EC2 \(instance (?P<i>i-[0-9a-f]+)\) (?P<how>stopped|terminated)",
        finding="host_lost",
        says="the instance under the task went away",
        fix=(STATUS,),
    ),
    StopReason(
        "ECS-USER",
        "benign",
        pattern=r"^Task stopped by user",
    ),
    StopReason(
        "ECS-ELB",
        "symptom",
        pattern=(
            r"Task failed ELB health checks in \((?:elb|target-group) (?P<tg>[^)]+)\)|^Task "
            r"failed ELB health checks"
        ),
        finding="target_unhealthy",
        says="the load balancer's health check failed on the new task",
        fix=(GROUPS, STATUS),
        target_health=True,
    ),
    StopReason(
        "ECS-CHC",
        "symptom",
        pattern=r"Task failed container health checks|failed container health checks",
        finding="container_unhealthy",
        says="the container's own health check command failed",
        fix=(DESCRIBE,),
    ),
)
