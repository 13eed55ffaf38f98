"""Log lines by table: which are errors, which are the same, which are new, and what counts now."""

from __future__ import annotations

import re

import pytest

from ops.aws.facts import LogEvent
from ops.core.log_level import level
from ops.ecs.rules.log_sources import application_events
from ops.health.rules.logs import FILTER, LogLine, check, patterns
from ops.migrator.task import loader

IDS = ("3f0c1a52-7f3e-4d0b-9f7e-0c9d2a8e1b11", "9ab4e0d7-1c55-4d6e-8a33-5b2e7c0f4d22")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("ERROR something broke", "error"),
        ('{"level": "error", "message": "x"}', "error"),
        ('{"level": "info", "message": "no error at all"}', None),
        ('{"severity": "WARNING", "message": "x"}', "warning"),
        ("Traceback (most recent call last):", "error"),
        ("java.lang.NullPointerException: null", "error"),
        ("WARN deprecated", "warning"),
        ("terrors of the deep", None),
        ('{"broken json error', "error"),
        ("GET /health 200", None),
        ("TypeError: Cannot read properties of undefined", "error"),
        ("psycopg.OperationalError: connection refused", "error"),
        ("UnhandledPromiseRejectionWarning: x", "error"),
        ("Uncaught exception", "error"),
        ("DeprecationWarning: x is old", "warning"),
        ("time=x level=err msg=broke", "error"),
        ('ts=1 level="warning" msg="slow"', "warning"),
        ('level=info msg="0 errors, no error"', None),
        ("ERROR zlib failed at level=9", "error"),
        ('{"level": 50, "msg": "x"}', "error"),
        ('{"level": 60, "msg": "x"}', "error"),
        ('{"level": 40, "msg": "x"}', "warning"),
        ('{"level": 30, "msg": "no error"}', None),
        ('{"level": "panic", "msg": "x"}', "error"),
        ('{"level": "SEVERE", "msg": "x"}', "error"),
        ('{"level": "E", "msg": "TypeError: x"}', "error"),
        ("3 errors so far, terrors", None),
    ],
)
def test_the_level_of_a_line(text: str, found: str | None) -> None:
    """A JSON line's own level counts before any word in it."""
    assert level(text) == found
    if found:  # and what CloudWatch is asked for lets it through
        assert re.search(FILTER.strip("%"), text)


def test_cloudwatch_takes_the_filter() -> None:
    """Only what its guide allows in a regular expression, in a pattern of at most 1024 characters,
    ASCII alone.
    """
    assert FILTER[0] == FILTER[-1] == "%" and len(FILTER) <= 1024
    assert re.fullmatch(r"[A-Za-z0-9_#=@/;,:^$?\[\]{}|\\*+.-]+", FILTER[1:-1])


def test_lines_that_differ_in_ids_are_one_pattern() -> None:
    """Counted together, the most frequent error first, warnings last."""
    lines = [LogLine(1.0, f"ERROR order {each} failed after {n} ms") for n, each in enumerate(IDS)]
    found = patterns(
        [LogLine(2.0, "WARN slow"), *lines, LogLine(3.0, "ERROR other"), LogLine(4.0, "fine")],
        since=0.0,
    )
    assert [(each.level, each.count) for each in found] == [
        ("error", 2),
        ("error", 1),
        ("warning", 1),
    ]
    assert found[0].text == "ERROR order # failed after # ms"


def test_old_errors_are_told_and_recent_ones_fail() -> None:
    """What came before the judged time is shown with its count; what came within it turns the check
    red, with its rate.
    """
    found = patterns(
        [LogLine(10.0, "ERROR a"), LogLine(20.0, "ERROR a"), LogLine(100.0, "WARN b")], since=50.0
    )
    quiet = check("backend", found, None, 1.0, True, "since the last release, abc")
    assert (
        quiet.status == "ok"
        and "2 × error: ERROR a" in quiet.detail
        and "(new)" not in quiet.detail
    )
    now = patterns([LogLine(60.0, "ERROR a"), LogLine(61.0, "ERROR a")], since=50.0)
    loud = check("backend", now, frozenset({"error ERROR other"}), 0.5, False, "in the last 30 s")
    assert loud.status == "failed" and loud.numbers == {"errors/min": 4.0}
    assert (
        loud.detail.startswith("at least 2 × error (new): ERROR a")
        and loud.finding
        and loud.finding.cause == "log_errors"
    )


def test_no_error_seen_in_half_of_what_was_said_is_unknown() -> None:
    """Where not all of the judged time could be read; what lies before it may be cut off."""
    old = patterns([LogLine(10.0, "ERROR a")], since=50.0)
    assert check("backend", old, None, 5.0, False, "since", recent_whole=True).status == "ok"
    cut = check("backend", old, None, 5.0, True, "since", recent_whole=False)
    assert (
        cut.status == "unknown" and "more was logged in the last 5m than can be read" in cut.detail
    )
    bad = patterns([LogLine(60.0, "ERROR a")], since=50.0)
    assert check("backend", bad, None, 5.0, True, "since", recent_whole=False).status == "failed"


def test_a_secret_in_a_line_is_hidden() -> None:
    """Patterns are kept and shown: redacted."""
    found = patterns([LogLine(1.0, "ERROR could not connect with password=hunter2")], since=0.0)
    assert "hunter2" not in found[0].text + found[0].sample


def test_lines_of_database_tasks_are_not_the_applications() -> None:
    """A failed migration's result, and the rest of its stream, say nothing of the service."""
    result = 'ops-task {"run": "1f3c", "end": {"state": "failed", "error": "x"}}'
    events = (
        LogEvent(1, "ecs/api/1", "ERROR of the application"),
        LogEvent(2, "ecs/api/2", "ERROR: column does not exist"),
        LogEvent(3, "ecs/api/2", result),
        LogEvent(4, "", result),
        LogEvent(5, "", "ERROR without a stream"),
        LogEvent(6, "ecs/api/1", "ops-task error: the application's own words"),
    )
    assert [each.at for each in application_events(events)] == [1, 5, 6]


def test_the_marked_line_is_the_one_that_tasks_print(capsys: pytest.CaptureFixture[str]) -> None:
    """The mark is written in the shipped program; health's rule names it again."""
    with pytest.raises(SystemExit):
        loader.fail("no reply")
    line = capsys.readouterr().out.rstrip()
    assert line and application_events((LogEvent(1, "ecs/api/1", line),)) == ()
