"""Probes of the CloudFront distribution and of the pages it caches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from functools import partial

from ops.aws.facts import ServiceState
from ops.cdn import cloudfront
from ops.cdn import invalidate as cdn_flow
from ops.core.findings import Unknown
from ops.core.parallel import gather
from ops.health.inputs import SweepInputs
from ops.health.model import Check
from ops.health.probe_runner import Probe, health_group
from ops.health.rules import edge as rules


@health_group("cdn", when_empty="neither cdn: nor a service with invalidate: is configured")
def probes(inputs: SweepInputs) -> Iterator[Probe]:
    """Yield the probes; none if neither `cdn:` nor `invalidate:` is configured."""
    configured = inputs.environment.cdn
    cached = [name for name in inputs.names if inputs.environment.services[name].invalidate]
    if not (cached or configured.alias or configured.comment or configured.distribution):
        return
    yield Probe(
        "cdn", "distribution", partial(_distribution, inputs), ("distribution", "invalidations")
    )
    if not inputs.environment.site:
        return
    for name in cached:
        for endpoint in inputs.environment.services[name].endpoints:
            yield Probe(
                "cdn",
                f"cache {endpoint.path}",
                partial(_cached_page, inputs, name, endpoint.path),
                service=name,
            )


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


def _cached_page(inputs: SweepInputs, service: str, path: str) -> Iterable[Check]:
    environment = inputs.environment
    read = gather(
        answer=partial(
            cloudfront.probe_cache,
            environment.site or "",
            path,
            inputs.context.timeout_s,
            environment.site_ca,
        ),
        state=partial(inputs.state, service),
    )
    answer, state = read["answer"], read["state"]
    for fact in (answer, state):
        if isinstance(fact, Unknown):
            return [Check("cdn", f"cache {path}", "unknown", fact.why, service=service)]
    deployed_at = _running_since(state) if isinstance(state, ServiceState) else None
    return [rules.cache(path, service, answer, deployed_at, datetime.now(UTC))]  # type: ignore[arg-type]


def _running_since(state: ServiceState) -> datetime | None:
    """Return when the newest completed deployment began."""
    done = [each for each in state.deployments if each.rollout_state in ("COMPLETED", None)]
    return next(
        (each.created_at for each in done), state.primary.created_at if state.primary else None
    )
