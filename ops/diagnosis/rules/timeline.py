"""What happened, by time: releases, deployments, stops, events, invalidations, migrations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from ops.diagnosis.facts import Incident, parse_time


@dataclass(frozen=True)
class Moment:
    """One thing that happened. `source` names what says so."""

    at: datetime
    source: str
    text: str
    service: str = ""

    def as_document(self) -> dict[str, Any]:
        return {**vars(self), "at": self.at.isoformat()}


def timeline(incident: Incident, since: timedelta) -> tuple[Moment, ...]:
    """All moments from `since` before the incident until it, oldest first."""
    start = incident.at - since
    found = {
        moment
        for source in _SOURCES
        for moment in source(incident)
        if start <= moment.at <= incident.at + timedelta(minutes=1)
    }
    return tuple(sorted(found, key=lambda each: (each.at, each.source, each.text)))


def _releases(incident: Incident) -> Iterator[Moment]:
    for service, records in (incident.content("releases") or {}).items():
        for record in records:
            at = parse_time(record.get("at"))
            if at:
                what = record.get("kind") or "deploy"
                by = f" by {record['by']}" if record.get("by") else ""
                text = f"{what} {record.get('tag') or '?'}: {record.get('verdict') or '?'}{by}"
                yield Moment(at, "release", text, service)


def _services(incident: Incident) -> Iterator[Moment]:
    for service in incident.services:
        for event in service.events:
            if event.at:
                yield Moment(event.at, "ECS event", event.message, service.name)
        for deployment in getattr(service.state, "deployments", ()):
            if deployment.created_at:
                revision = deployment.task_definition.rsplit("/", 1)[-1]
                text = f"deployment {deployment.id} of {revision} began"
                yield Moment(deployment.created_at, "ECS deployment", text, service.name)
        for task in service.stopped_tasks:
            if task.stopped_at:
                text = f"task {task.id} stopped: {task.stopped_reason or task.stop_code or '?'}"
                yield Moment(task.stopped_at, "ECS task", text, service.name)


def _updates(incident: Incident) -> Iterator[Moment]:
    for each in incident.content("cloudtrail/updates") or ():
        at = parse_time(each.get("EventTime"))
        if at:
            yield Moment(at, "CloudTrail", f"{each.get('EventName')} by {each.get('Username')}")


def _database(incident: Incident) -> Iterator[Moment]:
    for each in incident.content("rds/events") or ():
        at = parse_time(each.get("Date"))
        if at:
            yield Moment(at, "RDS", each.get("Message", ""))


def _cdn(incident: Incident) -> Iterator[Moment]:
    for each in incident.content("cdn/invalidations") or ():
        at = parse_time(each.get("CreateTime"))
        if at:
            yield Moment(at, "CloudFront", f"invalidation {each.get('Id')}: {each.get('Status')}")


def _alarms(incident: Incident) -> Iterator[Moment]:
    for each in incident.content("cloudwatch/alarms") or ():
        at = parse_time(each.get("StateUpdatedTimestamp"))
        if at:
            yield Moment(at, "alarm", f"{each.get('AlarmName')} is {each.get('StateValue')}")


def _migrations(incident: Incident) -> Iterator[Moment]:
    for run in (incident.content("database/activity") or {}).get("history") or ():
        for name, verb in (("began_at", "began"), ("ended_at", run.get("result") or "ended")):
            at = parse_time(run.get(name))
            if at:
                text = f"{run.get('verb')} {run.get('run')} {verb}, by {run.get('by')}"
                yield Moment(at, "migration", text)


def _database_problems(incident: Incident) -> Iterator[Moment]:
    for service, lines in (incident.content("logs/database") or {}).items():
        for line in lines:
            at = parse_time(line.get("at"))
            if at:
                yield Moment(at, f"log of {str(line.get('task'))[:12]}", line["message"], service)


_SOURCES: tuple[Callable[[Incident], Iterator[Moment]], ...] = (
    _releases,
    _services,
    _updates,
    _database,
    _cdn,
    _alarms,
    _migrations,
    _database_problems,
)
