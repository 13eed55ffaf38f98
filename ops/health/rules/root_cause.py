"""Find which failed check causes another, so that root causes come first.

The first matching rule of `_CAUSE_ORDER` explains a check. An explained check stays failed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from ops.core.findings import Evidence, Finding
from ops.health.model import Check, CheckKey

AWS_GROUPS = ("db", "ecs", "targets", "cdn", "logs", "terraform")
_NOT_THE_DATABASES = (
    "image_",
    "secret_",
    "out_of_memory",
)  # causes of a task that never started, or was killed from outside
_MAX_EVIDENCE = 3  # shown for one cause of many checks


@dataclass(frozen=True)
class ExplainContext:
    """Facts beside the checks.

    `database_clients`: the services whose tasks read the database secret.
    """

    database_clients: frozenset[str] = frozenset()


_Explains = Callable[[Check, Check, ExplainContext], bool]


def _account(below: Check, above: Check, context: ExplainContext) -> bool:
    """Credentials of another account affect every check that uses AWS."""
    return below.group == "account" and above.group in AWS_GROUPS


def _database_itself(below: Check, above: Check, context: ExplainContext) -> bool:
    """A stopped instance or a wrong secret affects the other database checks."""
    order = ("instance", "secret", "connection")
    if not below.group == above.group == "db" or below.key.kind not in order:
        return False
    return above.key.kind not in order or (
        order.index(below.key.kind) < order.index(above.key.kind)
    )


def _database_clients(below: Check, above: Check, context: ExplainContext) -> bool:
    """A database failure affects the services that use it: tasks, targets, pages, logs."""
    uses = (
        above.group in ("ecs", "targets", "endpoints", "logs")
        and above.service in context.database_clients
    )
    return (
        uses
        and below.group == "db"
        and below.key.kind != "secret"
        and not _cause(above).startswith(_NOT_THE_DATABASES)
    )


def _cluster(below: Check, above: Check, context: ExplainContext) -> bool:
    return (
        below.key.kind == "cluster"
        and above.group in ("ecs", "targets")
        and above.key.kind != "cluster"
    )


def _tasks(below: Check, above: Check, context: ExplainContext) -> bool:
    """Tasks that exit by themselves affect targets, pages and logs of their service."""
    if below.group != "ecs" or below.service != above.service:
        return False
    if above.group == "ecs":
        return below.key.kind == "tasks" and above.key != below.key
    if (
        above.group == "endpoints"
        and _cause(above) == "wrong_body"
        and below.key.kind in ("deployment", "image")
    ):
        return True  # another release's page: another release runs
    if _stopped_by_health_checks(below) or below.key.kind in ("image", "revision"):
        return False
    return above.group in ("targets", "endpoints", "logs")


def _stopped_by_health_checks(check: Check) -> bool:
    """Whether health checks of the load balancer stopped the tasks."""
    return check.finding is not None and check.finding.cause in (
        "target_unhealthy",
        "service_unsteady",
    )


def _targets(below: Check, above: Check, context: ExplainContext) -> bool:
    if below.group != "targets" or below.service != above.service:
        return False
    return (above.group == "ecs" and _stopped_by_health_checks(above)) or above.group in (
        "endpoints",
        "logs",
    )


def _handshake(below: Check, above: Check, context: ExplainContext) -> bool:
    """An invalid date affects the handshake, and the handshake affects pages over TLS."""
    if below.group != "certificates":
        return False
    dated = above.key.kind == "handshake" and below.key.kind != "handshake"
    same_layer = below.key.layer == above.key.layer
    return (dated and same_layer and below.key.subject == above.key.subject) or (
        above.key.kind == "page" and same_layer and _cause(above).startswith("certificate_")
    )


def _load_balancer(below: Check, above: Check, context: ExplainContext) -> bool:
    """A failure at the load balancer affects the same page through the CDN."""
    return (
        below.key.kind == above.key.kind == "page"
        and (below.key.layer, above.key.layer) == ("alb", "cdn")
        and below.key.subject == above.key.subject
    )


def _stale_cache(below: Check, above: Check, context: ExplainContext) -> bool:
    """A stale cached page does not show the release."""
    return (
        _cause(below) == "stale_cache"
        and _cause(above) == "wrong_body"
        and above.key == _page_at_cdn(below.key)
    )


def _page(below: Check, above: Check, context: ExplainContext) -> bool:
    """A page without an answer cannot be checked in the cache."""
    return (
        above.key.kind == "cached page"
        and above.status == "unknown"
        and below.key == _page_at_cdn(above.key)
    )


def _page_at_cdn(cached: CheckKey) -> CheckKey:
    return CheckKey("endpoints", "page", cached.subject, "cdn")


def _cause(check: Check) -> str:
    return check.finding.cause if check.finding else ""


_CAUSE_ORDER: tuple[_Explains, ...] = (
    _account,
    _database_itself,
    _database_clients,
    _cluster,
    _tasks,
    _targets,
    _handshake,
    _stale_cache,
    _load_balancer,
    _page,
)


def explain(checks: Iterable[Check], context: ExplainContext) -> tuple[Check, ...]:
    """Set `explained_by` on failing checks caused by another failure. No cycles."""
    checks = tuple(checks)
    failed = [check for check in checks if check.status == "failed"]
    if any(
        check.group == "account" for check in failed
    ):  # results of another account explain nothing here
        failed = [check for check in failed if check.group not in AWS_GROUPS]
    found = _without_login(checks)
    for check in checks:
        if not check.unhealthy or check.key in found:
            continue
        below = (
            each
            for explains in _CAUSE_ORDER
            for each in failed
            if each is not check and explains(each, check, context)
        )
        reason = next((each.key for each in below), None)
        if reason and not _would_be_cycle(found, reason, check.key):
            found[check.key] = reason
    return tuple(replace(check, explained_by=found.get(check.key)) for check in checks)


def _without_login(checks: Sequence[Check]) -> dict[CheckKey, CheckKey]:
    """The checks that are unknown as the account is: AWS does not accept the credentials."""
    unread = [check for check in checks if check.status == "unknown" and check.login]
    account = next((check.key for check in unread if check.group == "account"), None)
    if account is None:
        return {}
    return {check.key: account for check in unread if check.key != account}


def _would_be_cycle(
    found: Mapping[CheckKey, CheckKey], start: CheckKey | None, end: CheckKey
) -> bool:
    while start:
        if start == end:
            return True
        start = found.get(start)
    return False


def roots(checks: Iterable[Check]) -> tuple[Check, ...]:
    """Return the unhealthy checks that no other check explains."""
    return tuple(check for check in checks if check.unhealthy and not check.explained_by)


def causes(checks: Iterable[Check]) -> tuple[Finding, ...]:
    """Return the findings of the roots; equal causes of one group are merged."""
    found: dict[tuple[str, str], list[Check]] = {}
    for check in roots(checks):
        if check.finding is not None:
            found.setdefault((check.group, check.finding.cause), []).append(check)
    return tuple(_merge_findings(each) for each in found.values())


def _merge_findings(checks: Sequence[Check]) -> Finding:
    first = checks[0].finding
    assert first is not None
    if len(checks) == 1:
        return first
    others = ", ".join(check.name for check in checks[1:])
    evidence = [each for check in checks if check.finding for each in check.finding.evidence]
    more = (
        [Evidence("and", f"{len(evidence) - _MAX_EVIDENCE} more like these")]
        if len(evidence) > _MAX_EVIDENCE
        else []
    )
    return replace(
        first,
        summary=f"{first.summary}; the same: {others}",
        evidence=(*evidence[:_MAX_EVIDENCE], *more),
    )


def add_denied_finding(check: Check) -> Check:
    """Add a finding to a check that is unknown because of a missing permission."""
    denied = check.denied
    if denied is None or check.status != "unknown" or check.finding is not None:
        return check
    what = f"{denied.who} may not {denied.action}"
    fix = (f"have {denied.action} allowed for {denied.who}, or use other credentials",)
    return replace(
        check,
        finding=Finding("denied", what, "certain", (Evidence(check.label, check.detail),), fix),
    )
