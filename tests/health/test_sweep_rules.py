"""A whole sweep by table: what explains what, and what changed since another one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ops.core.findings import Evidence, Finding
from ops.health.model import Check, Sweep
from ops.health.rules.diff import as_document, changes, newest_of_each
from ops.health.rules.root_cause import ExplainContext, add_denied_finding, causes, explain, roots


def ill(
    group: str, name: str, cause: str = "x", service: str = "backend", status: Any = "failed"
) -> Check:
    return Check(group, name, status, "d", service=service, finding=Finding(cause, "s", "certain"))


STOPPED, CONNECTION = (
    ill("db", "instance", "database_stopped", ""),
    ill("db", "connection", "database_unreachable", ""),
)
TASKS, TARGETS = (
    ill("ecs", "backend tasks", "container_exited"),
    ill("targets", "backend tg", "no_targets"),
)
NO_SECRET = ill("ecs", "backend deployment", "secret_missing")
CHECKED = ill("ecs", "backend tasks", "target_unhealthy")
AT_CDN, AT_ALB = ill("endpoints", "GET /api via cdn"), ill("endpoints", "GET /api via alb")
OTHER = ill("endpoints", "GET / via cdn", service="frontend")
ACCOUNT, LOCK = (
    ill("account", "account", "wrong_account", ""),
    ill("terraform", "state lock", "state_locked", ""),
)
LOG, IMAGE = (
    ill("logs", "backend log", "log_errors"),
    ill("ecs", "backend image", "y", status="unknown"),
)
EXPIRED = "certificate_expired"
HANDSHAKE, DATE = (
    ill("certificates", "h handshake", EXPIRED, ""),
    ill("certificates", "h certificate", EXPIRED, ""),
)
STALE, OLD_PAGE = (
    ill("cdn", "cache /api", "stale_cache"),
    ill("endpoints", "GET /api via cdn", "wrong_body"),
)
NOT_THE_RELEASE, OLD_AT_ALB = (
    ill("ecs", "backend image", "not_the_release"),
    ill("endpoints", "GET /api via alb", "wrong_body"),
)
ALB_DATE, TLS_AT_CDN = (
    ill("certificates", "alb certificate", EXPIRED, ""),
    ill("endpoints", "GET /api via cdn", EXPIRED),
)
CACHED = ill("cdn", "cache /api", "z", status="unknown")


@pytest.mark.parametrize(
    ("checks", "expected"),
    [
        ((STOPPED, CONNECTION), (STOPPED,)),
        ((CONNECTION, TARGETS, AT_CDN, LOG), (CONNECTION,)),
        ((CONNECTION, OTHER), (CONNECTION, OTHER)),  # the frontend does not use the database
        (
            (CONNECTION, NO_SECRET, TARGETS),
            (CONNECTION, NO_SECRET),
        ),  # no database takes a secret away
        ((TASKS, IMAGE, TARGETS, AT_CDN, LOG), (TASKS,)),
        (
            (CHECKED, TARGETS, AT_ALB),
            (TARGETS,),
        ),  # stopped by the health check: the target group knows why
        ((AT_CDN, AT_ALB), (AT_ALB,)),
        ((AT_CDN, CACHED), (AT_CDN,)),
        ((ACCOUNT, TASKS, LOCK, AT_CDN), (ACCOUNT, AT_CDN)),  # pages need no credentials
        ((HANDSHAKE, DATE), (DATE,)),
        ((STALE, OLD_PAGE), (STALE,)),  # the CDN shows what it kept
        ((NOT_THE_RELEASE, OLD_AT_ALB), (NOT_THE_RELEASE,)),
        ((STALE, AT_CDN), (STALE, AT_CDN)),  # a page that fails is not kept from before
        (
            (ALB_DATE, TLS_AT_CDN),
            (ALB_DATE, TLS_AT_CDN),
        ),  # the load balancer's certificate is not the CDN's
        ((DATE, TLS_AT_CDN), (DATE,)),
        ((LOCK, AT_CDN), (LOCK, AT_CDN)),
    ],
)
def test_what_explains_what(checks: tuple[Check, ...], expected: tuple[Check, ...]) -> None:
    """Only the roots are left; what is explained stays red and names its reason."""
    found = explain(checks, ExplainContext(frozenset({"backend"})))
    assert [check.label for check in roots(found)] == [check.label for check in expected]
    assert all(check.unhealthy for check in found)
    assert {check.explained_by for check in found} <= {check.label for check in checks} | {""}


def test_one_cause_is_told_once() -> None:
    """Seven pages in one loop make one finding that names them all."""
    seen = Finding("redirect_loop", "s", "certain", (Evidence("GET", "301"),))
    pages = [replace(ill("endpoints", f"GET /{n} via alb"), finding=seen) for n in range(7)]
    (found,) = causes(pages)
    assert [each.text for each in found.evidence] == ["301", "301", "301", "4 more like these"]
    assert found.cause == "redirect_loop" and all(
        f"GET /{n} via alb" in found.summary for n in range(1, 7)
    )


def test_a_missing_permission_is_the_cause() -> None:
    """Who may not do what."""
    who = "arn:aws:iam::1:user/x may not elasticloadbalancing:DescribeTargetHealth"
    check = add_denied_finding(
        Check("targets", "tg", "unknown", f"target group tg: {who} (AccessDenied)")
    )
    assert check.finding and check.finding.cause == "denied" and check.finding.summary == who
    assert (
        add_denied_finding(Check("targets", "tg", "unknown", "no answer within 30 s")).finding
        is None
    )


def sweep(*checks: Check) -> Sweep:
    return Sweep("dev", "2026-01-01T00:00:00.000+00:00", 1.0, checks)


def page(value: str, status: Any = "ok", took: float = 0.1) -> Check:
    return Check("endpoints", "GET /about via cdn", status, f"{value} in {took}", value, took)


def numbers(**measured: float) -> Check:
    return Check(
        "logs",
        "backend log",
        "ok",
        "d",
        "no errors",
        numbers={name.replace("_", "/"): value for name, value in measured.items()},
    )


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (page("200"), page("200", took=0.2), []),
        (page("200"), page("502", "failed"), ["/about 200 → 502"]),
        (page("200"), page("", "unknown"), ["/about 200 → unknown"]),
        (page("200"), page("200", "skipped"), []),
        (numbers(errors_min=0.0), numbers(errors_min=40.0), ["backend log errors/min 0 → 40"]),
        (numbers(errors_min=1.0), numbers(errors_min=1.5), []),
        (numbers(p50=0.08), numbers(p50=0.9), ["p50 80 ms → 900 ms"]),
        (numbers(p50=0.9), numbers(p50=0.08), ["p50 900 ms → 80 ms"]),
        (numbers(p50=0.005), numbers(p50=0.02), []),
        (
            numbers(p50=0.08, late=0.9),
            numbers(p50=0.9),
            [],
        ),  # measured by a machine that was as late itself
        (numbers(p50=0.08), numbers(p50=0.9, late=0.4), ["p50 80 ms → 900 ms"]),
        (
            Check("db", "connections", "ok", "1 of 9", "enough"),
            Check("db", "connections", "ok", "5 of 9", "enough"),
            [],
        ),
    ],
)
def test_what_changed(before: Check, after: Check, expected: list[str]) -> None:
    """By what a check says, and by measures that moved enough to matter; through a run that was
    written down.
    """
    found = changes(as_document(sweep(before)), sweep(after), slower=3.0)
    assert [f"{change.name} {change.before} → {change.after}" for change in found] == expected


TARGET = Check("targets", "backend tg", "ok", "d", "2/2 healthy", service="backend")
BLIND = Check("targets", "backend targets", "unknown", "denied", service="backend")
NO_ANSWER = Check("targets", "targets", "unknown", "no answer")
ELSE = Check("targets", "frontend tg", "ok", "d", "1/1 healthy", service="frontend")


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ((TARGET, ELSE), (BLIND, ELSE), ["targets · backend targets 2/2 healthy → unknown"]),
        ((BLIND, ELSE), (TARGET, ELSE), ["targets · backend targets unknown → 2/2 healthy"]),
        ((BLIND, ELSE), (BLIND, ELSE), []),
        (
            (TARGET,),
            (TARGET, replace(ELSE, status="failed", value="0/1 healthy")),
            ["targets · frontend tg not there → 0/1 healthy"],
        ),
        ((TARGET,), (TARGET, ELSE), []),  # another service, and it is well
        (
            (TARGET, replace(ELSE, status="failed")),
            (TARGET,),
            ["targets · frontend tg 1/1 healthy → not there"],
        ),
        ((TARGET,), (page("500", "failed"),), []),  # another --only
        ((page("200"),), (BLIND,), []),
        ((TARGET,), (Check("targets", "targets", "skipped", "--skip"),), []),
        ((TARGET, ELSE), (NO_ANSWER,), ["targets · targets 2/2 healthy and 1/1 healthy → unknown"]),
    ],
)
def test_no_change_is_lost_in_a_name(
    before: tuple[Check, ...], after: tuple[Check, ...], expected: list[str]
) -> None:
    """A look that failed stands under another name than what it would have seen, and is a change
    all the same.
    """
    found = changes(as_document(sweep(*before)), sweep(*after), slower=3.0)
    assert [f"{change.name} {change.before} → {change.after}" for change in found] == expected


def at(moment: str, *checks: Check) -> dict[str, Any]:
    return as_document(replace(sweep(*checks), at=moment))


def test_what_was_skipped_was_not_looked_at() -> None:
    """The run to compare with: of each group the newest that looked, and of a check that was
    skipped there the newest that did not.
    """
    lock = Check("terraform", "state lock", "ok", "d", "free")
    left_out = replace(lock, status="skipped")
    known = [
        at("4", left_out, page("200")),
        at("3", Check("terraform", "terraform", "skipped", "--skip"), page("502", "failed")),
        at("2", lock, Check("ecs", "cluster", "ok", "d", "ACTIVE")),
        at("1", replace(lock, value="held", status="failed")),
    ]
    found = newest_of_each(known, ("terraform", "endpoints"))
    assert found and {(each["name"], each["value"]) for each in found["checks"]} == {
        ("state lock", "free"),
        ("GET /about via cdn", "200"),
    }
    assert found["at"] == "2"  # all that changed has changed since then
    now = sweep(replace(lock, value="held", status="failed"), page("200"))
    assert [change.name for change in changes(found, now, 3.0)] == ["terraform · state lock"]
    assert newest_of_each(known, ("logs",)) is None and newest_of_each([], ("ecs",)) is None


def test_one_check_that_was_skipped_among_others() -> None:
    """The rest of its group is the newest run's."""
    old, new, other = (
        page("200"),
        page("404", "skipped"),
        Check("endpoints", "GET / via cdn", "ok", "d", "200"),
    )
    found = newest_of_each(
        [at("2", new, other), at("1", old, replace(other, value="503"))], ("endpoints",)
    )
    assert found and {(each["name"], each["value"]) for each in found["checks"]} == {
        (old.name, "200"),
        (other.name, "200"),
    }


def test_nothing_looked_at_is_not_healthy() -> None:
    """Neither an empty sweep, nor one that was skipped whole, nor one with an unknown."""
    assert not sweep().healthy
    assert not sweep(page("200", "skipped")).healthy
    assert not sweep(page("200"), page("", "unknown")).healthy
    assert sweep(page("200")).healthy
