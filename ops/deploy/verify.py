"""Verify a deploy: running tasks have the digest, and endpoints are no worse than before."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from ops.aws import ecs
from ops.aws.facts import ServiceState
from ops.cdn import edge
from ops.cdn.facts import EdgeProof
from ops.cdn.rules import edge_proof
from ops.core.errors import OpsError
from ops.core.findings import Evidence, Finding, Unknown
from ops.core.parallel import Reads, gather
from ops.core.retry import pauses_within, repeat_until
from ops.core.text import format_count
from ops.ecs.rules.image_match import service_image_mismatch
from ops.health.rules import endpoints as health_endpoints
from ops.http import client
from ops.http.facts import Answer
from ops.platform import Platform
from ops.tools import reachability

_PAUSES_S = (2.0, 2.0, 2.0)
_LONGEST_S = 15.0  # no further read after that, since a hanging call may take as long


@dataclass(frozen=True)
class ImageCheck:
    """The service and its tasks as read after the rollout, and what is wrong or unknown."""

    state: ServiceState | Unknown | None
    wrong: str | Unknown | None

    @property
    def scaled_to_zero(self) -> bool:
        """Whether the service's desired count is now 0: nothing runs, on purpose."""
        return isinstance(self.state, ServiceState) and not self.state.desired


def verify_images(
    platform: Platform, name: str, digest: str | None, sleep: Callable[[float], None] = time.sleep
) -> ImageCheck:
    """Check that every running task has `digest`.

    Raises OpsError if one has another after a few reads.

    The desired count is read with the tasks: it may have changed since the deploy began. Tasks
    that cannot be read (a permission, the network) are a finding of the caller, not an error:
    they are no reason to roll a healthy service back.
    """
    found = repeat_until(
        lambda: _read_running(platform, name, digest),
        lambda found: found.wrong is None,
        pauses_within(_PAUSES_S, _LONGEST_S),
        sleep,
    )
    if isinstance(found.wrong, str):
        raise OpsError(
            f"the tasks of {name} are not what was deployed", found.wrong, f"inv {name}.status"
        )
    return found


def _read_running(platform: Platform, name: str, digest: str | None) -> ImageCheck:
    """Read the service and its tasks once."""
    cloud, cluster, service = (
        platform.cloud,
        platform.settings.environment.cluster,
        platform.settings.service(name),
    )
    with Reads() as reads:
        state = reads.submit(ecs.service, cloud, cluster, service.ecs_service)
        tasks = reads.submit(ecs.tasks, cloud, cluster, service.ecs_service)
    wrong = service_image_mismatch(state.value, tasks.value, service.container, digest)
    return ImageCheck(state.value, wrong)


def unverified_finding(wrong: Unknown, name: str) -> Finding:
    """The finding for tasks that could not be read."""
    summary = "the rollout completed, but its tasks could not be read"
    return Finding(
        "unproven",
        summary,
        "certain",
        (Evidence("DescribeTasks", wrong.why),),
        (f"inv {name}.status",),
    )


def scaled_to_zero_finding(state: ServiceState, name: str) -> Finding:
    """The finding for a desired count that was set to 0 during the deploy."""
    summary = (
        f"{name} was scaled to 0 during the deploy: no task runs, so neither image nor "
        f"endpoints were checked"
    )
    shown = Evidence(
        f"DescribeServices {state.name}", f"desiredCount 0, runningCount {state.running}"
    )
    return Finding("scaled_to_zero", summary, "certain", (shown,), (f"inv {name}.status",))


@dataclass(frozen=True)
class EndpointCheck:
    """The answers of the endpoints, and the finding for those that the rollout broke.

    `unreached`: why the others, which are not among the answers, are unknown.
    """

    answers: tuple[Answer, ...] = ()
    broken: Finding | None = None
    unreached: Unknown | None = None


