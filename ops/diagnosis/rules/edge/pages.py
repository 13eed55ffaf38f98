"""Answers of pages as the rules see them: status, headers, and who sent them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ops.core.findings import Evidence
from ops.diagnosis.facts import Incident, evidence

GATEWAY_ERRORS = (502, 503, 504)
_SOURCE = {"cdn": "through the CDN", "alb": "at the load balancer"}


@dataclass(frozen=True)
class PageAnswer:
    """The headers of one page at one layer (`cdn`, `alb`).

    `again`: the headers of a second request, of a page that the CDN may cache.
    """

    layer: str
    service: str
    path: str
    url: str
    status: int
    took_s: float
    headers: Mapping[str, str] = field(default_factory=dict)
    again: tuple[Mapping[str, str], ...] = ()
    problem: str = ""
    cause: str = ""

    @property
    def from_balancer(self) -> bool:
        """Whether the load balancer made the answer, not a target."""
        return self.headers.get("server", "").startswith("awselb/")

    @property
    def from_cloudfront(self) -> bool:
        """Whether CloudFront made the answer, not the origin."""
        return self.headers.get("server") == "CloudFront"

    @property
    def location(self) -> str:
        return self.headers.get("location", "") if 300 <= self.status < 400 else ""

    def evidence(self, *names: str) -> Evidence:
        """The status, and these headers, verbatim."""
        texts = [f"{name}: {self.headers[name]}" for name in names if name in self.headers]
        what = f"{self.status}" if self.status else self.problem
        return evidence(
            f"GET {self.url} {_SOURCE.get(self.layer, '')}".strip(), "; ".join((what, *texts))
        )


def pages(incident: Incident, layer: str = "", service: str | None = None) -> Iterator[PageAnswer]:
    """The answers at a layer, of a service, or all; none if they are unknown."""
    for each in incident.content("pages") or ():
        if layer in ("", each["layer"]) and service in (None, each["service"]):
            yield _answer(each)


def _answer(document: Mapping[str, Any]) -> PageAnswer:
    return PageAnswer(
        document["layer"],
        document["service"],
        document["path"],
        document.get("url", document["path"]),
        document["status"],
        document.get("took_s", 0.0),
        document.get("headers") or {},
        tuple(document.get("again") or ()),
        document.get("problem", ""),
        document.get("cause", ""),
    )


def failing_paths(incident: Incident, service: str) -> frozenset[str]:
    """Paths of the service whose page check fails at any layer."""
    return frozenset(
        check.subject
        for check in incident.failed_checks("endpoints")
        if check.kind == "page" and check.service == service
    )
