"""Which failure explains which: a check that failed because of what lies below it says so, and the
root is told first.

A table from the ground up; the first one that is ill and fits explains. An explained check stays as
red as it was."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from ops.core.findings import Evidence, Finding
from ops.health.model import Check

AWS_GROUPS = ("db", "ecs", "targets", "cdn", "logs", "terraform")
NOT_THE_DATABASES = (
    "image_",
    "secret_",
    "out_of_memory",
)  # causes of a task that never began, or was killed from outside
EVIDENCE = 3  # pieces of it are shown for one cause of many checks
DENIED = re.compile(r"(?P<who>\S+) may not (?P<action>[\w*-]+:[\w*]+)")  # as ops.aws.errors says it


@dataclass(frozen=True)
class ExplainContext:
    """What the rules know beside the checks. `users`: the services whose tasks read the database's
    secret.
    """

    users: frozenset[str] = frozenset()


Fits = Callable[[Check, Check, ExplainContext], bool]


def account(below: Check, above: Check, ground: ExplainContext) -> bool:
    """Other credentials: everything that AWS was asked for is of another account."""
    return below.group == "account" and above.group in AWS_GROUPS


def database_clients(below: Check, above: Check, ground: ExplainContext) -> bool:
    """A stopped instance, or a wrong secret, explains every other check of the database."""
    order = ("instance", "secret", "connection")
    here = below.group == above.group == "db" and below.name in order
    return here and (above.name not in order or order.index(below.name) < order.index(above.name))


def database(below: Check, above: Check, ground: ExplainContext) -> bool:
    """A database that does not answer, or whose schema is behind, makes its users ill: tasks,
    targets, pages, logs.
    """
    uses = above.group in ("ecs", "targets", "endpoints", "logs") and above.service in ground.users
    return (
        uses
        and below.group == "db"
        and below.name != "secret"
        and not cause(above).startswith(NOT_THE_DATABASES)
    )


def cluster(below: Check, above: Check, ground: ExplainContext) -> bool:
    return (
        below.label == "ecs · cluster"
        and above.group in ("ecs", "targets")
        and above.name != "cluster"
    )


def tasks(below: Check, above: Check, ground: ExplainContext) -> bool:
    """Tasks that end by themselves leave no target, no page, and say why in the log."""
    if below.group != "ecs" or below.service != above.service:
        return False
    if above.group == "ecs":
        return below.name.endswith(" tasks") and above.name != below.name
    if (
        above.group == "endpoints"
        and cause(above) == "wrong_body"
        and below.name.endswith((" deployment", " image"))
    ):
        return True  # another release's page: another release runs
    if stopped_by_checks(below) or below.name.endswith((" image", " revision")):
        return False
    return above.group in ("targets", "endpoints", "logs")


def stopped_by_checks(check: Check) -> bool:
    """The load balancer's checks failed: then the target group knows more than the tasks do."""
    return check.finding is not None and check.finding.cause in (
        "target_unhealthy",
        "service_unsteady",
    )


def targets(below: Check, above: Check, ground: ExplainContext) -> bool:
    if below.group != "targets" or below.service != above.service:
        return False
    return (above.group == "ecs" and stopped_by_checks(above)) or above.group in (
        "endpoints",
        "logs",
    )


def handshake(below: Check, above: Check, ground: ExplainContext) -> bool:
    """A date explains the handshake, and the handshake the pages that are asked for over TLS."""
    if below.group != "certificates":
        return False
    dated = above.name.endswith(" handshake") and not below.name.endswith(" handshake")
    same_host = above.group == "certificates" and below.name.split()[0] == above.name.split()[0]
    same_way = below.name.startswith("alb ") == above.name.endswith(" via alb")
    return (dated and same_host) or (
        above.group == "endpoints" and same_way and cause(above).startswith("certificate_")
    )


