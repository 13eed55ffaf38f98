"""Done means seen, not sent: the running tasks carry the digest, and the endpoints answer as they did before or better."""

from __future__ import annotations

import time
from collections.abc import Callable

from ops.adapters import ecs, http
from ops.errors import OpsError
from ops.flows.gather import Platform
from ops.model import Answer, Finding, Unknown
from ops.rules import health

TRIES = 4
BETWEEN_S = 2.0


def images(platform: Platform, name: str, digest: str | None) -> None:
    """Every running task of the service has `digest`. Raises OpsError naming the first task that has another."""
    environment, service = platform.settings.environment, platform.settings.service(name)
    running = [task for task in ecs.tasks(platform.cloud, environment.cluster, service.ecs_service) if task.status == "RUNNING"]
    if not running:
        raise OpsError(f"no task of {service.ecs_service} is running", "the roll-out ended, and nothing runs", f"inv {name}.status")
    for task in running:
        container = task.container(service.container)
        if not container or container.digest != digest:
            found = container.digest if container else "no such container"
            raise OpsError(f"task {task.id} runs {found}", f"{digest} was deployed", f"inv {name}.status")


def endpoints(
    platform: Platform, name: str, before: health.Answers, tag: str | None = None, sleep: Callable[[float], None] = time.sleep
) -> tuple[tuple[Answer, ...], Finding | None]:
    """What the endpoints answer now, and a finding where one that was healthy is not. Asked a few times: a load balancer settles."""
    environment, service = platform.settings.environment, platform.settings.service(name)
    if not environment.site or not service.endpoints:
        return (), None
    answers: tuple[Answer, ...] = ()
    expected = [endpoint.about(tag) if tag else endpoint for endpoint in service.endpoints]
    for attempt in range(TRIES):
        if attempt:
            sleep(BETWEEN_S)
        answers = http.probe_all(environment.site, expected)
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
