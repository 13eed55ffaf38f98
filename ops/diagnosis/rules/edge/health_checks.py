"""Causes in how target groups check: their time-outs, codes, the grace period, failing open."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from ops.aws.facts import ServiceState, Target, TaskState
from ops.core.findings import Evidence, Finding, Unknown
from ops.core.text import format_duration
from ops.diagnosis.facts import GroupFact, Incident, ServiceFact, evidence
from ops.diagnosis.model import Candidate
from ops.diagnosis.rules.causes import cause
from ops.diagnosis.rules.edge.pages import pages
from ops.diagnosis.rules.edge.ports import listening, log_lines
from ops.diagnosis.rules.target_health import (
    answer_code,
    target_evidence,
    unhealthy,
    unhealthy_events,
)

_FOLLOWS = (
    "target_unhealthy",
    "target_timeout",
    "service_unsteady",
    "fails_open",
    "page_slow",
    "page_hangs",
    "page_failing",
    "log_errors",
    "rollout_reverted_*",
)
_KILLED = "Task failed ELB health checks in"
_RECENT = timedelta(minutes=15)
_SLACK_S = 10.0  # for a task's registration, and the scheduler's own pace


@cause(
    "health_timeout_short",
    layer="target",
    symptoms="Targets are unhealthy with Target.Timeout, while the health path answers, slowly.",
    cure="Make the health path fast, or raise the health check's timeout.",
    explains=_FOLLOWS,
)
def health_timeout_short(incident: Incident) -> Iterator[Candidate]:
    """The health path answers, but later than the health check waits."""
    for service in incident.services:
        for group in service.target_groups:
            late = [each for each in unhealthy(group) if each.reason == "Target.Timeout"]
            timeout = group.raw.get("HealthCheckTimeoutSeconds")
            path = group.group.health_path
            slow = [
                page
                for page in pages(incident, service=service.name)
                if page.path == path and 200 <= page.status < 500 and page.took_s > (timeout or 0)
            ]
            if late and slow and timeout:
                took = min(page.took_s for page in slow)
                finding = Finding(
                    "health_timeout_short",
                    f"{service.name}: {path} answers after {format_duration(took)}, and the health "
                    f"check of {group.group.name} waits {timeout} s",
                    "certain",
                    (
                        *(
                            evidence(f"GET {page.url}", f"{page.status} after {page.took_s} s")
                            for page in slow
                        ),
                        evidence(
                            f"DescribeTargetGroups {group.group.name}",
                            f"HealthCheckTimeoutSeconds {timeout}",
                        ),
                        *map(target_evidence, late),
                    ),
                    (
                        f"inv {service.name}.logs --grep '{path}' --since 5m",
                        f"{incident.aws} elbv2 modify-target-group --target-group-arn "
                        f"{group.group.arn} --health-check-timeout-seconds {int(took) * 2 + 1} "
                        f"--health-check-interval-seconds {max(int(took) * 2 + 2, 30)}",
                    ),
                )
                because = "the same path answers in time for a caller that waits: nothing is closed"
                yield Candidate(finding, service.name, because)


@cause(
    "health_codes_wrong",
    layer="target",
    symptoms="Targets are unhealthy with a code such as 200 or 301 that the matcher does not list.",
    cure="Correct the matcher of the target group's health check (Terraform).",
    explains=_FOLLOWS,
)
def health_codes_wrong(incident: Incident) -> Iterator[Candidate]:
    """The health check gets a success that its matcher does not accept."""
    for service in incident.services:
        for group in service.target_groups:
            refused = [each for each in unhealthy(group) if answer_code(each)[:1] in ("2", "3")]
            if refused:
                yield _wrong_codes(incident, service, group, refused)


def _wrong_codes(
    incident: Incident, service: ServiceFact, group: GroupFact, refused: list[Target]
) -> Candidate:
    matcher = str((group.raw.get("Matcher") or {}).get("HttpCode", ""))
    codes = sorted({answer_code(each) for each in refused})
    success = all(code.startswith("2") for code in codes)
    command = (
        f"{incident.aws} elbv2 modify-target-group --target-group-arn {group.group.arn} "
        f"--matcher HttpCode=200-299"
    )
    finding = Finding(
        "health_codes_wrong",
        f"{service.name}: {group.group.health_path} answers {', '.join(codes)}, and the health "
        f"check of {group.group.name} accepts {matcher or 'other codes'} only",
        "certain" if success else "likely",
        (
            *map(target_evidence, refused),
            evidence(f"DescribeTargetGroups {group.group.name}", f"Matcher HttpCode={matcher}"),
        ),
        (command,) if success else (f"inv {service.name}.logs --since 5m",),
    )
    return Candidate(finding, service.name, "the application answers, and not with an error")


@cause(
    "grace_period_short",
    layer="target",
    symptoms="ECS stops tasks for failed health checks before the application listens.",
    cure="Raise healthCheckGracePeriodSeconds of the service above the time that a start takes.",
    explains=("target_port", *_FOLLOWS),
)
def grace_period_short(incident: Incident) -> Iterator[Candidate]:
    """Health checks stop every new task while it is still starting."""
    for service in incident.services:
        state = service.state
        if not isinstance(state, ServiceState) or state.scheduling != "REPLICA":
            continue
        lives = [
            (task, life)
            for task in service.recent_stops
            if task.stopped_reason.startswith(_KILLED)
            and (life := _life(service, task)) is not None
            and _recent(incident, task)
        ]
        budget = _budget(service, state)
        early = [(task, life) for task, life in lives if budget and life <= budget]
        if early and not _answers(incident, service):
            yield _too_early(incident, service, state, early)


def _budget(service: ServiceFact, state: ServiceState) -> float | None:
    """The seconds after which ECS stops a task that never answers; None if unknown."""
    times = [
        each.group.interval_s * (each.group.unhealthy_threshold + 1)
        for each in service.target_groups
        if each.group.interval_s
    ]
    return state.grace_s + max(times) + _SLACK_S if times else None


def _life(service: ServiceFact, task: TaskState) -> float | None:
    if task.created_at is None or task.stopped_at is None:
        return None
    return (task.stopped_at - task.created_at).total_seconds()


def _recent(incident: Incident, task: TaskState) -> bool:
    return task.stopped_at is not None and incident.at - task.stopped_at <= _RECENT


def _answers(incident: Incident, service: ServiceFact) -> bool:
    """Whether a task of the newest deployment listens or answers: then time is not the reason."""
    answered = any(
        each.state == "healthy" or answer_code(each)
        for group in service.target_groups
        for each in ([] if isinstance(group.targets, Unknown) else group.targets)
        if each.id in _addresses(service)
    )
    codes = any(
        "codes: [" in event.message
        for group in service.target_groups
        for event in unhealthy_events(incident, service, group)
        if event.at is not None and event.at >= _began(service)
    )
    return answered or codes or any(listening(log_lines(incident, service)))


def _began(service: ServiceFact) -> datetime:
    """When the newest deployment began; events before it are not its tasks'."""
    state = service.state
    primary = state.primary if isinstance(state, ServiceState) else None
    began = primary.created_at if primary else None
    return began or datetime.min.replace(tzinfo=UTC)


