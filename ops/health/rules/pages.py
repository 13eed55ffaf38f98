"""Checks of pages and API paths, by layer (runbook 5, "Frontend", "Backend")."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import median

from ops.core.findings import Evidence, Finding, Unknown
from ops.core.text import format_count, format_latency
from ops.health.model import Check, CheckKey
from ops.health.rules.endpoints import endpoint_finding
from ops.http.facts import Answer

_SUMMARIES: Mapping[str, str] = {
    "page_failing": "answers with a server error",
    "wrong_status": "answers with an unexpected status",
    "wrong_content_type": "has an unexpected content type: clients cannot use it",
    "wrong_body": "does not have the expected content",
    "page_slow": "takes longer than allowed",
    "page_hangs": "does not answer completely in time",
    "redirect_loop": "is redirected in a loop: the load balancer redirects to https what the CDN "
    "requests by http (or another rule leads back)",
    "redirected_away": "is redirected to another host by the load balancer",
    "name_unresolved": "has a host name that no DNS server knows",
    "connection_refused": "refuses connections",
    "tls_failed": "has a TLS handshake that fails",
    "certificate_expired": "has a certificate that has expired",
    "certificate_not_yet_valid": "has a certificate that is not valid yet",
    "certificate_wrong_host": "has a certificate for another host name",
    "certificate_untrusted": "has a certificate of an unknown authority",
    "no_answer": "gives no answer",
}
_FIXES: Mapping[str, tuple[str, ...]] = {
    "name_unresolved": ("correct site or alb in invoke.yaml, or the name's record in DNS",),
    "redirected_away": (
        "inv tf.drift",
        "correct site in invoke.yaml if that is the site's other name",
    ),
    "redirect_loop": (
        "inv cdn.status",
        "set the distribution's origin protocol to https-only, or let the load balancer use http",
    ),
    "wrong_content_type": (
        "inv cdn.invalidate",
        "check the cache behaviour's key: it must distinguish this path from pages",
    ),
}


@dataclass(frozen=True)
class PageResult:
    """An endpoint's answer at one layer.

    `layer`: `cdn` (the site) or `alb` (the load balancer itself). `service`: its service, or an
    empty string.
    """

    service: str
    layer: str
    answer: Answer


def check_key(path: str, layer: str) -> CheckKey:
    return CheckKey("endpoints", "page", path, layer)


def checks(pages: Iterable[PageResult], slow_s: float, late_s: float = 0.0) -> tuple[Check, ...]:
    """Return a check for each page, and one for their response times.

    `late_s`: scheduling delay of this machine during the requests.
    """
    pages = tuple(pages)
    found = [page_check(page, slow_s) for page in pages]
    layer = (
        "cdn" if any(page.layer == "cdn" for page in pages) else "alb"
    )  # always the same layer, so that times are comparable
    times = [page.answer.took_s for page in pages if page.layer == layer and page.answer.status]
    if times:
        middle = median(times)
        detail = (
            f"p50 {format_latency(middle)}, slowest {format_latency(max(times))} of "
            f"{format_count(len(times), 'page')}"
        )
        found.append(
            Check(
                CheckKey("endpoints", "time"), "ok", detail, numbers={"p50": middle, "late": late_s}
            )
        )
    return tuple(found)


def page_check(page: PageResult, slow_s: float) -> Check:
    answer, key = page.answer, check_key(page.answer.path, page.layer)
    problem, cause = answer.problem, answer.cause
    if not problem and answer.took_s > slow_s:
        problem, cause = (
            f"{format_latency(answer.took_s)}, expected at most {format_latency(slow_s)}",
            "page_slow",
        )
    if cause == "not_asked":
        return Check(key, "unknown", problem, "", answer.took_s, page.service)
    if not problem:
        detail = f"{answer.status} in {format_latency(answer.took_s)}"
        return Check(key, "ok", detail, str(answer.status), answer.took_s, page.service)
    status = str(answer.status or "no answer")
    shown = problem if answer.unexpected_status else f"{status} ({problem})"
    value = f"{answer.status or 'no answer'} {cause}"
    evidence = (Evidence(key.name, endpoint_finding(answer) if answer.problem else shown),)
    fix = _FIXES.get(
        cause, (f"inv {page.service}.status",) if page.service else ("inv health.targets",)
    )
    summary = f"{answer.path} {_SUMMARIES.get(cause, _SUMMARIES['no_answer'])} ({problem})"
    finding = Finding(cause or "no_answer", summary, "certain", evidence, fix)
    return Check(key, "failed", shown, value, answer.took_s, page.service, finding)


def unknown_page(path: str, layer: str, service: str, what: Unknown) -> Check:
    return Check.unread(check_key(path, layer), what, service=service)
