"""A whole sweep by table: what explains what, and what changed since another one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ops.core.errors import ConfigError
from ops.core.findings import Denial, Evidence, Finding, Unknown
from ops.health.model import Check, CheckKey, Sweep, SweepRequest
from ops.health.rules.diff import as_document, changes, newest_of_each
from ops.health.rules.root_cause import ExplainContext, add_denied_finding, causes, explain, roots
from ops.health.rules.stored_sweep import StoredSweep
from ops.health.sweep import _apply_skips


def ill(key: CheckKey, cause: str = "x", service: str = "backend", status: Any = "failed") -> Check:
    return Check(key, status, "d", service=service, finding=Finding(cause, "s", "certain"))


STOPPED, CONNECTION = (
    ill(CheckKey("db", "instance"), "database_stopped", ""),
    ill(CheckKey("db", "connection"), "database_unreachable", ""),
)
TASKS, TARGETS = (
    ill(CheckKey("ecs", "tasks", "backend"), "container_exited"),
    ill(CheckKey("targets", "target group", "backend", part="tg"), "no_targets"),
)
NO_SECRET = ill(CheckKey("ecs", "deployment", "backend"), "secret_missing")
CHECKED = ill(CheckKey("ecs", "tasks", "backend"), "target_unhealthy")
AT_CDN, AT_ALB = (
    ill(CheckKey("endpoints", "page", "/api", "cdn")),
    ill(CheckKey("endpoints", "page", "/api", "alb")),
)
OTHER = ill(CheckKey("endpoints", "page", "/", "cdn"), service="frontend")
ACCOUNT, LOCK = (
    ill(CheckKey("account", "account"), "wrong_account", ""),
    ill(CheckKey("terraform", "state lock"), "state_locked", ""),
)
LOG, IMAGE = (
    ill(CheckKey("logs", "log", "backend"), "log_errors"),
    ill(CheckKey("ecs", "image", "backend"), "y", status="unknown"),
)
EXPIRED = "certificate_expired"
HANDSHAKE, DATE = (
    ill(CheckKey("certificates", "handshake", "h", "cdn"), EXPIRED, ""),
    ill(CheckKey("certificates", "certificate", "h", "cdn"), EXPIRED, ""),
)
STALE, OLD_PAGE = (
    ill(CheckKey("cdn", "cached page", "/api"), "stale_cache"),
    ill(CheckKey("endpoints", "page", "/api", "cdn"), "wrong_body"),
)
NOT_THE_RELEASE, OLD_AT_ALB = (
    ill(CheckKey("ecs", "image", "backend"), "not_the_release"),
    ill(CheckKey("endpoints", "page", "/api", "alb"), "wrong_body"),
)
ALB_DATE, TLS_AT_CDN = (
    ill(CheckKey("certificates", "certificate", "alb", "alb"), EXPIRED, ""),
    ill(CheckKey("endpoints", "page", "/api", "cdn"), EXPIRED),
)
CACHED = ill(CheckKey("cdn", "cached page", "/api"), "z", status="unknown")


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
    assert {check.explained_by for check in found} <= {check.key for check in checks} | {None}


def _unknown(key: CheckKey, login: str = "log in") -> Check:
    return Check.unread(key, Unknown("not read", login=login))


def test_an_account_without_login_explains_what_is_unknown_for_the_same_reason() -> None:
    """Not what is unknown for another one; a permission or a timeout of the account is no login."""
    account, tasks = CheckKey("account", "account"), CheckKey("ecs", "tasks", "backend")
    late = _unknown(CheckKey("cdn", "distribution"), login="")
    page = _unknown(CheckKey("endpoints", "page", "/", "alb"), login="")
    found = explain((_unknown(account), _unknown(tasks), late, page), ExplainContext(frozenset()))
    assert [check.explained_by for check in found] == [None, account, None, None]
    found = explain((_unknown(account, login=""), _unknown(tasks)), ExplainContext(frozenset()))
    assert [check.explained_by for check in found] == [None, None]


def test_one_cause_is_told_once() -> None:
    """Seven pages in one loop make one finding that names them all."""
    seen = Finding("redirect_loop", "s", "certain", (Evidence("GET", "301"),))
    pages = [
        replace(ill(CheckKey("endpoints", "page", f"/{n}", "alb")), finding=seen) for n in range(7)
    ]
    (found,) = causes(pages)
    assert [each.text for each in found.evidence] == ["301", "301", "301", "4 more like these"]
    assert found.cause == "redirect_loop" and all(
        f"GET /{n} via alb" in found.summary for n in range(1, 7)
    )


def test_a_missing_permission_is_the_cause() -> None:
    """Who may not do what, from the error's fields: its text may say anything."""
    key = CheckKey("targets", "target group", part="tg")
    denied = Unknown(
        "x", Denial("arn:aws:iam::1:user/x", "elasticloadbalancing:DescribeTargetHealth")
    )
    found = add_denied_finding(Check.unread(key, denied)).finding
    assert found is not None and found.cause == "denied"
    assert found.summary == (
        "arn:aws:iam::1:user/x may not elasticloadbalancing:DescribeTargetHealth"
    )
    assert add_denied_finding(Check.unread(key, Unknown("x may not s3:GetObject"))).finding is None


