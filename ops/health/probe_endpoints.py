"""Probes of pages and API paths, through the CDN and at the load balancer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ops.aws.facts import image_tag
from ops.core.findings import Unknown
from ops.core.parallel import Reads, SchedulingDelay, gather, try_call, with_timeout
from ops.health.inputs import SweepInputs
from ops.health.model import Check
from ops.health.probe_runner import Probe, health_group
from ops.health.rules import pages as rules
from ops.health.rules.deployments import OtherDeployment
from ops.health.rules.services import STOPPED
from ops.http import client
from ops.tools import reachability

if TYPE_CHECKING:
    from ops.core.config.settings import Endpoint

_PAGES_SHARE = 0.9  # of the deadline, for all pages: a page not requested by then is still reported
_RETRY_AFTER_S = 0.25  # a slower page is requested a second time
_RECORDS_TIMEOUT_S = 5.0  # longest wait for the release records


@health_group(
    "endpoints", when_empty="no endpoints, or no site and no alb, are configured", needs=("site",)
)
def probes(inputs: SweepInputs) -> Iterator[Probe]:
    keys = tuple(
        rules.check_key(endpoint.label, layer)
        for layer in _layers(inputs)
        for _, endpoint in _expected_pages(inputs)
    )
    if keys:
        yield Probe(keys, partial(_endpoints, inputs), lane="pages")
    for name in filter(inputs.environment.is_stopped, inputs.names):
        skipped = [
            Check(rules.check_key(endpoint.label, layer), "skipped", STOPPED, service=name)
            for layer in _layers(inputs)
            for endpoint in inputs.environment.services[name].endpoints
        ]
        if skipped:
            yield Probe(tuple(each.key for each in skipped), partial(tuple, skipped), name)


def _expected_pages(inputs: SweepInputs) -> list[tuple[str, Endpoint]]:
    """The pages that should answer: not those of services that are meant to be stopped."""
    environment = inputs.environment
    return [
        (service, endpoint)
        for service, endpoint in environment.pages()
        if environment.expect == "running" and not (service and environment.is_stopped(service))
    ]


def _layers(inputs: SweepInputs) -> dict[str, str]:
    """Return layer → address: the CDN, and the load balancer if configured."""
    known = {"cdn": inputs.environment.site, "alb": inputs.environment.alb}
    return {layer: address for layer, address in known.items() if address}


def _endpoints(inputs: SweepInputs) -> Iterable[Check]:
    """Request every page through every layer; read the release records meanwhile."""
    environment, pages = inputs.environment, _expected_pages(inputs)
    host = urlsplit(environment.site or "").netloc or None
    ask = partial(
        client.fetch_all,
        endpoints=[endpoint for _, endpoint in pages],
        timeout=inputs.context.timeout_s,
        within=_PAGES_SHARE * inputs.context.deadline_s,
        again=_RETRY_AFTER_S,
        authority=environment.site_ca,
    )
    asks = {
        layer: partial(ask, address, host=host if layer == "alb" else None)
        for layer, address in _layers(inputs).items()
    }
    with SchedulingDelay() as own, Reads() as reads:
        tags = reads.submit(
            with_timeout,
            partial(_released_tags, inputs),
            _RECORDS_TIMEOUT_S,
            "release records",
        )
        asked = {layer: reads.submit(ask) for layer, ask in asks.items()}
    known = (
        {} if isinstance(tags.value, Unknown) else tags.value
    )  # any release's page is accepted then; the image check reports what is unknown
    checks: list[Check] = []
    results: list[rules.PageResult] = []
    for layer, read in asked.items():
        answers = read.value
        if isinstance(answers, Unknown):
            checks += [
                rules.unknown_page(endpoint.label, layer, service, answers)
                for service, endpoint in pages
            ]
            continue
        expected = [
            endpoint.about(known[service]) if service in known else endpoint
            for service, endpoint in pages
        ]
        checked = [one.to_answer(each) for one, each in zip(answers, expected, strict=True)]
        found = reachability.unreached(inputs.platform.cloud, _layers(inputs)[layer], checked)
        silent = reachability.without_connection(checked) if found else ()
        for (service, _), answer in zip(pages, checked, strict=True):
            if found and answer in silent:
                checks.append(rules.unknown_page(answer.path, layer, service, found))
            else:
                results.append(rules.PageResult(service, layer, answer))
    return [*checks, *rules.checks(results, environment.health.slow, own.late)]


def _released_tags(inputs: SweepInputs) -> dict[str, str]:
    """Return service → tag of the release that runs, where a page is expected to contain it."""
    names = {
        service
        for service, endpoint in _expected_pages(inputs)
        if service and "{tag}" in (endpoint.text or "")
    }
    found = gather(**{name: partial(_expected_tag, inputs, name) for name in names})
    return {name: tag for name, tag in found.items() if isinstance(tag, str) and tag}


def _expected_tag(inputs: SweepInputs, name: str) -> str:
    """The tag that the service's pages should show, or "" if any.

    That of the last release, or of a later healthy deployment that has no record.
    """
    release = inputs.release(name)
    other = try_call(partial(inputs.other_deployment, name)) if release else None
    if not isinstance(other, OtherDeployment):
        return (release.tag or "") if release else ""
    revision = inputs.running_revision(name)
    container = inputs.environment.services[name].container
    found = revision.container(container) if revision else None
    return image_tag(str(found.get("image", ""))) if found else ""
