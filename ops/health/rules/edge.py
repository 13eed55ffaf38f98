"""Checks of the CDN and of certificates (runbook 5, "CloudFront"; 7, "Stale content")."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from ops.cdn.facts import CacheAnswer, Distribution, EdgeProof, Invalidation
from ops.cdn.rules.distribution import RunningSince, cached_before
from ops.cdn.rules.edge_proof import FRESH, UNKNOWN
from ops.core.findings import Evidence, Finding
from ops.health.model import Check, CheckKey

_HANDSHAKE_SUMMARIES = {
    "certificate_expired": "the certificate has expired",
    "certificate_not_yet_valid": "the certificate is not valid yet",
    "certificate_wrong_host": "the certificate is for another host name",
    "certificate_untrusted": "the certificate comes from an authority that is not trusted",
}


def distribution(found: Distribution, protocol: str | None = None) -> Check:
    """Check that the distribution is deployed, enabled, and uses `protocol` to its origins.

    `protocol`: the expected OriginProtocolPolicy; None accepts any.
    """
    shown = (
        f"{found.id} is {found.status}, {'enabled' if found.enabled else 'DISABLED'}; "
        f"{', '.join(found.origins) or 'no origin'}"
    )
    enabled = "enabled" if found.enabled else "disabled"
    value = f"{found.status} {enabled} {' '.join(found.origins)}".strip()
    wrong = [
        each
        for each in found.origins
        if protocol and each.rsplit(" ", 1)[-1] not in (protocol, "s3")
    ]
    if wrong:
        evidence = Evidence(f"GetDistribution {found.id} Origins", "; ".join(wrong))
        other = f"CloudFront asks its origin {wrong[0]}, invoke.yaml says {protocol}"
        reason = Finding("origin_protocol", other, "certain", (evidence,), ("inv tf.drift",))
        return Check(
            CheckKey("cdn", "distribution"),
            "failed",
            f"{shown}, expected {protocol}",
            value,
            finding=reason,
        )
    if found.status == "Deployed" and found.enabled:
        return Check(CheckKey("cdn", "distribution"), "ok", shown, value)
    cause = "distribution_in_progress" if found.enabled else "distribution_disabled"
    what = Finding(
        cause,
        f"CloudFront distribution {found}: {found.status}",
        "certain",
        fix=("inv cdn.status",),
    )
    return Check(
        CheckKey("cdn", "distribution"),
        "failed",
        f"{shown}, expected Deployed and enabled",
        value,
        finding=what,
    )


def invalidations(open: Sequence[Invalidation]) -> Check:
    """List the invalidations in progress; they are not a failure."""
    shown = ", ".join(f"{each.id} of {' '.join(each.paths)}" for each in open)
    return Check(
        CheckKey("cdn", "invalidations"),
        "ok",
        f"in progress: {shown}" if open else "none in progress",
        "in progress" if open else "none",
    )


def cache(
    path: str,
    service: str,
    answer: CacheAnswer,
    since: RunningSince,
    now: datetime,
    proof: EdgeProof | None = None,
) -> Check:
    """Check that the cached copy of a page is not from before the running release.

    `proof`: the comparison with the origin's page of a copy that is or may be older; the page may
    be unchanged since. An error, an answer without `x-cache`, or such a copy that could not be
    compared gives unknown.
    """
    key, age = (
        CheckKey("cdn", "cached page", path),
        f", age {answer.age_s} s" if answer.age_s is not None else "",
    )
    if not 200 <= answer.status < 400:
        return Check(
            key,
            "unknown",
            f"HEAD {path}: {answer.status}: an error tells nothing of the cache",
            service=service,
        )
    if answer.cache == "none":
        why = f"HEAD {path}: {answer.status} without x-cache: it did not come through CloudFront"
        return Check(
            key,
            "unknown",
            f"{why}; correct site in invoke.yaml, or --skip '{key.name}'",
            service=service,
        )
    before = cached_before(answer, since, now)
    if before is False:
        return Check(key, "ok", f"{answer.cache}{age}", "fresh", service=service)
    if proof is None or proof.state == UNKNOWN:
        cached = f"{answer.cache}{age}, {_cached_when(answer, service, before=before)}"
        why = proof.why if proof else "not compared with the origin"
        return Check(key, "unknown", f"{cached}; {why}", service=service)
    if proof.state == FRESH:
        return Check(key, "ok", f"{answer.cache}{age}, {proof.why}", "fresh", service=service)
    shown = f"{answer.cache}{age}, expected the origin's page: {proof.why}"
    found = Finding(
        "stale_cache",
        f"the CDN answers {path} with another page than the origin's",
        "certain",
        (
            Evidence(f"HEAD {path}", f"x-cache {answer.cache}{age}, {answer.pop or 'no pop'}"),
            Evidence(f"GET {path}", proof.why),
        ),
        (f"inv cdn.invalidate --paths '{path}'",),
    )
    return Check(key, "failed", shown, "stale", service=service, finding=found)


def _cached_when(answer: CacheAnswer, service: str, *, before: bool | None) -> str:
    """When the copy was cached, as far as that is known."""
    if before:
        return f"from before the deployment of {service}"
    if answer.age_s is None:
        return "its age is not known"
    return f"when {service} began to run what it runs is not known"


def handshake(host: str, problem: str, cause: str, layer: str = "cdn") -> Check:
    key = CheckKey("certificates", "handshake", host, layer)
    if not problem:
        return Check(key, "ok", "trusted, for this host, and valid now", "trusted")
    found = Finding(
        cause,
        f"{host}: {_HANDSHAKE_SUMMARIES.get(cause, problem)}",
        "certain",
        (Evidence(f"TLS with {host}", problem),),
        _certificate_fixes(cause),
    )
    return Check(
        key,
        "failed",
        f"{problem}, expected one that is trusted",
        cause,
        finding=found,
    )


def _certificate_fixes(cause: str) -> tuple[str, ...]:
    return {
        "certificate_untrusted": ("set site_ca in invoke.yaml if it is your own authority",)
    }.get(
        cause,
        (
            "aws acm list-certificates --region us-east-1",
            "attach a valid certificate to the distribution",
        ),
    )


def _certificate_key(host: str, layer: str, position: int) -> CheckKey:
    if position == 0:
        return CheckKey("certificates", "certificate", host, layer)
    return CheckKey("certificates", "authority", host, layer, str(position))


def dates(
    host: str,
    position: int,
    subject: str,
    begins: datetime,
    ends: datetime,
    now: datetime,
    days: int,
    layer: str = "cdn",
) -> Check:
    """Check the validity dates of one certificate; position 0 is the server's own."""
    role = "certificate" if position == 0 else f"authority {position}"
    key, span = (
        _certificate_key(host, layer, position),
        f"{begins:%Y-%m-%d %H:%M} to {ends:%Y-%m-%d %H:%M} UTC",
    )
    shown = f"{subject}: {span}"
    cause = (
        "certificate_expired"
        if ends <= now
        else "certificate_not_yet_valid"
        if begins > now
        else ""
    )
    if not cause and ends - now < timedelta(days=days):
        cause = "certificate_expires_soon"
    if not cause:
        return Check(key, "ok", shown, f"until {ends:%Y-%m-%d}")
    says = {
        "certificate_expired": f"expired {ends:%Y-%m-%d}",
        "certificate_not_yet_valid": f"not valid before {begins:%Y-%m-%d}",
    }
    what = says.get(cause, f"expires within {days} days")
    found = Finding(
        cause,
        f"{host}: {role} {subject}: {what}",
        "certain",
        (Evidence(f"TLS with {host}", shown),),
        _certificate_fixes(cause),
    )
    return Check(
        key,
        "failed",
        f"{shown}; {what}, expected valid for {days} more days",
        cause,
        finding=found,
    )
