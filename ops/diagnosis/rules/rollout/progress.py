"""Rollouts without progress or effect: percentages, ignored changes, automatic scaling."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from ops.aws.facts import ServiceState, TaskDefinitionArn
from ops.core.findings import Evidence, Finding
from ops.diagnosis.facts import Incident, ServiceFact, evidence
from ops.diagnosis.model import Candidate
from ops.diagnosis.rules.causes import cause

_UNABLE = "was unable to stop or start tasks during a deployment because of the service deployment"
_COUNT = re.compile(r"desired count to (\d+)")
_SETTLING = timedelta(minutes=5)  # after a revision was registered, until its rollout begins
_IGNORED = ("task_definition", "all")


@cause(
    "deployment_stuck",
    layer="release",
    symptoms="A rollout starts no task; minimumHealthyPercent and maximumPercent leave no room.",
    cure="Raise maximumPercent, or lower minimumHealthyPercent, of the service.",
    explains=("service_unsteady", "not_the_release"),
)
def deployment_stuck(incident: Incident) -> Iterator[Candidate]:
    """The service may neither start a new task nor stop an old one."""
    for service in incident.services:
        state = service.state
        config = service.raw.get("deploymentConfiguration") or {}
        low, high = config.get("minimumHealthyPercent"), config.get("maximumPercent")
        if not isinstance(state, ServiceState) or low is None or high is None:
            continue
        if not _waits(state) or not _no_room(state.desired, low, high):
            continue
        finding = Finding(
            "deployment_stuck",
            f"{service.name}: the rollout can neither start nor stop a task: {state.desired} "
            f"desired, minimumHealthyPercent {low}, maximumPercent {high}",
            "certain",
            (
                evidence(
                    f"DescribeServices {service.ecs_service} deploymentConfiguration",
                    f"minimumHealthyPercent {low} maximumPercent {high}",
                ),
                *_deployments(service, state),
                *(
                    evidence(f"DescribeServices {service.ecs_service} event", event.message)
                    for event in service.events
                    if _UNABLE in event.message
                ),
            ),
            (
                f"{incident.aws} ecs update-service --cluster {incident.subject['cluster']} "
                f"--service {service.ecs_service} --deployment-configuration "
                f"minimumHealthyPercent=100,maximumPercent=200",
                f"inv {service.name}.watch",
            ),
        )
        because = "no task of the new deployment was started, and none failed"
        yield Candidate(finding, service.name, because)


def _waits(state: ServiceState) -> bool:
    """Whether a rolling deployment has no task yet, while the older one has all of them."""
    primary = state.primary
    if primary is None or state.controller != "ECS" or state.strategy != "ROLLING":
        return False
    older = [each for each in state.deployments if each is not primary]
    return (
        primary.rollout_state == "IN_PROGRESS"
        and state.scheduling == "REPLICA"
        and primary.running + primary.pending + primary.failed == 0
        and state.desired > 0
        and sum(each.running for each in older) >= state.desired
    )


def _no_room(desired: int, low: int, high: int) -> bool:
    """Whether no task may start above the desired count, and none may stop below it."""
    return math.floor(desired * high / 100) <= desired and math.ceil(desired * low / 100) >= desired


def _deployments(service: ServiceFact, state: ServiceState) -> Iterator[Evidence]:
    for each in state.deployments:
        text = f"{each.status} {each.running} running, {each.pending} pending"
        yield evidence(f"DescribeServices {service.ecs_service} deployment {each.id}", text)


@cause(
    "service_pinned",
    layer="release",
    symptoms="terraform apply succeeds, and the service keeps its old task definition.",
    cure="Remove task_definition from ignore_changes, or deploy with rollout: ecs.",
    explains=("not_the_release", "wrong_body"),
)
def service_pinned(incident: Incident) -> Iterator[Candidate]:
    """Terraform registers revisions, but ignores which one its service runs."""
    blocks = incident.content("terraform/services") or {}
    pinned = {
        address: found["ignores"]
        for address, found in blocks.items()
        if set(found["ignores"]) & set(_IGNORED)
    }
    if incident.subject.get("rollout") != "terraform" or not pinned or len(pinned) < len(blocks):
        return  # which block is whose service's is only certain if all ignore it
    newest = incident.content("ecs/newest-revisions") or {}
    for service in incident.services:
        found, state = newest.get(service.ecs_service), service.state
        if not found or not isinstance(state, ServiceState) or state.is_rolling_out:
            continue
        registered = found.get("registeredAt")
        running, latest = (
            TaskDefinitionArn(state.task_definition),
            TaskDefinitionArn(found["taskDefinitionArn"]),
        )
        waited = isinstance(registered, datetime) and incident.at - registered >= _SETTLING
        if waited and (running.revision or 0) < (latest.revision or 0):
            finding = Finding(
                "service_pinned",
                f"{service.name}: Terraform registered {latest.label}, and the service stays at "
                f"{running.label}, since its task_definition is in ignore_changes",
                "likely",
                (
                    *(
                        evidence(address, f"ignore_changes = [{', '.join(ignores)}]")
                        for address, ignores in pinned.items()
                    ),
                    evidence(
                        f"DescribeTaskDefinition {latest.label}",
                        f"registeredAt {registered} registeredBy {found.get('registeredBy')}",
                    ),
                    evidence(f"DescribeServices {service.ecs_service}", running.label),
                ),
                ("inv tf.plan", f"inv {service.name}.releases"),
            )
            because = "a newer revision is registered, and no rollout of it was ever begun"
            yield Candidate(finding, service.name, because)


@cause(
    "scaled_to_zero_by_schedule",
    layer="capacity",
    symptoms="The desired count is 0, and Application Auto Scaling allows no more.",
    cure="Correct the scheduled action, or register the target with a higher capacity.",
    explains=(
        "scaled_to_zero",
        "no_targets",
        "target_unhealthy",
        "target_port",
        "page_failing",
        "wrong_body",
        "wrong_status",
        "wrong_content_type",
        "fails_open",
    ),
)
def scaled_to_zero_by_schedule(incident: Incident) -> Iterator[Candidate]:
    """Automatic scaling set the desired count to 0."""
    for service, scaling in _scaled(incident):
        state, target = service.state, scaling["target"]
        if not isinstance(state, ServiceState) or state.desired != 0:
            continue
        activities = [
            each for each in scaling["activities"] if _COUNT.search(each.get("Description", ""))
        ]
        last = max(activities, key=lambda each: str(each.get("StartTime")), default=None)
        zero = last is not None and "desired count to 0" in last["Description"]
        if target.get("MaxCapacity") != 0 and not zero:
            continue
        actions = [
            each
            for each in scaling["scheduled"]
            if (each.get("ScalableTargetAction") or {}).get("MaxCapacity") == 0
        ]
        resource = target["ResourceId"]
        by = f"the scheduled action {actions[0]['ScheduledActionName']}" if actions else "its limit"
        finding = Finding(
            "scaled_to_zero_by_schedule",
            f"{service.name}: Application Auto Scaling set the desired count to 0, by {by}",
            "certain" if zero else "likely",
            (
                evidence(
                    f"DescribeScalableTargets {resource}",
                    f"MinCapacity {target.get('MinCapacity')} "
                    f"MaxCapacity {target.get('MaxCapacity')}",
                ),
                *(_scheduled(each) for each in actions),
                *([_activity(last)] if last else []),
            ),
            (
                f"{incident.aws} application-autoscaling register-scalable-target "
                f"--service-namespace ecs --resource-id {resource} --scalable-dimension "
                f"ecs:service:DesiredCount --min-capacity 1 --max-capacity 2",
                f"inv {service.name}.scale --count 1",
            ),
        )
        because = "the limit of automatic scaling is 0, so a higher count would be taken back"
        yield Candidate(finding, service.name, because)


@cause(
    "autoscaling_fights_rollout",
    layer="release",
    symptoms="During a rollout the desired count goes up and down again.",
    cure="Suspend dynamic scaling during deploys, or base it on another metric.",
    explains=("service_unsteady",),
)
def autoscaling_fights_rollout(incident: Incident) -> Iterator[Candidate]:
    """Automatic scaling changes the desired count, up and down, within one rollout."""
    for service, scaling in _scaled(incident):
        state = service.state
        primary = state.primary if isinstance(state, ServiceState) else None
        if primary is None or primary.rollout_state != "IN_PROGRESS" or not primary.created_at:
            continue
        changes = _changes_since(scaling["activities"], primary.created_at)
        counts = [count for _, count in changes]
        ups = any(b > a for a, b in itertools.pairwise(counts))
        downs = any(b < a for a, b in itertools.pairwise(counts))
        if not (ups and downs):
            continue
        finding = Finding(
            "autoscaling_fights_rollout",
            f"{service.name}: automatic scaling changed the desired count {len(counts)} times "
            f"since the rollout began ({', '.join(map(str, counts))})",
            "likely",
            tuple(_activity(each) for each, _ in changes),
            (f"inv {service.name}.status", f"inv {service.name}.watch"),
        )
        because = "the count went both ways within one rollout, so it follows the rollout itself"
        yield Candidate(finding, service.name, because)


def _changes_since(
    activities: list[dict[str, Any]], since: datetime
) -> list[tuple[dict[str, Any], int]]:
    """Changes of the desired count, oldest first, each with the count that it set."""
    found = [
        (each, int(count[1]))
        for each in activities
        if isinstance(each.get("StartTime"), datetime)
        and each["StartTime"] >= since
        and (count := _COUNT.search(each.get("Description", "")))
    ]
    return sorted(found, key=lambda each: each[0]["StartTime"])


def _activity(activity: dict[str, Any]) -> Evidence:
    text = f"{activity.get('Description', '')} {activity.get('Cause', '')}"
    return evidence("DescribeScalingActivities", text, at=str(activity.get("StartTime") or ""))


def _scheduled(action: dict[str, Any]) -> Evidence:
    text = f"{action['ScheduledActionName']} {action.get('Schedule', '')} MaxCapacity 0"
    return evidence("DescribeScheduledActions", text)


def _scaled(incident: Incident) -> Iterator[tuple[ServiceFact, dict[str, Any]]]:
    """Services that automatic scaling knows, with its answers."""
    found = incident.content("autoscaling") or {}
    for service in incident.services:
        if service.ecs_service in found:
            yield service, found[service.ecs_service]
