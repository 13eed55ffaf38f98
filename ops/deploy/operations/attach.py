"""`inv SERVICE.watch`: watch the deployment in flight, also one of another run. Changes nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from ops.aws import ecs
from ops.aws.facts import Deployment, ServiceState, TaskDefinition, image_tag
from ops.core import findings
from ops.core.errors import Cancelled, Detached, Refused
from ops.core.findings import Finding, Unknown, Verdict
from ops.core.invocation import invocation
from ops.core.parallel import try_call
from ops.core.text import format_count, format_duration
from ops.deploy import verify
from ops.deploy.rules.in_flight import in_flight, rolls_back
from ops.ecs import watch
from ops.ecs.model import Display, WatchOptions, WatchResult
from ops.health.rules import endpoints as health_endpoints
from ops.platform import Platform
from ops.state import records


@dataclass(frozen=True)
class AttachResult:
    """The result of a watch of another run's deployment.

    `verdict` and `deployment` are None if no deployment was in flight. `image` is None if the
    task definition could not be read.
    """

    service: str
    environment: str
    deployment: str | None
    revision: str
    image: str | None
    verdict: Verdict | None
    why: str
    took_s: float = 0.0
    findings: tuple[Finding, ...] = ()

    @property
    def exit_code(self) -> int:
        return self.verdict.exit_code if self.verdict else 0

    @property
    def next(self) -> str:
        if self.verdict is Verdict.SUCCEEDED or self.verdict is None:
            return ""
        if self.verdict is Verdict.STARTED:
            return f"inv {self.service}.watch watches it further"
        if self.verdict is Verdict.TIMED_OUT:
            return f"ECS continues with it: inv {self.service}.watch watches it further"
        return f"inv {self.service}.status"

    @property
    def text(self) -> str:
        if self.verdict is None:
            return f"no deployment of {self.service} is in flight: {self.why}"
        verdict = self.verdict.value.replace("_", " ")
        runs = f"{self.service} {self.revision} ({self.deployment})"
        lines = [f"{verdict}  {runs} watched for {format_duration(self.took_s)}"]
        lines.append(
            f"  {'state' if self.verdict is Verdict.SUCCEEDED else 'cause':<7}  {self.why}"
        )
        lines.extend([f"  next     {self.next}"] if self.next else [])
        return "\n".join(lines)

    @property
    def document(self) -> dict[str, Any]:
        """The fields of a deploy's document; what a watch does not learn is null or empty."""
        return {
            "verdict": self.verdict.value if self.verdict else None,
            "service": self.service,
            "environment": self.environment,
            "tag": image_tag(self.image) or None if self.image else None,
            "image": self.image,
            "digest": None,
            "deployment": self.deployment,
            "task_definition": self.revision,
            "took_s": round(self.took_s, 3),
            "why": self.why,
            "next": self.next,
            "steps": [],
            "health": None,
            "findings": [findings.as_document(finding) for finding in self.findings],
            "skipped": [],
            "not_undone": [],
        }


