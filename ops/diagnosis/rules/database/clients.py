"""Causes in how clients log in: password, TLS, connections."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from ops.core.findings import Evidence, Finding
from ops.diagnosis.facts import Incident, ServiceFact, evidence
from ops.diagnosis.model import Candidate
from ops.diagnosis.rules.causes import cause
from ops.diagnosis.rules.database.symptoms import (
    CLIENTS_FAIL,
    activity,
    clients,
    connected,
    connection_text,
    log_evidence,
    service_of,
    suffers,
)
from ops.diagnosis.rules.database.texts import Problem, problem_of

_TAKEN_SHARE = 0.9  # of the connections that clients may take
_MAX_GROUPS = 5
_TLS: Mapping[Problem, str] = {
    "tls_required": "PostgreSQL refuses connections without TLS",
    "tls_refused": "the client requires TLS, which PostgreSQL does not offer",
    "certificate": "the client does not trust PostgreSQL's certificate",
}


@cause(
    "database_password_rotated",
    layer="secret",
    symptoms="password authentication failed, only in tasks older than the secret's last change.",
    cure="inv SERVICE.restart: new tasks read the current secret.",
    explains=("database_password_rejected", *CLIENTS_FAIL),
)
def database_password_rotated(incident: Incident) -> Iterator[Candidate]:
    """Running tasks started before the secret changed, and the current password works."""
    secret = incident.content("secret") or {}
    dates = [secret.get("LastChangedDate"), secret.get("LastRotatedDate")]
    changed = max((each for each in dates if isinstance(each, datetime)), default=None)
    if changed is None or not connected(incident):
        return
    for service in clients(incident):
        rejected = log_evidence(incident, service, "password")
        old = _started_before(incident, service, changed)
        if not old or not rejected or not suffers(incident, service):
            continue
        name = str(secret.get("Name", ""))
        items = (
            evidence(
                f"DescribeSecret {name}", f"changed at {changed.isoformat(timespec='seconds')}"
            ),
            *(
                evidence(
                    "DescribeTasks startedAt",
                    task,
                    f"started at {at.isoformat(timespec='seconds')}",
                )
                for task, at in old[:3]
            ),
            *rejected,
        )
        summary = (
            f"{service.name}: secret {name} changed after the tasks started, and they still use "
            f"the old password"
        )
        because = "the current password works from here; only tasks older than the change fail"
        finding = Finding(
            "database_password_rotated",
            summary,
            "certain",
            items,
            (f"inv {service.name}.restart",),
        )
        yield Candidate(finding, service.name, because)


def _started_before(
    incident: Incident, service: ServiceFact, changed: datetime
) -> list[tuple[str, datetime]]:
    """(Task, start) of the running tasks that started before the change."""
    tasks = ((incident.content("ecs/tasks") or {}).get(service.ecs_service) or {}).get("running")
    return [
        (str(task["taskArn"]).rpartition("/")[2], started)
        for task in tasks or ()
        if isinstance(started := task.get("startedAt"), datetime) and started < changed
    ]


@cause(
    "database_tls",
    layer="database",
    symptoms="no pg_hba.conf entry … no encryption; self-signed certificate in certificate chain.",
    cure="Correct sslmode or the CA bundle of the client that the finding names.",
    explains=("database_unreachable", *CLIENTS_FAIL),
)
def database_tls(incident: Incident) -> Iterator[Candidate]:
    """A service's log, or our own connection, has the error of a TLS handshake or its lack."""
    label, text = connection_text(incident)
    ours = [evidence(label, text)] if problem_of(text) in _TLS else []
    for service in clients(incident):
        for problem, meaning in _TLS.items():
            lines = log_evidence(incident, service, problem) if suffers(incident, service) else []
            if not lines:
                continue
            finding = Finding(
                "database_tls",
                f"{service.name}: {meaning}",
                "certain",
                (*lines, *ours, *_tls_settings(incident)),
                (f"inv {service.name}.logs --since 10m --grep '{_GREP[problem]}'", "inv db.ping"),
            )
            yield Candidate(finding, service.name, "the driver's own words name TLS as the reason")


_GREP: Mapping[Problem, str] = {
    "tls_required": "pg_hba",
    "tls_refused": "SSL",
    "certificate": "certificate",
}


def _tls_settings(incident: Incident) -> Iterator[Evidence]:
    settings = activity(incident, "settings") or {}
    for name, key in (("ssl", "ssl"), ("rds.force_ssl", "force_ssl")):
        if settings.get(key):
            yield evidence(f"PostgreSQL setting {name}", settings[key])


@cause(
    "connections_exhausted",
    layer="database",
    symptoms="sorry, too many clients already; remaining connection slots are reserved.",
    cure="End the sessions of the client that the finding names, and limit its pool.",
    explains=("database_unreachable", *CLIENTS_FAIL),
)
def connections_exhausted(incident: Incident) -> Iterator[Candidate]:
    """Nearly all connections are taken; the sessions say by whom."""
    sessions, settings = activity(incident, "sessions"), activity(incident, "settings")
    refused = [
        line for each in clients(incident) for line in log_evidence(incident, each, "exhausted")
    ]
    label, text = connection_text(incident)
    if problem_of(text) == "exhausted":
        refused.append(evidence(label, text))
        yield Candidate(
            Finding(
                "connections_exhausted",
                "PostgreSQL refuses new connections: all are taken",
                "certain",
                tuple(refused),
                ("inv db.ping",),
            ),
            because="PostgreSQL says so itself; who holds them can only be read once one is free",
        )
    if not sessions or not settings:
        return
    limit = settings["max_connections"] - settings["reserved_connections"]
    if len(sessions) < _TAKEN_SHARE * limit:
        return
    groups = Counter((each["user"], each["application"], each["address"]) for each in sessions)
    yield _exhausted(incident, groups, len(sessions), limit, refused)


def _exhausted(
    incident: Incident,
    groups: Counter[tuple[str, str, str]],
    taken: int,
    limit: int,
    refused: list[Evidence],
) -> Candidate:
    (user, application, address), most = groups.most_common(1)[0]
    holder = service_of(incident, address or "")
    who = f"{user}/{application or 'unnamed'} from {address or 'the server itself'}"
    whose = f"a task of {holder}" if holder else "no task of ours"
    items = [
        evidence(
            "pg_stat_activity",
            f"{count} sessions of {each[0]}/{each[1] or 'unnamed'} from {each[2] or 'the server'}",
            f"({service_of(incident, each[2] or '') or 'no task of ours'})",
        )
        for each, count in groups.most_common(_MAX_GROUPS)
    ]
    name = application.replace("'", "''")
    sessions = f"pg_stat_activity WHERE application_name = '{name}'"  # for a person to run
    end = f"SELECT pg_terminate_backend(pid) FROM {sessions}"  # noqa: S608
    finding = Finding(
        "connections_exhausted",
        f"PostgreSQL: {taken} of {limit} connections are taken, {most} of them by {who} ({whose})",
        "certain",
        (*items, *refused),
        (f"inv {holder}.restart",) if holder else (f"run in psql, through inv db.tunnel: {end};",),
    )
    return Candidate(finding, because=f"one client holds {most} of the {taken} sessions")


def sessions_text(each: Mapping[str, Any]) -> str:
    """A session in one line: who, from where, what it does, and for how long."""
    where = each["address"] or "the server itself"
    since = each.get("transaction_s")
    age = f", transaction of {since:.0f} s" if since else ""
    return (
        f"pid {each['pid']} {each['user']}/{each['application'] or 'unnamed'} from {where}: "
        f"{each['state']}{age}: {each['statement'] or 'no statement'}"
    )
