"""What a person reads of a sweep: many changes that say the same are one line."""

from __future__ import annotations

from ops.health.model import Change, CheckKey
from ops.health.render import merge_same

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
