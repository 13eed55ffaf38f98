"""What the database's causes have in common: who uses it, who suffers, and what logs report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ops.aws.facts import ServiceState, TaskDefinition
from ops.core.findings import Evidence, Unknown
from ops.diagnosis.facts import Incident, ServiceFact, evidence
from ops.diagnosis.rules.database.texts import Problem, problem_of
from ops.ecs.rules.task_definition_refs import references

CLIENTS_FAIL = (
    "service_unsteady",
    "target_unhealthy",
    "target_timeout",
    "target_port",
    "no_targets",
    "container_exited",
    "container_unhealthy",
    "log_errors",
    "page_failing",
    "page_slow",
    "page_hangs",
    "wrong_body",
    "wrong_content_type",
)  # what follows when a service cannot use the database
_SUFFERING = ("ecs", "targets", "endpoints", "logs")  # groups of checks


def instance(incident: Incident) -> Mapping[str, Any]:
    """The instance as DescribeDBInstances returned it; empty if unknown or not configured."""
    return incident.content("rds/instance") or {}


def clients(incident: Incident) -> Iterator[ServiceFact]:
    """The services whose tasks read the database's secret."""
    secret = incident.subject.get("secret") or (incident.content("secret") or {}).get("ARN") or ""
    for service in incident.services:
        revision = service.revision
        if isinstance(revision, TaskDefinition) and secret:
            sources = {each.source for each in references(revision)}
            if any(_is_named(secret, source) for source in sources):
                yield service


def _is_named(secret: str, source: str) -> bool:
    """Whether an ARN is that of the secret, which is configured by name or ARN."""
    name = source.rpartition(":")[2]  # Secrets Manager appends a hyphen and six characters
    return source == secret or secret in (name, name[:-7])


def suffers(incident: Incident, service: ServiceFact) -> bool:
    """Whether a check of the service fails now."""
    return any(
        check.service == service.name and check.group in _SUFFERING
        for check in incident.failed_checks()
    )


def unreachable(incident: Incident) -> bool:
    """Whether our own connection to the database fails."""
    return any(check.kind == "connection" for check in incident.failed_checks("db"))


def connected(incident: Incident) -> bool:
    """Whether our own connection works."""
    return any(
        check.kind == "connection" and check.status == "ok" and check.group == "db"
        for check in incident.checks
    )


def log_evidence(incident: Incident, service: ServiceFact, *wanted: Problem) -> list[Evidence]:
    """Lines of the service's log, and of its stopped tasks, that report one of these problems.

    Lines of tasks of an earlier deployment say nothing of this one.
    """
    written = (incident.content("logs/database") or {}).get(service.name) or ()
    running = None if isinstance(service.running, Unknown) else service.running
    recent = {task.id for task in service.recent_stops} if _tasks_missing(service) else set()
    tasks = recent | {task.id for task in running or ()}
    found = [
        evidence(f"log of {service.name}", each["message"], at=str(each.get("at", "")))
        for each in written
        if problem_of(each["message"]) in wanted
        and (running is None or each.get("task") in (None, "", *tasks))
    ]
    return found or [
        evidence(f"log of task {task}", line)
        for task, lines in service.logs.items()
        if task in recent
        for line in lines
        if problem_of(line) in wanted
    ]


def _tasks_missing(service: ServiceFact) -> bool:
    """Whether fewer tasks run than are desired: the stopped ones may tell why."""
    state = service.state
    return not isinstance(state, ServiceState) or state.running < state.desired


def connection_text(incident: Incident) -> tuple[str, str]:
    """The name and the text of our own failed connection; empty if it did not fail."""
    for check in incident.failed_checks("db"):
        if check.kind == "connection":
            return check.label, check.detail
    return "", ""


def activity(incident: Incident, part: str) -> Any:
    """A part of `database/activity`; None if it is unknown."""
    return (incident.content("database/activity") or {}).get(part)


def service_of(incident: Incident, address: str) -> str:
    """The service whose running task has this address; empty for any other client."""
    for service in incident.services:
        running = () if isinstance(service.running, Unknown) else service.running
        if any(address and task.address == address for task in running):
            return service.name
    return ""
