"""Causes in the CDN's cache: copies from before a release, and copies that must not exist."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime

from ops.aws.facts import ServiceState
from ops.core.findings import Evidence, Finding
from ops.diagnosis.facts import CheckFact, Incident, ServiceFact, evidence, parse_time
from ops.diagnosis.model import Candidate
from ops.diagnosis.rules.causes import cause
from ops.diagnosis.rules.edge.origin import behaviour
from ops.diagnosis.rules.edge.pages import PageAnswer, pages

_FORBIDS = re.compile(r"\b(?:no-store|private)\b", re.I)
_ALLOWS = re.compile(r"\bpublic\b|\bs-maxage\s*=\s*[1-9]|\bmax-age\s*=\s*[1-9]", re.I)


@cause(
    "release_not_invalidated",
    layer="cdn",
    symptoms="The CDN serves a page of an earlier release; no invalidation followed the newest.",
    cure="inv cdn.invalidate; let deploys do it: invalidate of the service in invoke.yaml.",
    explains=("stale_cache", "cache_not_invalidated", "wrong_body"),
)
def release_not_invalidated(incident: Incident) -> Iterator[Candidate]:
    """The cache was not invalidated after the newest release."""
    invalidations = incident.content("cdn/invalidations")
    if invalidations is None:
        return
    newest = max(
        filter(None, (parse_time(each.get("CreateTime")) for each in invalidations)), default=None
    )
    for service in incident.services:
        stale = [each for each in _stale(incident) if each.service == service.name]
        since = _released(incident, service)
        if not stale or since is None or (newest is not None and newest >= since):
            continue
        last = f"the newest invalidation is of {newest:%Y-%m-%d %H:%M:%S}" if newest else "none"
        paths = " ".join(f"--paths '{path}'" for path in sorted({each.subject for each in stale}))
        finding = Finding(
            "release_not_invalidated",
            f"{service.name}: the CDN serves pages of an earlier release, and nothing was "
            f"invalidated since the newest one ({since:%Y-%m-%d %H:%M:%S} UTC)",
            "certain",
            (
                evidence("ListInvalidations", last),
                *(item for each in stale if each.finding for item in each.finding.evidence),
            ),
            (f"inv cdn.invalidate {paths}",),
        )
        because = "the cached copy differs from the origin's page, and is older than the release"
        yield Candidate(finding, service.name, because)


def _stale(incident: Incident) -> Iterator[CheckFact]:
    for check in incident.failed_checks("cdn"):
        if check.finding and check.finding.cause == "stale_cache":
            yield check


def _released(incident: Incident, service: ServiceFact) -> datetime | None:
    """When the newest release or deployment of the service began; None if unknown."""
    records = (incident.content("releases") or {}).get(service.name) or ()
    times = [
        parse_time(each.get("at"))
        for each in records
        if each.get("verdict") == "succeeded" and each.get("kind") != "restart"
    ]
    if not any(times) and isinstance(service.state, ServiceState) and service.state.primary:
        times = [service.state.primary.created_at]
    return max(filter(None, times), default=None)


@cause(
    "cached_uncacheable",
    layer="cdn",
    symptoms="An API path, or an answer with cookies or no-store, is a Hit from cloudfront.",
    cure="Give the path a cache behaviour with CachingDisabled, then: inv cdn.invalidate",
    explains=("wrong_body", "wrong_content_type", "stale_cache", "page_failing"),
)
def cached_uncacheable(incident: Incident) -> Iterator[Candidate]:
    """The CDN caches answers that belong to one viewer, or that change."""
    for service in incident.services:
        invalidated = incident.subject["services"][service.name].get("invalidate")
        wrong = [
            (page, why)
            for page in pages(incident, "cdn", service.name)
            if (why := _forbidden(page, never_invalidated=invalidated == []))
        ]
        if not wrong:
            continue
        certain = any(sure for _, (_, sure) in wrong)
        paths = sorted({page.path for page, _ in wrong})
        finding = Finding(
            "cached_uncacheable",
            f"{service.name}: the CDN caches {', '.join(paths)}, which {wrong[0][1][0]}",
            "certain" if certain else "likely",
            (*(_proof(page) for page, _ in wrong), *_behaviours(incident, paths)),
            (
                "inv cdn.invalidate " + " ".join(f"--paths '{path}'" for path in paths),
                "inv tf.drift",
            ),
        )
        because = "the copy came from the cache: Hit from cloudfront"
        yield Candidate(finding, service.name, because)


def _forbidden(page: PageAnswer, *, never_invalidated: bool) -> tuple[str, bool] | None:
    """Why a cached copy must not exist, and whether that is certain; None if it may."""
    headers = _hit(page)
    if headers is None:
        return None
    control = headers.get("cache-control", "")
    if _FORBIDS.search(control):
        return f"forbids caching ({control})", True
    if "set-cookie" in headers and not _ALLOWS.search(control):
        return f"sets cookies ({headers['set-cookie']})", False
    is_json = headers.get("content-type", "").startswith("application/json")
    if never_invalidated and is_json and not _ALLOWS.search(control):
        return "is never invalidated (invalidate is empty in invoke.yaml)", False
    return None


def _hit(page: PageAnswer) -> Mapping[str, str] | None:
    """The headers of the answer that came from the cache; None without one."""
    for headers in (*page.again, page.headers):
        if headers.get("x-cache", "").startswith(("Hit", "RefreshHit")):
            return headers
    return None


def _proof(page: PageAnswer) -> Evidence:
    headers = _hit(page) or {}
    names = ("x-cache", "age", "cache-control", "set-cookie")
    texts = [f"{name}: {headers[name]}" for name in names if name in headers]
    return evidence(f"GET {page.url}", "; ".join(texts))


def _behaviours(incident: Incident, paths: list[str]) -> Iterator[Evidence]:
    found = incident.content("cdn/distribution") or {}
    config = found.get("DistributionConfig") or {}
    for path in paths if config else ():
        chosen = behaviour(config, path)
        pattern = chosen.get("PathPattern", "Default (*)")
        policy = chosen.get("CachePolicyId") or f"MinTTL {chosen.get('MinTTL')}"
        yield evidence(f"GetDistribution {found['Id']} behaviour {pattern}", f"{policy} for {path}")
