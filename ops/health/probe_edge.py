"""The probes of what a visitor meets: pages by both ways, the CDN, the certificates; and of the
logs and Terraform's lock.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from ops.aws import logs
from ops.aws.facts import ServiceState
from ops.cdn import cloudfront
from ops.cdn import invalidate as cdn_flow
from ops.core import ui
from ops.core.errors import ConfigError, OpsError
from ops.core.findings import Finding, Unknown
from ops.core.parallel import SchedulingDelay, gather, with_timeout
from ops.health.inputs import SweepInputs
from ops.health.model import Check
from ops.health.probe_runner import Probe
from ops.health.rules import edge as health_edge
from ops.health.rules import logs as health_logs
from ops.health.rules import pages as health_pages
from ops.http import client, tls
from ops.terraform import unlock

WITHIN = 0.9  # of the deadline, for all pages: what was not asked by then can still be named
AGAIN_S = 0.25  # a page that takes longer is asked twice
RECORDS_S = 5.0  # longest wait for the release records, once the pages have answered
CLOCKS_S = 60.0  # by which a task's clock, or this machine's, may be wrong
LONGEST_S = (
    86_400.0  # logs are not read further back: CloudWatch scans, and takes its price for, all of it
)


def endpoint_probes(looks: SweepInputs) -> Iterator[Probe]:
    names = tuple(
        health_pages.named(endpoint.path, layer)
        for layer in layers(looks)
        for _, endpoint in looks.environment.pages()
    )
    if names:
        yield Probe("endpoints", "endpoints", partial(endpoints, looks), names, lane="pages")


def layers(looks: SweepInputs) -> dict[str, str]:
    """Layer → address: through the CDN, and at the load balancer itself where it is configured."""
    known = {"cdn": looks.environment.site, "alb": looks.environment.alb}
    return {layer: address for layer, address in known.items() if address}


def endpoints(looks: SweepInputs) -> Iterable[Check]:
    """Every page by every way at once; meanwhile the records say which release they should show."""
    environment, pages = looks.environment, looks.environment.pages()
    host = urlsplit(environment.site or "").netloc or None
    ask = partial(
        client.fetch_all,
        endpoints=[endpoint for _, endpoint in pages],
        timeout=looks.asked.timeout_s,
        within=WITHIN * looks.asked.deadline_s,
        again=AGAIN_S,
        authority=environment.site_ca,
    )
    asks = {
        layer: partial(ask, address, host=host if layer == "alb" else None)
        for layer, address in layers(looks).items()
    }
    with SchedulingDelay() as own:
        found = gather(
            tags=lambda: with_timeout(partial(released_tags, looks), RECORDS_S, "release records"),
            **asks,
        )
    tags: Any = found.pop("tags")
    known = (
        {} if isinstance(tags, Unknown) else tags
    )  # then any release's page will do: its own check says what is not known
    checks: list[Check] = []
    seen: list[health_pages.PageResult] = []
    for layer, asked in found.items():
        if isinstance(asked, Unknown):
            checks += [
                health_pages.unknown_page(endpoint.path, layer, service, asked)
                for service, endpoint in pages
            ]
            continue
        told: Any = asked
        for (service, endpoint), one in zip(pages, told, strict=True):
            expected = endpoint.about(known[service]) if service in known else endpoint
            seen.append(health_pages.PageResult(service, layer, one.to_answer(expected)))
    return [*checks, *health_pages.checks(seen, environment.health.slow, own.late)]


def released_tags(looks: SweepInputs) -> dict[str, str]:
    """Service → the tag of its last release, where a page of it should show that."""
    names = {
        service
        for service, endpoint in looks.environment.pages()
        if service and "{tag}" in (endpoint.text or "")
    }
    releases: dict[str, Any] = gather(**{name: partial(looks.release, name) for name in names})
    return {
        name: str(each["tag"])
        for name, each in releases.items()
        if each and not isinstance(each, Unknown) and each.get("tag")
    }


def cdn_probes(looks: SweepInputs) -> Iterator[Probe]:
    """Nothing where nothing says that there is a distribution: neither `cdn:` nor a service's
    `invalidate`.
    """
    configured = looks.environment.cdn
    cached = [name for name in looks.names if looks.environment.services[name].invalidate]
    if not (cached or configured.alias or configured.comment or configured.distribution):
        return
    yield Probe(
        "cdn", "distribution", partial(distribution, looks), ("distribution", "invalidations")
    )
    if not looks.environment.site:
        return
    for name in cached:
        for endpoint in looks.environment.services[name].endpoints:
            yield Probe(
                "cdn",
                f"cache {endpoint.path}",
                partial(cached_page, looks, name, endpoint.path),
                service=name,
            )


def distribution(looks: SweepInputs) -> Iterable[Check]:
    cloud = looks.platform.cloud
    found = cdn_flow.find(looks.platform)
    if not found.status:  # its id is configured: nothing was asked yet
        found = cloudfront.distribution(cloud, found.id)
    under_way = cloudfront.open_invalidations(cloud, found.id)
    return [
        health_edge.distribution(found, looks.environment.cdn.origin),
        health_edge.invalidations(under_way),
    ]


def cached_page(looks: SweepInputs, service: str, path: str) -> Iterable[Check]:
    environment = looks.environment
    seen = gather(
        answer=partial(
            cloudfront.probe_cache,
            environment.site or "",
            path,
            looks.asked.timeout_s,
            environment.site_ca,
        ),
        state=partial(looks.state, service),
    )
    answer, state = seen["answer"], seen["state"]
    for fact in (answer, state):
        if isinstance(fact, Unknown):
            return [Check("cdn", f"cache {path}", "unknown", fact.why, service=service)]
    deployed_at = running_since(state) if isinstance(state, ServiceState) else None
    return [health_edge.cache(path, service, answer, deployed_at, datetime.now(UTC))]  # type: ignore[arg-type]


def running_since(state: ServiceState) -> datetime | None:
    """When the deployment began that answers now: the newest that is done, since one under way may
    never be.
    """
    done = [each for each in state.deployments if each.rollout_state in ("COMPLETED", None)]
    return next(
        (each.created_at for each in done), state.primary.created_at if state.primary else None
    )


def certificate_probes(looks: SweepInputs) -> Iterator[Probe]:
    """Every https address of the environment: the site's, its TLS twin, and the load balancer's,
    asked for by the site's name.
    """
    environment = looks.environment
    for address in dict.fromkeys((environment.site, environment.site_tls, environment.alb)):
        if address and urlsplit(address).scheme == "https":
            balancer = address == environment.alb
            label = "alb" if balancer else urlsplit(address).hostname or ""
            name = urlsplit(environment.site or "").hostname if balancer else None
            names = (f"{label} handshake", f"{label} certificate")
            yield Probe(
                "certificates",
                names[0],
                partial(certificates, looks, address, label, name),
                names,
                lane="pages",
            )


def certificates(looks: SweepInputs, address: str, label: str, name: str | None) -> Iterable[Check]:
    """`label`: how its checks are called; `name`: which server is asked for there (None: its
    own).
    """
    health, now = looks.environment.health, datetime.now(UTC)
    chain = tls.chain(address, looks.asked.timeout_s, looks.environment.site_ca, name)
    dates = [
        health_edge.dates(
            label, position, each.subject, each.begins, each.ends, now, health.certificate_days
        )
        for position, each in enumerate(chain.certificates)
    ]
    return [health_edge.handshake(label, chain.problem, chain.cause), *dates]


def log_probes(looks: SweepInputs) -> Iterator[Probe]:
    for name in looks.names:
        yield Probe("logs", f"{name} log", partial(log, looks, name), service=name)


def log(looks: SweepInputs, name: str) -> Iterable[Check]:
    """Errors and warnings since the last release, or for as long as was asked; errors of the last
    while are a failure.
    """
    group = looks.environment.services[name].log_group
    if group is None:
        definition = looks.latest(name)
        container = (
            definition.container(looks.environment.services[name].container) if definition else None
        )
        group = (((container or {}).get("logConfiguration") or {}).get("options") or {}).get(
            "awslogs-group"
        )
    if not group:
        raise ConfigError(
            f"log group of {name}",
            "neither invoke.yaml nor its task definition names one",
            "set log_group in invoke.yaml",
        )
    health, asked, now = looks.environment.health, looks.asked, time.time()
    begins, span = log_window(looks, name, now)
    judged = asked.from_s or (
        now - asked.since_s if asked.since_s else max(begins, now - health.recent)
    )
    read = partial(logs.events_between, looks.platform.cloud, group, pattern=health_logs.FILTER)
    edge, end = int(judged * 1000), int((now + CLOCKS_S) * 1000)
    said, judged_whole = read(
        edge, end
    )  # by itself: a flood of old lines must not stand before what counts
    older, whole = read(int(begins * 1000), edge) if begins < judged else ((), True)
    if said or older:
        with suppress(OpsError):
            looks.learn_secrets(name)
    found = health_logs.patterns(
        (health_logs.LogLine(each.at / 1000, each.message) for each in (*older, *said)), judged
    )
    known = asked.known.get(f"logs · {name} log") if asked.known else None
    return [
        health_logs.check(
            name, found, known, max(now - judged, 1.0) / 60, whole, span, judged_whole
        )
    ]


def log_window(looks: SweepInputs, name: str, now: float) -> tuple[float, str]:
    """From when on the log is read (seconds since 1970), and how that is called."""
    health, asked = looks.environment.health, looks.asked
    if asked.since_s is not None:
        return now - asked.since_s, f"in the last {ui.span(asked.since_s)}"
    release = looks.release(name)
    if release is None:
        return now - health.since, f"in the last {ui.span(health.since)}"
    at = datetime.fromisoformat(str(release["at"])).timestamp()
    if now - at > LONGEST_S:
        return (
            now - LONGEST_S,
            f"in the last day (the last release, {release.get('tag')}, is older)",
        )
    return at, f"since the last release, {release.get('tag')}"


def terraform_probes(looks: SweepInputs) -> Iterator[Probe]:
    if looks.environment.terraform is not None:
        yield Probe("terraform", "state lock", partial(state_lock, looks))


def state_lock(looks: SweepInputs) -> Iterable[Check]:
    """Whether somebody holds the state, read where the backend keeps its lock: no Terraform is
    needed for that.
    """
    held = unlock.of_environment(looks.platform)
    if not held:
        return [Check("terraform", "state lock", "ok", "nobody holds the state", "free")]
    told = "; ".join(f"{lock.path}: {lock.describe()}" for lock in held)
    fix = ("inv tf.locks", f"inv tf.unlock --id {held[0].id}")
    found = Finding("state_locked", f"the Terraform state is locked: {told}", "certain", fix=fix)
    return [
        Check(
            "terraform", "state lock", "failed", f"{told}, expected nobody", "held", finding=found
        )
    ]
