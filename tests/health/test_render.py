"""What a person reads of a sweep: many changes that say the same are one line."""

from __future__ import annotations

from ops.core.findings import Unknown
from ops.health.model import Change, Check, CheckKey, Sweep
from ops.health.render import as_text, merge_same
from ops.health.rules.root_cause import ExplainContext, explain
from tests.aws_fixtures import make_settings

LOOP = "301 redirect_loop"


def test_a_loop_of_many_pages_is_one_line() -> None:
    """With the first names and how many more; what says something else keeps its line."""
    pages = [
        Change(f"/{number}", "200", LOOP, CheckKey("endpoints", "page", f"/{number}", "cdn"))
        for number in range(6)
    ]
    assert list(merge_same([*pages, Change("db · schema", "0002", "0003")])) == [
        f"6 pages 200 → {LOOP}: /0, /1, /2, /3 and 2 more",
        "db · schema 0002 → 0003",
    ]
    checks = [
        Change(f"ecs · s{number} tasks", "2/2", "unknown", CheckKey("ecs", "tasks", f"s{number}"))
        for number in range(4)
    ]
    assert list(merge_same(checks)) == [
        "4 checks 2/2 → unknown: ecs · s0 tasks, ecs · s1 tasks, ecs · s2 tasks, ecs · s3 tasks"
    ]


def test_a_few_have_a_line_each() -> None:
    """Control characters move no cursor."""
    assert list(merge_same([Change("/a", "200", LOOP), Change("/b\x1b[2J", "200", LOOP)])) == [
        f"/a 200 → {LOOP}",
        f"/b\\x1b[2J 200 → {LOOP}",
    ]


def test_checks_without_a_login_are_one_row_and_one_change() -> None:
    """The account's own row has the reason; `all` still lists every check."""
    keys = [CheckKey("account", "account"), CheckKey("ecs", "cluster"), CheckKey("cdn", "group")]
    unread = [Check.unread(key, Unknown("the login has expired", login="log in")) for key in keys]
    changes = tuple(Change(f"c{place}", "ok", "unknown", key) for place, key in enumerate(keys))
    sweep = Sweep(
        environment="here",
        at="2026-11-30T10:00:00Z",
        took_s=1.0,
        checks=explain(unread, ExplainContext(frozenset())),
        against="2026-11-30T09:00:00Z",
        changes=changes,
    )
    lines = as_text(sweep, make_settings()).splitlines()
    assert lines[:2] == [
        "? account  account: the login has expired",
        "? 2 checks for the same reason: ecs 1, cdn 1  [explained by account · account]",
    ]
    assert lines[4:6] == ["  c0 ok → unknown", "  2 checks → unknown, as the account"]
    assert as_text(sweep, make_settings(), all=True).count("the login has expired") == 3
