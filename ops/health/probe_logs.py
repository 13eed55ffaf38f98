"""Probes of the services' logs."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import datetime
from functools import partial

from ops.aws.cloudwatch import logs
from ops.aws.facts import LogGroupRef
from ops.aws.session import AwsSession
from ops.core.errors import ConfigError, OpsError
from ops.core.text import format_option
from ops.ecs.rules.log_sources import application_events
from ops.ecs.rules.task_definition_refs import log_options
from ops.health.inputs import SweepInputs
from ops.health.model import Check
from ops.health.probe_runner import Probe, health_group
from ops.health.rules import logs as rules
from ops.health.rules.services import STOPPED

_CLOCK_SKEW_S = 60.0  # tolerated between a task's clock and this machine's
_MAX_AGE_S = 86_400.0  # of log lines: CloudWatch scans, and charges for, the whole range


@health_group("logs", when_empty="no service is configured")
def probes(inputs: SweepInputs) -> Iterator[Probe]:
    for name in inputs.names:
        yield Probe((rules.log_key(name),), partial(_log, inputs, name), name)


def _log(inputs: SweepInputs, name: str) -> Iterable[Check]:
    """Check a service's log for errors and warnings; recent errors are a failure."""
    if inputs.environment.is_stopped(name):
        return [Check(rules.log_key(name), "skipped", STOPPED, service=name)]
    group, cloud = _log_group(inputs, name)
    if not group:
        raise ConfigError(
            f"log group of {name}",
            "neither invoke.yaml nor its task definition names one",
            "set log_group in invoke.yaml",
        )
    health, context, now = inputs.environment.health, inputs.context, time.time()
    begins, span = _log_window(inputs, name, now)
    recent_from = context.from_s or (
        now - context.since_s if context.since_s else max(begins, now - health.recent)
    )
    read = partial(logs.events_between, cloud, group, pattern=rules.FILTER)
    edge, end = int(recent_from * 1000), int((now + _CLOCK_SKEW_S) * 1000)
    recent, recent_whole = read(
        edge, end
    )  # read apart, so that many old lines cannot displace the recent ones
    older, whole = read(int(begins * 1000), edge) if begins < recent_from else ((), True)
    events = application_events((*older, *recent))
    if events:
        with suppress(OpsError):
            inputs.learn_secrets(name)
    found = rules.patterns(
        (rules.LogLine(each.at / 1000, each.message) for each in events), recent_from
    )
    known = context.known.get(rules.log_key(name).identity)
    return [
        rules.check(name, found, known, max(now - recent_from, 1.0) / 60, whole, span, recent_whole)
    ]


def _log_group(inputs: SweepInputs, name: str) -> tuple[str | None, AwsSession]:
    """The service's log group, and the session of its Region.

    Without a task definition that can be read, a configured group is in the service's Region.
    """
    service, cloud = inputs.environment.services[name], inputs.platform.cloud
    try:
        definition = inputs.latest(name)
    except OpsError:
        if service.log_group is None:
            raise
        definition = None
    options = log_options(definition.container(service.container) if definition else None)
    group = service.log_group or options.get("awslogs-group")
    named = group and LogGroupRef.parse(group, "").name == options.get("awslogs-group")
    region = options.get("awslogs-region") if named else None
    return group, cloud.in_region(region or cloud.region)


def _log_window(inputs: SweepInputs, name: str, now: float) -> tuple[float, str]:
    """Return the start of the log to read (seconds since 1970) and its description."""
    health, context = inputs.environment.health, inputs.context
    if context.since_s is not None:
        return now - context.since_s, f"in the last {format_option(context.since_s)}"
    release = inputs.release(name)
    if release is None or release.at is None:
        return now - health.since, f"in the last {format_option(health.since)}"
    at = datetime.fromisoformat(release.at).timestamp()
    if now - at > _MAX_AGE_S:
        return (
            now - _MAX_AGE_S,
            f"in the last day (the last release, {release.tag}, is older)",
        )
    return at, f"since the last release, {release.tag}"