def attach(
    platform: Platform,
    name: str,
    display: Display,
    *,
    timeout_s: float | None = None,
    follow: bool = False,
    clock: Callable[[], float] = time.monotonic,
) -> AttachResult:
    """Watch the deployment in flight to its verdict, then probe the endpoints.

    Raises Refused for a service that ECS does not have or is deleting, Cancelled for an interrupt.
    Its verdict is "started" if the operator detached.
    """
    environment, service = platform.settings.environment, platform.settings.service(name)
    state = ecs.service(platform.cloud, environment.cluster, service.ecs_service)
    if state is None:
        why = f"cluster {environment.cluster} has no such active service"
        raise Refused(f"service {service.ecs_service}", why, "inv preflight")
    if state.status != "ACTIVE":
        raise Refused(
            f"service {service.ecs_service}", f"it is {state.status}", f"inv {name}.status"
        )
    deployment = in_flight(state)
    found = deployment or state.primary
    result = AttachResult(
        name,
        platform.settings.name,
        deployment.id if deployment else None,
        (found.task_definition if found else state.task_definition).rsplit("/", 1)[-1],
        _image(platform, name, found),
        None,
        f"{state.running} of {state.desired} tasks run",
    )
    if deployment is None:
        label = f"{result.revision} ({result.image})" if result.image else result.revision
        return replace(result, why=f"{label} runs, {result.why}")
    began = clock()
    try:
        ended = watch.watch(
            watch.EcsObserver(
                platform.cloud, environment.cluster, service.ecs_service, service.container
            ),
            deployment.id,
            timeout_s=timeout_s or environment.deploy_timeout,
            poll_s=environment.poll,
            display=display,
            follow=follow,
            leave_to_circuit_breaker=True,
            timeout_includes_bake=timeout_s is not None,
            settle_s=service.settle,
            options=WatchOptions(
                name,
                (
                    "the deployment goes on in ECS; this watch changes nothing",
                    f"to attach again: {invocation.as_typed(f'inv {name}.watch')}",
                ),
                "stop watching",
                lambda: records.typical_rollout_s(platform, name),
                _elapsed_s(deployment),
            ),
        )
        return _verified(platform, name, replace(result, took_s=clock() - began), ended, state)
    except Detached:
        why = "detached: the deployment continues; nothing was changed"
        return replace(result, verdict=Verdict.STARTED, why=why, took_s=clock() - began)
    except KeyboardInterrupt:
        what = f"the watch of {deployment.id} was interrupted"
        why = "the deployment continues; nothing was changed"
        error = Cancelled(what, why, f"inv {name}.watch watches it further")
        stopped = replace(result, verdict=Verdict.INTERRUPTED, why=why, took_s=clock() - began)
        error.about = stopped.document
        raise error from None


def _verified(
    platform: Platform,
    name: str,
    result: AttachResult,
    ended: WatchResult,
    before: ServiceState,
) -> AttachResult:
    """The result of the watch, with the endpoints probed after a success."""
    result = replace(result, verdict=ended.verdict, why=ended.why, findings=ended.findings)
    if ended.verdict is not Verdict.SUCCEEDED:
        return result
    if before.primary and before.primary.id == ended.deployment and rolls_back(before.primary):
        why = f"{before.primary.rollout_reason}; ECS went back to {result.revision}"
        return replace(result, verdict=Verdict.ROLLED_BACK, why=why)
    if not before.desired:
        return result
    pages = verify.verify_endpoints(platform, name, Unknown("not probed before"))
    answers = pages.answers
    if pages.unreached:
        found = verify.unreached_finding(pages.unreached, name)
        result = replace(result, findings=(*result.findings, found))
    unhealthy = [answer for answer in answers if not answer.healthy]
    if not unhealthy:
        healthy = f"; {format_count(len(answers), 'endpoint')} healthy" if answers else ""
        return replace(result, why=result.why + healthy)
    summary = f"{format_count(len(unhealthy), 'endpoint')} unhealthy"
    found = health_endpoints.finding(unhealthy, "endpoint_unhealthy", summary, name)
    return replace(result, verdict=Verdict.FAILED, why=summary, findings=(*result.findings, found))


def _elapsed_s(deployment: Deployment) -> float:
    """How long the deployment has been going on, by AWS's clock and ours; 0 if ECS does not say."""
    if deployment.created_at is None:
        return 0.0
    return max((datetime.now(UTC) - deployment.created_at).total_seconds(), 0.0)


def _image(platform: Platform, name: str, deployment: Deployment | None) -> str | None:
    """The image of our container in the deployment's revision; None if it could not be read."""
    if deployment is None:
        return None
    found = try_call(lambda: ecs.task_definition(platform.cloud, deployment.task_definition))
    if not isinstance(found, TaskDefinition):
        return None
    container = found.container(platform.settings.service(name).container)
    return str(container["image"]) if container and container.get("image") else None