def stored(sweep: Sweep) -> StoredSweep:
    return StoredSweep.from_document(as_document(sweep))


def sweep(*checks: Check) -> Sweep:
    return Sweep("dev", "2026-01-01T00:00:00.000+00:00", 1.0, checks)


def page(value: str, status: Any = "ok", took: float = 0.1) -> Check:
    return Check(
        CheckKey("endpoints", "page", "/about", "cdn"), status, f"{value} in {took}", value, took
    )


def numbers(**measured: float) -> Check:
    return Check(
        CheckKey("logs", "log", "backend"),
        "ok",
        "d",
        "no errors",
        numbers={name.replace("_", "/"): value for name, value in measured.items()},
    )


def runs(image: str, status: Any = "ok") -> Check:
    return Check(CheckKey("ecs", "image", "backend"), status, "d", image, service="backend")


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
            Check(CheckKey("db", "connections"), "ok", "1 of 9", "enough"),
            Check(CheckKey("db", "connections"), "ok", "5 of 9", "enough"),
            [],
        ),
        # the tag is known only once a release is recorded
        (runs("sha256:22fe"), runs("5500f54 sha256:22fe"), []),
        (runs("a1 sha256:22fe"), runs("b2 sha256:22fe"), []),
        (
            runs("sha256:22fe"),
            runs("5500f54 sha256:33aa"),
            ["ecs · backend image sha256:22fe → 5500f54 sha256:33aa"],
        ),
        (
            runs("a1 sha256:22fe"),
            runs("not the release", "failed"),
            ["ecs · backend image a1 sha256:22fe → not the release"],
        ),
    ],
)
def test_what_changed(before: Check, after: Check, expected: list[str]) -> None:
    """By what a check says, and by measures that moved enough to matter; through a run that was
    written down.
    """
    found = changes(stored(sweep(before)), sweep(after), slower=3.0)
    assert [f"{change.name} {change.before} → {change.after}" for change in found] == expected


TARGET = Check(
    CheckKey("targets", "target group", "backend", part="tg"),
    "ok",
    "d",
    "2/2 healthy",
    service="backend",
)
BLIND = Check(CheckKey("targets", "targets", "backend"), "unknown", "denied", service="backend")
NO_ANSWER = Check(CheckKey("targets", "targets"), "unknown", "no answer")
ELSE = Check(
    CheckKey("targets", "target group", "frontend", part="tg"),
    "ok",
    "d",
    "1/1 healthy",
    service="frontend",
)


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
        ((TARGET,), (Check(CheckKey("targets", "targets"), "skipped", "--skip"),), []),
        ((TARGET, ELSE), (NO_ANSWER,), ["targets · targets 2/2 healthy and 1/1 healthy → unknown"]),
    ],
)
def test_no_change_is_lost_in_a_name(
    before: tuple[Check, ...], after: tuple[Check, ...], expected: list[str]
) -> None:
    """A look that failed stands under another name than what it would have seen, and is a change
    all the same.
    """
    found = changes(stored(sweep(*before)), sweep(*after), slower=3.0)
    assert [f"{change.name} {change.before} → {change.after}" for change in found] == expected


