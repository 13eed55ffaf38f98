"""Evidence of rollouts: automatic scaling, newest revisions, and what Terraform ignores."""

from __future__ import annotations

from typing import Any

from ops.aws.autoscaling import resource_id
from ops.aws.facts import TaskDefinitionArn
from ops.diagnosis.collectors.registry import Reader, chunks, collector
from ops.terraform import files
from ops.terraform.rules.ignore_changes import ignored_changes

_MAX_ACTIVITIES = 20  # of a service, the newest
_TARGETS_PER_CALL = 50
_DIMENSION = "ecs:service:DesiredCount"


@collector(
    "autoscaling",
    "application-autoscaling:DescribeScalableTargets, "
    "application-autoscaling:DescribeScheduledActions, "
    "application-autoscaling:DescribeScalingActivities",
)
def autoscaling(reader: Reader) -> Any:
    """ECS service name → its scalable target, scheduled actions and newest scaling activities."""
    client, cluster = reader.client("application-autoscaling"), reader.environment.cluster
    names = [each.ecs_service for each in reader.environment.services.values()]
    targets = [
        target
        for some in chunks([resource_id(cluster, name) for name in names], _TARGETS_PER_CALL)
        for target in reader.pages(
            "application-autoscaling",
            "describe_scalable_targets",
            "ScalableTargets",
            ServiceNamespace="ecs",
            ResourceIds=some,
            ScalableDimension=_DIMENSION,
        )
    ]
    by_resource = {each["ResourceId"]: each for each in targets}
    found = {}
    for name in names:
        resource = resource_id(cluster, name)
        if resource not in by_resource:
            continue
        of = {"ServiceNamespace": "ecs", "ResourceId": resource, "ScalableDimension": _DIMENSION}
        found[name] = {
            "target": by_resource[resource],
            "scheduled": reader.pages(
                "application-autoscaling", "describe_scheduled_actions", "ScheduledActions", **of
            ),
            "activities": client.describe_scaling_activities(**of, MaxResults=_MAX_ACTIVITIES)[
                "ScalingActivities"
            ],
        }
    return found


@collector("ecs/newest-revisions", "ecs:DescribeTaskDefinition")
def newest_revisions(reader: Reader) -> Any:
    """ECS service name → the newest ACTIVE revision of the family that it runs."""
    client = reader.client("ecs")
    found = {}
    for name, service in reader.content("ecs/services").items():
        if service and service["status"] != "INACTIVE":
            family = TaskDefinitionArn(service["taskDefinition"]).family
            newest = client.describe_task_definition(taskDefinition=family)["taskDefinition"]
            found[name] = {
                field: newest.get(field)
                for field in ("taskDefinitionArn", "registeredAt", "registeredBy")
            }
    return found


@collector("terraform/services", "Terraform's files")
def terraform_services(reader: Reader) -> Any:
    """Address of each `aws_ecs_service` → what it ignores; None without Terraform's files."""
    settings = reader.platform.settings
    terraform = settings.environment.terraform
    directory = settings.source / terraform.directory if terraform else None
    if directory is None or not directory.is_dir():
        return None
    return {
        ".".join(block.labels): {"ignores": list(ignored_changes(block.body))}
        for block in files.service_blocks(directory)
    }
