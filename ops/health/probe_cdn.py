"""Probes of the CloudFront distribution and of the pages it caches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from ops.aws.facts import ServiceState, TaskDefinition
from ops.cdn import cloudfront, edge
from ops.cdn import invalidate as cdn_flow
from ops.cdn.rules import edge_proof
from ops.cdn.rules.distribution import RunningSince, cached_before
from ops.core.findings import Unknown
from ops.core.parallel import Reads, try_call
from ops.health.inputs import SweepInputs
from ops.health.model import Check, CheckKey
from ops.health.probe_runner import Probe, health_group
from ops.health.rules import edge as rules

if TYPE_CHECKING:
    from ops.core.config.settings import Endpoint


@health_group(
    "cdn",
    when_empty="neither cdn: nor a service with invalidate: is configured",
    needs=("cdn", "site"),
)
def probes(inputs: SweepInputs) -> Iterator[Probe]:
    """Yield the probes; none if neither `cdn:` nor `invalidate:` is configured."""
    configured = inputs.environment.cdn
    cached = [name for name in inputs.names if inputs.environment.services[name].invalidate]
    if not (cached or configured.alias or configured.comment or configured.distribution):
        return
    yield Probe(
        (CheckKey("cdn", "distribution"), CheckKey("cdn", "invalidations")),
        partial(_distribution, inputs),
    )
    if not inputs.environment.site:
        return
    for name in cached:
        if inputs.environment.is_stopped(name):
            continue
        for endpoint in filter(_is_page, inputs.environment.services[name].endpoints):
            yield Probe(
                (CheckKey("cdn", "cached page", endpoint.path),),
                partial(_cached_page, inputs, name, endpoint),
                service=name,
            )


def _is_page(endpoint: Endpoint) -> bool:
    return endpoint.is_page


def _distribution(inputs: SweepInputs) -> Iterable[Check]:
    cloud = inputs.platform.cloud
    found = cdn_flow.find(inputs.platform)
    if not found.status:  # only its configured id is known so far
        found = cloudfront.distribution(cloud, found.id)
    under_way = cloudfront.open_invalidations(cloud, found.id)
    return [
        rules.distribution(found, inputs.environment.cdn.origin),
        rules.invalidations(under_way),
    ]


def _cached_page(inputs: SweepInputs, service: str, endpoint: Endpoint) -> Iterable[Check]:
    """Read the page's cache headers; compare a copy that may be older than the release."""
    environment, path = inputs.environment, endpoint.path
    with Reads() as reads:
        answer = reads.submit(
            cloudfront.probe_cache,
            environment.site or "",
            path,
            inputs.context.timeout_s,
            environment.site_ca,
        )
        state = reads.submit(inputs.state, service)
    key = CheckKey("cdn", "cached page", path)
    if isinstance(answer.value, Unknown):
        return [Check.unread(key, answer.value, service=service)]
    if isinstance(state.value, Unknown):
        return [Check.unread(key, state.value, service=service)]
    now, since = datetime.now(UTC), RunningSince(deployed=_deployed_at(state.value))
    if cached_before(answer.value, since, now) is False:
        return [rules.cache(path, service, answer.value, since, now)]
    revision = try_call(partial(inputs.running_revision, service))
    if isinstance(revision, TaskDefinition):
        since = replace(since, registered=revision.registered_at)
    site = edge.read_site(inputs.platform, inputs.context.timeout_s)
    rolling_out = state.value is not None and state.value.is_rolling_out
    proof = edge_proof.compare(edge.read_copies(site, endpoint, rolling_out=rolling_out))
    return [rules.cache(path, service, answer.value, since, now, proof)]


def _deployed_at(state: ServiceState | None) -> datetime | None:
    """Return when the newest completed deployment began."""
    if state is None:
        return None
    done = [each for each in state.deployments if each.rollout_state in ("COMPLETED", None)]
    return next(
        (each.created_at for each in done), state.primary.created_at if state.primary else None
    )
