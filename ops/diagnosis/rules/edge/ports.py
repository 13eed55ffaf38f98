"""Causes of refused health checks: the port, or the address, on which the application listens."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ops.aws.facts import Target, TaskDefinition
from ops.core.findings import Evidence, Finding
from ops.diagnosis.facts import GroupFact, Incident, ServiceFact, evidence
from ops.diagnosis.model import Candidate
from ops.diagnosis.rules.causes import cause
from ops.diagnosis.rules.target_health import target_evidence, unhealthy

_FOLLOWS = (
    "target_unhealthy",
    "target_timeout",
    "service_unsteady",
    "fails_open",
    "page_failing",
    "page_slow",
    "wrong_body",
    "wrong_status",
    "log_errors",
    "rollout_reverted_*",
)
_LISTENS = re.compile(r"\b(?:listen|serv|bound|bind|running|started|ready|available)\w*\b", re.I)
_LOOPBACK = re.compile(r"(?<![\d.])(?:127\.0\.0\.1|localhost|\[::1\])(?![\d.])", re.I)
_EVERYWHERE = re.compile(r"(?<![\d.])0\.0\.0\.0(?![\d.])|\[::\]|(?<![\w:])::(?![\w:])")
_PORT = re.compile(r"(?:port\W{1,4}|:)(\d{2,5})\b", re.I)
_PORT_VARIABLES = ("PORT", "HTTP_PORT", "SERVER_PORT", "APP_PORT")
_HOST_VARIABLES = ("HOST", "HOSTNAME", "BIND", "BIND_ADDRESS", "LISTEN_ADDRESS", "SERVER_ADDRESS")


@dataclass(frozen=True)
class _Refused:
    """Targets of a service that refuse the load balancer's connections."""

    service: ServiceFact
    group: GroupFact
    targets: tuple[Target, ...]

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        return tuple(map(target_evidence, self.targets))


def refusing(incident: Incident) -> Iterator[_Refused]:
    """Services with targets that fail health checks without any HTTP answer."""
    for service in incident.services:
        for group in service.target_groups:
            refused = tuple(
                each for each in unhealthy(group) if each.reason == "Target.FailedHealthChecks"
            )
            if refused:
                yield _Refused(service, group, refused)


def log_lines(incident: Incident, service: ServiceFact) -> Iterator[tuple[str, str]]:
    """(task id, line) of unhealthy tasks' logs, then of stopped ones of the newest deployment."""
    unhealthy_logs = (incident.content("logs/unhealthy") or {}).get(service.ecs_service) or {}
    stopped = {task.id for task in service.recent_stops}
    for logs in (unhealthy_logs, {k: v for k, v in service.logs.items() if k in stopped}):
        for task, lines in logs.items():
            for line in lines:
                yield task, line


def listening(lines: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """The lines in which a server says where it listens."""
    for task, line in lines:
        if _LISTENS.search(line) and (
            _LOOPBACK.search(line) or _EVERYWHERE.search(line) or _PORT.search(line)
        ):
            yield task, line


@cause(
    "listens_on_loopback",
    layer="target",
    symptoms="Targets refuse connections, and the log says: listening on 127.0.0.1.",
    cure="Let the application listen on 0.0.0.0: its command, or its HOST variable.",
    explains=("target_port", *_FOLLOWS),
)
def listens_on_loopback(incident: Incident) -> Iterator[Candidate]:
    """The application accepts connections from its own task only."""
    for each in refusing(incident):
        proof = [*_loopback_lines(incident, each.service), *_loopback_variables(each)]
        if not proof:
            continue
        port = each.targets[0].port
        finding = Finding(
            "listens_on_loopback",
            f"{each.service.name}: the application listens on 127.0.0.1, so the load balancer "
            f"cannot reach it on port {port}",
            "likely",
            (*proof, *each.evidence),
            (*each.service.rollback, f"inv {each.service.name}.logs --since 15m"),
        )
        because = "the task runs and says that it listens, but its network address refuses"
        yield Candidate(finding, each.service.name, because)


def _loopback_lines(incident: Incident, service: ServiceFact) -> list[Evidence]:
    return [
        evidence(f"log of task {task}", line)
        for task, line in listening(log_lines(incident, service))
        if _LOOPBACK.search(line) and not _EVERYWHERE.search(line)
    ]


def _loopback_variables(refused: _Refused) -> list[Evidence]:
    return [
        evidence(f"DescribeTaskDefinition {label} environment", f"{name}={value}")
        for label, name, value in _environment(refused)
        if name in _HOST_VARIABLES and _LOOPBACK.match(value)
    ]


def _environment(refused: _Refused) -> Iterator[tuple[str, str, str]]:
    """(revision, name, value) of the variables of the container that is registered."""
    revision = refused.service.revision
    if not isinstance(revision, TaskDefinition):
        return
    container = revision.container(refused.group.container)
    for each in (container or {}).get("environment") or ():
        yield revision.label, each["name"], str(each.get("value", ""))


@cause(
    "target_port",
    layer="target",
    symptoms="Targets refuse connections: nothing listens on the registered port.",
    cure="Correct the port in the task definition, or the application's.",
    explains=_FOLLOWS,
)
def target_port(incident: Incident) -> Iterator[Candidate]:
    """The application listens on another port than the target group requests."""
    for each in refusing(incident):
        checked = _checked_port(each.group, each.targets[0])
        other = [*_other_ports(each, checked), *_other_lines(incident, each, checked)]
        if not other:
            continue
        finding = Finding(
            "target_port",
            f"{each.service.name}: the load balancer connects to port {checked}, and the "
            f"application listens on {other[0][0]}",
            "certain" if len({port for port, _ in other}) == 1 else "likely",
            (*(proof for _, proof in other), *each.evidence),
            (*each.service.rollback, f"inv {each.service.name}.logs --since 15m"),
        )
        because = "connections are refused, so the network is open and nothing listens there"
        yield Candidate(finding, each.service.name, because)


def _checked_port(group: GroupFact, target: Target) -> int:
    """The port of the health check, which may differ from that of requests."""
    port = str(group.raw.get("HealthCheckPort", "traffic-port"))
    return int(port) if port.isdecimal() else target.port


def _other_ports(refused: _Refused, port: int) -> Iterator[tuple[int, Evidence]]:
    """Ports of the configuration that are not the requested one."""
    found = False
    for label, name, value in _environment(refused):
        if name in _PORT_VARIABLES and value.isdecimal() and int(value) != port:
            found = True
            source = f"DescribeTaskDefinition {label} environment"
            yield int(value), evidence(source, f"{name}={value}")
    registered = refused.group.port
    if not found and registered and port != registered:
        source = f"DescribeTargetGroups {refused.group.group.name}"
        text = f"HealthCheckPort {port}, while tasks are registered with port {registered}"
        yield registered, evidence(source, text)


def _other_lines(
    incident: Incident, refused: _Refused, port: int
) -> Iterator[tuple[int, Evidence]]:
    """Lines that name the port that the application listens on, if that is another one."""
    lines = list(listening(log_lines(incident, refused.service)))
    named = {int(found) for _, line in lines for found in _PORT.findall(line)}
    if port in named:
        return
    for task, line in lines:
        ports = [int(found) for found in _PORT.findall(line)]
        if len(ports) == 1 and 0 < ports[0] < 65_536:
            yield ports[0], evidence(f"log of task {task}", line)
