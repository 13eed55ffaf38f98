"""Causes in the RDS instance: storage, failover, maintenance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from ops.core.findings import Evidence, Finding
from ops.diagnosis.facts import Incident, evidence, parse_time
from ops.diagnosis.model import Candidate
from ops.diagnosis.rules.causes import cause
from ops.diagnosis.rules.database.symptoms import (
    CLIENTS_FAIL,
    clients,
    instance,
    log_evidence,
    suffers,
    unreachable,
)
from ops.health.rules.database import is_down

_RECENT = timedelta(hours=1)
_FAILOVER = timedelta(minutes=30)  # longer ones than this are not in progress any more
_AFTER_FAILOVER = timedelta(minutes=5)  # DNS may still name the old primary
_USUAL = ("available", "backing-up", "stopped", "stopping", "storage-full")
_FULL_SHARE = 0.01  # of the allocated storage
_GIB = 1 << 30


@cause(
    "database_storage_full",
    layer="database",
    symptoms="RDS's status is storage-full; PostgreSQL refuses connections or writes.",
    cure="Allocate more storage (and set it in Terraform), or enable storage autoscaling.",
    explains=("database_*", "connections_exhausted", *CLIENTS_FAIL),
)
def database_storage_full(incident: Incident) -> Iterator[Candidate]:
    """The instance has no storage left, as its status or its free storage says."""
    found = instance(incident)
    full, free = found.get("DBInstanceStatus") == "storage-full", _free_bytes(incident)
    allocated = int(found.get("AllocatedStorage") or 0)
    low = free is not None and allocated > 0 and free < _FULL_SHARE * allocated * _GIB
    suffering = unreachable(incident) or any(suffers(incident, each) for each in clients(incident))
    if not full and not (low and suffering):
        return
    name = found["DBInstanceIdentifier"]
    items = [_status(found)]
    if free is not None:
        items.append(
            evidence(
                f"FreeStorageSpace {name}", f"{free / _GIB:.2f} GiB of {allocated} GiB allocated"
            )
        )
    items += _event_evidence(incident, name, "low storage", "storage")
    larger = max(allocated + 10, -(-allocated * 12 // 10))
    command = (
        f"{incident.aws} rds modify-db-instance --db-instance-identifier {name} "
        f"--allocated-storage {larger} --apply-immediately"
    )
    summary = f"RDS instance {name} has no storage left ({allocated} GiB are allocated)"
    because = "RDS reports it itself" if full else "the metric is near zero, and clients fail"
    yield Candidate(
        Finding(
            "database_storage_full",
            summary,
            "certain" if full else "likely",
            tuple(items),
            (command, "inv db.ping"),
        ),
        because=because,
    )


def _free_bytes(incident: Incident) -> float | None:
    """The newest free storage; None if it is unknown."""
    points = incident.content("rds/free-storage") or ()
    return float(points[-1]["Minimum"]) if points else None


@cause(
    "database_failing_over",
    layer="database",
    symptoms="Connections break for a minute or two; writes fail as read-only.",
    cure="Wait for the event that it completed; restart clients that keep the old address.",
    explains=(
        "database_unavailable",
        "database_unreachable",
        "database_password_rejected",
        *CLIENTS_FAIL,
    ),
)
def database_failing_over(incident: Incident) -> Iterator[Candidate]:
    """A failover started and has not completed, or has just completed while clients fail."""
    found = instance(incident)
    started = _newest(incident, "failover started", "failover initiated")
    if not found or started is None:
        return
    completed = _newest(incident, "failover completed", "failover to standby complete")
    over = completed is not None and completed["Date"] >= started["Date"]
    since = incident.at - (completed if over and completed else started)["Date"]
    lines = list(_after_failover(incident, (completed if over and completed else started)["Date"]))
    failing = unreachable(incident) or any(suffers(incident, each) for each in clients(incident))
    if over:  # what else fails may have another reason
        failing = bool(lines) and found.get("DBInstanceStatus") == "available"
    if since > (_AFTER_FAILOVER if over else _FAILOVER) or not failing:
        return
    name = found["DBInstanceIdentifier"]
    items = [_event(name, started), *([_event(name, completed)] if over and completed else [])]
    restarts = [f"inv {each.name}.restart" for each in clients(incident)] if over else []
    text = (
        f"RDS instance {name} failed over a moment ago, and clients still use the old primary"
        if over
        else f"RDS instance {name} is failing over"
    )
    finding = Finding(
        "database_failing_over",
        text,
        "likely" if over else "certain",
        (*items, _status(found), *lines),
        ("inv db.ping", *restarts),
    )
    because = (
        "RDS's events say that it completed, and connections still fail"
        if over
        else "RDS's events have a start and no end of a failover"
    )
    yield Candidate(finding, because=because)


@cause(
    "database_unavailable",
    layer="database",
    symptoms="RDS reports a status other than available: rebooting, maintenance, upgrading …",
    cure="Wait for the named status to end; see the RDS events.",
    explains=("database_unreachable", *CLIENTS_FAIL),
)
def database_unavailable(incident: Incident) -> Iterator[Candidate]:
    """RDS works on the instance, and it does not serve connections meanwhile."""
    found = instance(incident)
    status = found.get("DBInstanceStatus", "available")
    if status in _USUAL or not (is_down(status) or unreachable(incident)):
        return
    name = found["DBInstanceIdentifier"]
    pending = ", ".join(sorted(found.get("PendingModifiedValues") or {}))
    items = [
        _status(found),
        *([evidence("DescribeDBInstances PendingModifiedValues", pending)] if pending else []),
        *_event_evidence(incident, name),
    ]
    finding = Finding(
        "database_unavailable",
        f"RDS instance {name} is {status}",
        "certain",
        tuple(items),
        (f"{incident.aws} rds wait db-instance-available --db-instance-identifier {name}",),
    )
    because = "RDS reports the status itself; the network and the password play no part"
    yield Candidate(finding, because=because)


def _after_failover(incident: Incident, at: datetime) -> Iterator[Evidence]:
    """Lines of clients that still use the old primary, written since then."""
    for each in clients(incident):
        if suffers(incident, each):
            for line in log_evidence(incident, each, "read_only", "silent"):
                written = parse_time(line.at)
                if written is not None and written > at:
                    yield line


def _status(found: Mapping[str, Any]) -> Evidence:
    return evidence("DescribeDBInstances DBInstanceStatus", found.get("DBInstanceStatus", ""))


def _event(name: str, found: Mapping[str, Any]) -> Evidence:
    return evidence(f"DescribeEvents {name}", found["Message"], at=_iso(found["Date"]))


def _iso(at: Any) -> str:
    return at.isoformat(timespec="seconds") if isinstance(at, datetime) else str(at)


def _events(incident: Incident) -> list[Mapping[str, Any]]:
    return [
        each
        for each in incident.content("rds/events") or ()
        if isinstance(each.get("Date"), datetime)
    ]


def _newest(incident: Incident, *words: str) -> Mapping[str, Any] | None:
    """The newest event whose message has one of these words."""
    found = [
        each
        for each in _events(incident)
        if any(word in str(each["Message"]).lower() for word in words)
    ]
    return max(found, key=lambda each: each["Date"], default=None)


def _event_evidence(incident: Incident, name: str, *words: str) -> Iterator[Evidence]:
    """The last events of the last hour, of a category or with a word, or all."""
    recent = [
        each
        for each in _events(incident)
        if incident.at - each["Date"] <= _RECENT
        and (
            not words
            or any(
                word in (*each.get("EventCategories", ()),) or word in str(each["Message"]).lower()
                for word in words
            )
        )
    ]
    for each in recent[-3:]:
        yield _event(name, each)
