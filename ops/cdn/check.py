"""`inv cdn.check`: prove that the edge serves what the origin serves, page by page."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from ops.aws import ecs
from ops.aws.facts import ServiceState, TaskDefinition, image_tag
from ops.cdn import cloudfront, edge
from ops.cdn.facts import CacheAnswer, EdgeProof
from ops.cdn.rules import distribution as rules
from ops.cdn.rules import edge_proof
from ops.core.errors import Refused
from ops.core.findings import Unknown
from ops.core.parallel import gather, try_call
from ops.core.text import format_duration

if TYPE_CHECKING:
    from ops.core.config.settings import Endpoint, Settings
    from ops.platform import Platform


@dataclass(frozen=True)
class CachedPage:
    """The cached copy of one configured endpoint, and the proof that it is fresh or stale.

    `before`: cached before `service` ran its present content; None if that is unknown, as for a
    page cached before a restart.
    """

    service: str
    path: str
    answer: CacheAnswer | Unknown
    before: bool | None
    proof: EdgeProof

    @property
    def ok(self) -> bool:
        return self.proof.state == edge_proof.FRESH

    def as_document(self) -> dict[str, Any]:
        found = (
            vars(self.answer)
            if isinstance(self.answer, CacheAnswer)
            else {"path": self.path, "problem": self.answer.why}
        )
        return {
            "service": self.service,
            **found,
            "cached_before_deployment": self.before,
            **self.proof.as_document(),
        }

    def as_text(self) -> str:
        """The page's cache headers and verdict; below them, what decided it."""
        if isinstance(self.answer, Unknown):
            return f"{self.path:<24} unknown: {self.answer.why}"
        age = f"age {format_duration(self.answer.age_s)}" if self.answer.age_s is not None else ""
        state = self.proof.state
        headers = (
            f"{self.path:<24} {self.answer.status}  {self.answer.cache:<5} {age:<14} "
            f"{self.answer.pop:<10} {state.upper() if state == edge_proof.STALE else state}"
        )
        if self.proof.method == "miss":
            return headers
        old = f"; cached before {self.service} was deployed" if self.before else ""
        return f"{headers}\n  {self.proof.why}{old}"


@dataclass(frozen=True)
class CacheCheck:
    """The cached pages of all configured endpoints."""

    environment: str
    site: str
    origin: str | Unknown
    pages: tuple[CachedPage, ...]

    @property
    def ok(self) -> bool:
        return all(page.ok for page in self.pages)

    @property
    def exit_code(self) -> int:
        return 0 if self.ok else 1

    @property
    def document(self) -> dict[str, Any]:
        """The document of `cdn.check --json`."""
        pages = [page.as_document() for page in self.pages]
        return {
            "environment": self.environment,
            "site": self.site,
            "origin": None if isinstance(self.origin, Unknown) else self.origin,
            "healthy": self.ok,
            "pages": pages,
        }

    @property
    def text(self) -> str:
        lines = [page.as_text() for page in self.pages]
        old = [page for page in self.pages if page.proof.state == edge_proof.STALE or page.before]
        paths = dict.fromkeys(page.path for page in old if not page.ok)
        if paths:
            lines.append(f"next: inv cdn.invalidate --paths {shlex.quote(','.join(paths))}")
        return "\n".join(lines)


@dataclass(frozen=True)
class _Running:
    """What ECS runs of a service: since when, which version, and whether a rollout is going on."""

    since: rules.RunningSince = field(default_factory=rules.RunningSince)
    released: str | None = None
    rolling_out: bool = False


def check_cache(platform: Platform) -> CacheCheck:
    """Read the cache headers of every configured endpoint, and compare cached pages.

    Raises ConfigError with `cdn: none`, Refused if no site or endpoint is configured.
    """
    settings = platform.settings
    settings.refuse_none("cdn", "CDN")
    pages = list(endpoints(settings))
    if not settings.environment.site or not pages:
        raise Refused(
            "cdn.check",
            "the environment has no `site`, or no service has `endpoints`",
            "name them in invoke.yaml",
        )
    site = edge.read_site(platform)
    names = dict.fromkeys(name for name, _ in pages)
    running = gather(**{name: partial(_running, platform, name) for name in names})
    found = gather(
        **{
            f"{name} {endpoint.path}": partial(_check_page, site, name, endpoint, running[name])
            for name, endpoint in pages
        }
    )
    checked = (
        page if isinstance(page, CachedPage) else _unread(name, endpoint.path, page)
        for (name, endpoint), page in zip(pages, found.values(), strict=True)
    )
    return CacheCheck(settings.name, site.edge, site.origin, tuple(checked))


def endpoints(settings: Settings) -> Iterator[tuple[str, Endpoint]]:
    """Every service's name with each of its endpoints; each pair of name and path once."""
    for name, service in sorted(settings.environment.services.items()):
        by_path = {endpoint.path: endpoint for endpoint in service.endpoints if endpoint.is_page}
        yield from ((name, endpoint) for endpoint in by_path.values())


def _running(platform: Platform, name: str) -> _Running:
    service = platform.settings.service(name)
    cluster = platform.settings.environment.cluster
    state = ecs.service(platform.cloud, cluster, service.ecs_service)
    primary = state.primary if isinstance(state, ServiceState) else None
    if state is None or primary is None:
        return _Running()
    found = try_call(lambda: ecs.task_definition(platform.cloud, primary.task_definition))
    revision = found if isinstance(found, TaskDefinition) else None
    container = revision.container(service.container) if revision else None
    released = image_tag(str(container.get("image", ""))) or None if container else None
    since = rules.RunningSince(revision.registered_at if revision else None, primary.created_at)
    return _Running(since, released, state.is_rolling_out)


def _check_page(
    site: edge.Site, name: str, endpoint: Endpoint, running: _Running | Unknown
) -> CachedPage:
    """One page: its cache headers; if it is cached, also the edge's and the origin's copies."""
    answer = cloudfront.probe_cache(site.edge, endpoint.path, site.timeout_s, site.authority)
    if isinstance(running, Unknown):
        running = _Running()
    before = rules.cached_before(answer, running.since, datetime.now(UTC))
    proof = edge_proof.missed(answer) or edge_proof.prove(
        answer,
        edge.read_copies(
            site, endpoint, rolling_out=running.rolling_out, released=running.released
        ),
        before,
    )
    return CachedPage(name, endpoint.path, answer, before, proof)


def _unread(name: str, path: str, why: Unknown) -> CachedPage:
    return CachedPage(name, path, why, None, edge_proof.of_page(why))