def balancer(below: Check, above: Check, ground: ExplainContext) -> bool:
    """What fails at the load balancer too is not the CDN's fault."""
    at_cdn = below.name.removesuffix(" via alb") + " via cdn"
    return (
        below.group == above.group == "endpoints"
        and below.name.endswith(" via alb")
        and above.name == at_cdn
    )


def stale(below: Check, above: Check, ground: ExplainContext) -> bool:
    """A page that is kept from before does not show the release."""
    asked = f"GET {below.name.removeprefix('cache ')} via cdn"
    return (
        cause(below) == "stale_cache"
        and above.group == "endpoints"
        and cause(above) == "wrong_body"
        and above.name == asked
    )


def page(below: Check, above: Check, ground: ExplainContext) -> bool:
    """A page that does not answer can't be looked at in the cache either."""
    asked = f"GET {above.name.removeprefix('cache ')} via cdn"
    return (
        below.group == "endpoints"
        and above.group == "cdn"
        and below.name == asked
        and above.status == "unknown"
    )


def cause(check: Check) -> str:
    return check.finding.cause if check.finding else ""


CAUSE_ORDER: tuple[Fits, ...] = (
    account,
    database_clients,
    database,
    cluster,
    tasks,
    targets,
    handshake,
    stale,
    balancer,
    page,
)


def explained(checks: Iterable[Check], ground: ExplainContext) -> tuple[Check, ...]:
    """The same checks; an ill one that a failed one explains names it. Nothing explains itself, in
    a circle either.
    """
    checks = tuple(checks)
    failed = [check for check in checks if check.status == "failed"]
    if any(
        check.group == "account" for check in failed
    ):  # what another account shows explains nothing here
        failed = [check for check in failed if check.group not in AWS_GROUPS]
    found: dict[str, str] = {}
    for check in checks:
        if not check.ill:
            continue
        below = (
            each
            for fits in CAUSE_ORDER
            for each in failed
            if each is not check and fits(each, check, ground)
        )
        reason = next((each.label for each in below), "")
        if reason and not would_be_cycle(found, reason, check.label):
            found[check.label] = reason
    return tuple(
        replace(check, explained_by=found[check.label]) if check.label in found else check
        for check in checks
    )


def would_be_cycle(found: Mapping[str, str], start: str, end: str) -> bool:
    while start:
        if start == end:
            return True
        start = found.get(start, "")
    return False


def roots(checks: Iterable[Check]) -> tuple[Check, ...]:
    """The ill ones that nothing explains."""
    return tuple(check for check in checks if check.ill and not check.explained_by)


def causes(checks: Iterable[Check]) -> tuple[Finding, ...]:
    """What the ill ones come from: the findings of the roots, those of one cause in one group
    together.
    """
    found: dict[tuple[str, str], list[Check]] = {}
    for check in roots(checks):
        if check.finding is not None:
            found.setdefault((check.group, check.finding.cause), []).append(check)
    return tuple(together(each) for each in found.values())


def together(checks: Sequence[Check]) -> Finding:
    first = checks[0].finding
    assert first is not None
    if len(checks) == 1:
        return first
    others = ", ".join(check.name for check in checks[1:])
    evidence = [each for check in checks if check.finding for each in check.finding.evidence]
    more = (
        [Evidence("and", f"{len(evidence) - EVIDENCE} more like these")]
        if len(evidence) > EVIDENCE
        else []
    )
    return replace(
        first,
        summary=f"{first.summary}; the same: {others}",
        evidence=(*evidence[:EVIDENCE], *more),
    )


def denied(check: Check) -> Check:
    """An unknown check that lacks a permission has that as its cause."""
    missing = (
        DENIED.search(check.detail) if check.status == "unknown" and check.finding is None else None
    )
    if missing is None:
        return check
    what = f"{missing['who']} may not {missing['action']}"
    fix = (f"have {missing['action']} allowed for {missing['who']}, or use other credentials",)
    return replace(
        check,
        finding=Finding("denied", what, "certain", (Evidence(check.label, check.detail),), fix),
    )
