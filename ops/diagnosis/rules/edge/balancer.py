"""Causes at the load balancer itself: its time-out, and connections that targets close."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ops.aws.facts import ContainerDefinition, TaskDefinition
from ops.core.findings import Evidence, Finding, Unknown
from ops.core.text import format_duration
from ops.diagnosis.facts import Incident, ServiceFact, evidence
from ops.diagnosis.model import Candidate
from ops.diagnosis.rules.causes import cause
from ops.diagnosis.rules.edge.pages import pages

_IDLE = "idle_timeout.timeout_seconds"
_DEFAULT_IDLE_S = 60
_KEEP_ALIVE = re.compile(
    r"(?:--keep-alive|--timeout-keep-alive|--keep-alive-timeout)(?:=|\s+)(\d+)(ms)?", re.I
)
_VARIABLE = re.compile(r"KEEP_?ALIVE(?:_?TIMEOUT)?(_MS)?$", re.I)
_ARGUMENTS = ("GUNICORN_CMD_ARGS", "UVICORN_ARGS", "NODE_OPTIONS")


def idle_timeout(incident: Incident, service: ServiceFact) -> int | None:
    """Seconds that the service's load balancer waits for a silent target; None if unknown."""
    attributes = incident.content("elb/attributes")
    if attributes is None:
        return None
    arns = [
        arn for group in service.target_groups for arn in group.raw.get("LoadBalancerArns") or ()
    ]
    times = [
        int(found.get(_IDLE) or _DEFAULT_IDLE_S)
        for arn in arns
        if (found := attributes.get(arn)) is not None
    ]
    return min(times) if times else None


@cause(
    "gateway_timeout",
    layer="balancer",
    symptoms="A page answers 504 after exactly the load balancer's idle timeout.",
    cure="Make the page faster, or raise the load balancer's idle timeout.",
    explains=("page_failing", "page_slow", "page_hangs", "wrong_status"),
)
def gateway_timeout(incident: Incident) -> Iterator[Candidate]:
    """A healthy target needs longer for a page than the load balancer waits."""
    for service in incident.services:
        idle = idle_timeout(incident, service)
        if idle is None or not _any_healthy(service):
            continue
        late = [
            page
            for page in pages(incident, "alb", service.name)
            if page.status == 504 and page.from_balancer and page.took_s >= 0.9 * idle
        ] or [
            page
            for page in pages(incident, "cdn", service.name)
            if page.status == 504 and page.from_balancer and page.took_s >= 0.9 * idle
        ]
        if late:
            paths = ", ".join(sorted({page.path for page in late}))
            balancer = next(
                arn
                for group in service.target_groups
                for arn in group.raw.get("LoadBalancerArns") or ()
            )
            finding = Finding(
                "gateway_timeout",
                f"{service.name}: {paths} takes longer than the load balancer waits for a target "
                f"({idle} s)",
                "certain",
                (
                    *(
                        evidence(
                            f"GET {page.url}",
                            f"504 after {page.took_s} s; server: {page.headers['server']}",
                        )
                        for page in late
                    ),
                    _idle_evidence(idle),
                ),
                (
                    f"inv {service.name}.logs --grep '{late[0].path}' --since 15m",
                    f"{incident.aws} elbv2 modify-load-balancer-attributes --load-balancer-arn "
                    f"{balancer} --attributes Key={_IDLE},Value={max(idle * 2, _DEFAULT_IDLE_S)}",
                ),
            )
            because = (
                f"the 504 comes after the idle timeout of {format_duration(float(idle))}, and "
                "targets are healthy, so they were reached"
            )
            yield Candidate(finding, service.name, because)


def _idle_evidence(idle: int) -> Evidence:
    return evidence("DescribeLoadBalancerAttributes", f"{_IDLE} {idle}")


def _any_healthy(service: ServiceFact) -> bool:
    return any(
        target.state == "healthy"
        for group in service.target_groups
        if not isinstance(group.targets, Unknown)
        for target in group.targets
    )


@cause(
    "keep_alive_short",
    layer="balancer",
    symptoms="Now and then a request gets 502, while all targets stay healthy.",
    cure="Let the application keep connections open longer than the load balancer's idle timeout.",
    explains=("page_failing",),
)
def keep_alive_short(incident: Incident) -> Iterator[Candidate]:
    """The application closes idle connections sooner than the load balancer, which reuses them."""
    counts = incident.content("elb/bad-gateways")
    for service in incident.services:
        idle = idle_timeout(incident, service)
        arns = [
            arn
            for group in service.target_groups
            for arn in group.raw.get("LoadBalancerArns") or ()
        ]
        errors = sum((counts or {}).get(arn, 0) for arn in dict.fromkeys(arns))
        if idle is None or not errors or not _all_healthy(service):
            continue
        short = [(time, proof) for time, proof in _keep_alive(service) if time <= idle]
        if short:
            finding = Finding(
                "keep_alive_short",
                f"{service.name}: the application closes idle connections after {short[0][0]:g} s, "
                f"before the load balancer does ({idle} s): sporadic 502",
                "likely",
                (
                    *(proof for _, proof in short),
                    _idle_evidence(idle),
                    evidence(
                        "GetMetricStatistics HTTPCode_ELB_502_Count", f"{errors:g} in an hour"
                    ),
                ),
                (f"inv {service.name}.logs --since 15m",),
            )
            because = "all targets are healthy, so the load balancer lost connections, not tasks"
            yield Candidate(finding, service.name, because)


def _all_healthy(service: ServiceFact) -> bool:
    groups = service.target_groups
    return bool(groups) and all(
        not isinstance(group.targets, Unknown)
        and any(each.state == "healthy" for each in group.targets)
        and all(each.state != "unhealthy" for each in group.targets)
        for group in groups
    )


def _keep_alive(service: ServiceFact) -> Iterator[tuple[float, Evidence]]:
    """Seconds for which the application keeps an idle connection, where its container says so."""
    revision = service.revision
    if not isinstance(revision, TaskDefinition):
        return
    container = revision.container(service.container)
    for name, text in _arguments(container or {}):
        found = _KEEP_ALIVE.search(text)
        if found:
            seconds = float(found[1]) / (1000 if found[2] else 1)
            yield seconds, evidence(f"DescribeTaskDefinition {revision.label} {name}", found[0])
    for each in (container or {}).get("environment") or ():
        named, value = _VARIABLE.search(each["name"]), str(each.get("value", ""))
        if named and value.isdecimal():
            seconds = float(value) / (1000 if named[1] or float(value) >= 1000 else 1)
            source = f"DescribeTaskDefinition {revision.label} environment"
            yield seconds, evidence(source, f"{each['name']}={value}")


def _arguments(container: ContainerDefinition | Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield (
        "command",
        " ".join((*(container.get("entryPoint") or ()), *(container.get("command") or ()))),
    )
    for each in container.get("environment") or ():
        if each["name"] in _ARGUMENTS:
            yield each["name"], str(each.get("value", ""))
