"""Done means seen, not sent: the running tasks carry the digest, and the endpoints answer as they did before or better."""

from __future__ import annotations

import time
from collections.abc import Callable

from ops.adapters import ecs, http
from ops.errors import OpsError
from ops.flows.gather import Platform
from ops.model import Answer, Evidence, Finding, Unknown
from ops.rules import health
from ops.rules.proof import shortfall

TRIES = 4
BETWEEN_S = 2.0


def images(platform: Platform, name: str, digest: str | None, desired: int, sleep: Callable[[float], None] = time.sleep) -> Finding | None:
    """Every running task of the service has `digest`. Raises OpsError where one has another, after a few looks.

    What cannot be seen (a permission, the network) is a finding, not an error: it is no reason to take a healthy roll-out back.
    """
    container, seen = platform.settings.service(name).container, None
    for attempt in range(TRIES):
        if attempt:
            sleep(BETWEEN_S)
        seen = tasks_short_of(platform, name, container, digest, desired)
        if seen is None:
            return None
    if isinstance(seen, Unknown):
        summary = "the roll-out completed, but its tasks could not be looked at"
        return Finding("unproven", summary, "certain", (Evidence("DescribeTasks", seen.why),), (f"inv {name}.status",))
    raise OpsError(f"the tasks of {name} are not what was deployed", str(seen), f"inv {name}.status")


def tasks_short_of(platform: Platform, name: str, container: str, digest: str | None, desired: int) -> str | Unknown | None:
    environment = platform.settings.environment
    try:
        tasks = ecs.tasks(platform.cloud, environment.cluster, platform.settings.service(name).ecs_service)
    except OpsError as error:
        return Unknown(f"{error.what}: {error.why}")
    return shortfall(tasks, container, digest, desired)


def endpoints(
    platform: Platform, name: str, before: health.Answers, tag: str | None = None, sleep: Callable[[float], None] = time.sleep
) -> tuple[tuple[Answer, ...], Finding | None]:
    """What the endpoints answer now, and a finding where one that was healthy is not. Asked a few times: a load balancer settles."""
    environment, service = platform.settings.environment, platform.settings.service(name)
    address = environment.site or environment.alb
    if not address or not service.endpoints:
        return (), None
    answers: tuple[Answer, ...] = ()
    expected = [endpoint.about(tag) if tag else endpoint for endpoint in service.endpoints]
    for attempt in range(TRIES):
        if attempt:
            sleep(BETWEEN_S)
        answers = http.probe_all(address, expected)
        if all(answer.healthy for answer in answers):
            return answers, None
    ours = health.broken_by_us(before, answers)
    if ours:
        return answers, health.finding(ours, "endpoint_unhealthy", f"{len(ours)} endpoint(s) that were healthy are not", name)
    return answers, None


def still_unhealthy(answers: tuple[Answer, ...], before: health.Answers, name: str) -> Finding | None:
    """What was unhealthy before and is so still: said, and not blamed on the deploy."""
    ill = [answer for answer in answers if not answer.healthy]
    if not ill or isinstance(before, Unknown):
        return None
    return health.finding(ill, "unhealthy_before", f"{len(ill)} endpoint(s) were unhealthy before and still are", name)