def at(moment: str, *checks: Check) -> StoredSweep:
    return stored(replace(sweep(*checks), at=moment))


def test_what_was_skipped_was_not_looked_at() -> None:
    """The run to compare with: of each group the newest that looked, and of a check that was
    skipped there the newest that did not.
    """
    lock = Check(CheckKey("terraform", "state lock"), "ok", "d", "free")
    left_out = replace(lock, status="skipped")
    known = [
        at("4", left_out, page("200")),
        at("3", Check(CheckKey("terraform", "group"), "skipped", "--skip"), page("502", "failed")),
        at("2", lock, Check(CheckKey("ecs", "cluster"), "ok", "d", "ACTIVE")),
        at("1", replace(lock, value="held", status="failed")),
    ]
    found = newest_of_each(known, ("terraform", "endpoints"))
    assert found and {(each.name, each.value) for each in found.checks} == {
        ("state lock", "free"),
        ("GET /about via cdn", "200"),
    }
    assert found.at == "2"  # all that changed has changed since then
    now = sweep(replace(lock, value="held", status="failed"), page("200"))
    assert [change.name for change in changes(found, now, 3.0)] == ["terraform · state lock"]
    assert newest_of_each(known, ("logs",)) is None and newest_of_each([], ("ecs",)) is None


def test_one_check_that_was_skipped_among_others() -> None:
    """The rest of its group is the newest run's."""
    old, new, other = (
        page("200"),
        page("404", "skipped"),
        Check(CheckKey("endpoints", "page", "/", "cdn"), "ok", "d", "200"),
    )
    found = newest_of_each(
        [at("2", new, other), at("1", old, replace(other, value="503"))], ("endpoints",)
    )
    assert found and {(each.name, each.value) for each in found.checks} == {
        (old.name, "200"),
        (other.name, "200"),
    }


def test_nothing_looked_at_is_not_healthy() -> None:
    """Neither an empty sweep, nor one that was skipped whole, nor one with an unknown."""
    assert not sweep().healthy
    assert not sweep(page("200", "skipped")).healthy
    assert not sweep(page("200"), page("", "unknown")).healthy
    assert sweep(page("200")).healthy


def test_names_of_checks_are_stable() -> None:
    """Stored sweeps and `--skip` identify a check by its name."""
    named = {
        CheckKey("ecs", "tasks", "backend"): "backend tasks",
        CheckKey("targets", "target group", "backend", part="tg"): "backend tg",
        CheckKey("endpoints", "page", "/api", "alb"): "GET /api via alb",
        CheckKey("endpoints", "time"): "time",
        CheckKey("cdn", "cached page", "/{x}"): "cache /{x}",
        CheckKey("certificates", "certificate", "site.test", "cdn"): "site.test certificate",
        CheckKey("certificates", "authority", "alb", "alb", "1"): "alb authority 1",
        CheckKey("logs", "log", "backend"): "backend log",
        CheckKey("terraform", "state lock"): "state lock",
        CheckKey("db", "connection"): "connection",
        CheckKey("cdn", "group"): "cdn",
    }
    assert {key.name: key.identity for key in named} == {
        name: (key.group, name) for key, name in named.items()
    }


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("endpoint", "did you mean --skip endpoints?"),
        ("backend imge", "did you mean --skip 'backend image'?"),
        ("x", "inv health.all --verbose"),
    ],
)
def test_an_unknown_check_to_skip_names_the_groups_and_the_nearest(name: str, how: str) -> None:
    """Not fifty names."""
    check = Check(CheckKey("ecs", "image", "backend"), "ok", "")
    with pytest.raises(ConfigError) as caught:
        _apply_skips((check,), SweepRequest((), frozenset({name})))
    assert (
        caught.value.why.startswith("allowed: a group (")
        and "backend image" not in caught.value.why
    )
    assert caught.value.next == how