def verify_endpoints(
    platform: Platform,
    name: str,
    before: health_endpoints.Answers,
    tag: str | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> EndpointCheck:
    """Probe the endpoints; the finding names those that were healthy before.

    Retried a few times, since a load balancer needs time to settle.
    """
    environment, service = platform.settings.environment, platform.settings.service(name)
    address = environment.site or environment.alb
    if not address or not service.endpoints:
        return EndpointCheck()
    expected = [endpoint.about(tag) if tag else endpoint for endpoint in service.endpoints]
    answers = repeat_until(
        lambda: client.probe_all(address, expected, authority=environment.site_ca),
        lambda answers: all(answer.healthy for answer in answers),
        _PAUSES_S,
        sleep,
    )
    unreached = reachability.unreached(platform.cloud, address, answers)
    if unreached:
        silent = reachability.without_connection(answers)
        answers = tuple(answer for answer in answers if answer not in silent)
    if all(answer.healthy for answer in answers):
        return EndpointCheck(answers, unreached=unreached)
    ours = health_endpoints.broken_by_us(before, answers)
    if not ours:
        return EndpointCheck(answers, unreached=unreached)
    count = f"{format_count(len(ours), 'endpoint')} healthy before, unhealthy now"
    summary = health_endpoints.with_pages(count, ours, address)
    broken = health_endpoints.finding(ours, "endpoint_unhealthy", summary, name)
    return EndpointCheck(answers, broken, unreached)


def unreached_finding(reason: Unknown, name: str) -> Finding:
    """The finding for endpoints that this machine does not reach: they are not known to be down."""
    return Finding(
        "unproven",
        f"the endpoints of {name} were not checked: {reason.why}",
        "certain",
        (Evidence("GET", reason.why),),
        ("inv health.all from a network that reaches them",),
    )


def verify_edge(
    platform: Platform, name: str, sleep: Callable[[float], None] = time.sleep
) -> tuple[dict[str, EdgeProof], Finding | None]:
    """Compare the edge with the origin for each page that names no version, by path.

    `verify_endpoints` has proved the others by their text. The finding names stale pages; what is
    unknown is only reported.
    """
    environment, service = platform.settings.environment, platform.settings.service(name)
    silent = {
        page.path: page
        for page in service.endpoints
        if page.is_page and "{tag}" not in (page.text or "")
    }
    if not (service.invalidate and environment.site and silent):
        return {}, None
    site = edge.read_site(platform)

    def read() -> dict[str, EdgeProof]:
        found = gather(**{path: partial(edge.prove_page, site, silent[path]) for path in silent})
        return {path: edge_proof.of_page(proof) for path, proof in found.items()}

    proofs = repeat_until(
        read,
        lambda found: all(proof.state != edge_proof.STALE for proof in found.values()),
        _PAUSES_S,
        sleep,
    )
    stale = {path: proof for path, proof in proofs.items() if proof.state == edge_proof.STALE}
    return proofs, stale_finding(stale) if stale else None


def stale_finding(stale: Mapping[str, EdgeProof]) -> Finding:
    """The finding for pages whose copy at the edge is not the origin's, after the invalidation."""
    summary = f"the CDN serves {', '.join(stale)} from before the deploy"
    evidence = tuple(Evidence(f"GET {path}", proof.why) for path, proof in stale.items())
    fix = f"inv cdn.invalidate --paths {shlex.quote(','.join(stale))}"
    return Finding("stale_cache", summary, "certain", evidence, (fix, "inv cdn.check"))


def still_unhealthy(
    answers: tuple[Answer, ...], before: health_endpoints.Answers, name: str, address: str
) -> Finding | None:
    """The finding for endpoints that were unhealthy before and still are."""
    unhealthy = [answer for answer in answers if not answer.healthy]
    if not unhealthy or isinstance(before, Unknown):
        return None
    count = f"{format_count(len(unhealthy), 'endpoint')} unhealthy, before and after"
    summary = health_endpoints.with_pages(count, unhealthy, address)
    return health_endpoints.finding(unhealthy, "unhealthy_before", summary, name)