def _addresses(service: ServiceFact) -> frozenset[str]:
    """Addresses of the running tasks of the newest deployment."""
    state = service.state
    if isinstance(service.running, Unknown) or not isinstance(state, ServiceState):
        return frozenset()
    newest = state.primary.id if state.primary else ""
    return frozenset(task.address for task in service.running if task.started_by == newest)


def _too_early(
    incident: Incident,
    service: ServiceFact,
    state: ServiceState,
    early: list[tuple[TaskState, float]],
) -> Candidate:
    longest = max(life for _, life in early)
    starting = _starting(service, [task for task, _ in early])
    wanted = max(int(longest) * 3, 60)
    finding = Finding(
        "grace_period_short",
        f"{service.name}: health checks stop new tasks within {format_duration(longest)} of their "
        f"creation, before the application listens (grace period {state.grace_s} s)",
        "likely" if starting else "possible",
        (
            evidence(
                f"DescribeServices {service.ecs_service}",
                f"healthCheckGracePeriodSeconds {state.grace_s}",
            ),
            *(
                evidence(f"DescribeTasks {task.id}", f"{task.stopped_reason} after {life:.0f} s")
                for task, life in early
            ),
            *starting,
        ),
        (
            f"{incident.aws} ecs update-service --cluster {incident.subject['cluster']} --service "
            f"{service.ecs_service} --health-check-grace-period-seconds {wanted}",
            f"inv {service.name}.watch",
        ),
    )
    because = "the tasks did not exit by themselves, and their logs never say that they listen"
    return Candidate(finding, service.name, because)


def _starting(service: ServiceFact, tasks: list[TaskState]) -> list[Evidence]:
    """The last log line of each task: what it was doing when it was stopped."""
    return [
        evidence(f"log of task {task.id}", lines[-1])
        for task in tasks
        if (lines := service.logs.get(task.id))
    ]


@cause(
    "fails_open",
    layer="target",
    symptoms="No target is healthy, yet pages answer: the load balancer uses unhealthy targets.",
    cure="See why the health check fails; requests are not protected from broken tasks.",
    explains=("target_unhealthy",),
)
def fails_open(incident: Incident) -> Iterator[Candidate]:
    """No target is healthy, so the load balancer sends requests to all of them."""
    for service in incident.services:
        for group in service.target_groups:
            targets = () if isinstance(group.targets, Unknown) else group.targets
            standing = [each for each in targets if each.state not in ("draining", "initial")]
            served = [
                page
                for page in pages(incident, "alb", service.name)
                if 0 < page.status < 500 and not page.from_balancer
            ]
            if standing and served and all(each.state == "unhealthy" for each in standing):
                finding = Finding(
                    "fails_open",
                    f"{service.name}: no target of {group.group.name} is healthy, and the load "
                    f"balancer sends requests to unhealthy ones (fail open)",
                    "certain",
                    (
                        *map(target_evidence, standing),
                        *(page.evidence("server") for page in served[:2]),
                    ),
                    (f"inv {service.name}.status",),
                )
                because = "the pages come from the tasks although all of them are unhealthy"
                yield Candidate(finding, service.name, because)
