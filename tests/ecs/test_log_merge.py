"""Merging log events: by time, each once, stack traces in one piece."""

from __future__ import annotations

from typing import Any

import pytest

from ops.aws.facts import LogEvent
from ops.ecs.rules.log_merge import (
    OVERLAP_MS,
    SHORT_OVERLAP_MS,
    SWEEP_MS,
    Deduplicator,
    LogMerger,
    LogRecord,
    next_start,
)

PYTHON = """\
ERROR:root:cannot list projects
Traceback (most recent call last):
  File "/app/server.py", line 10, in list_projects
    rows = query()
psycopg.OperationalError: connection refused

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "/app/server.py", line 12, in list_projects
    raise Unavailable
server.Unavailable"""
JAVA = """\
Exception in thread "main" java.lang.IllegalStateException: no pool
\tat com.example.Pool.get(Pool.java:12)
\tat com.example.App.main(App.java:5)
Caused by: java.net.ConnectException: refused
\tat com.example.Net.open(Net.java:3)
\t... 2 more"""
NODE = """\
/app/index.js:10
    throw new TypeError('boom');
    ^

TypeError: boom
    at Object.<anonymous> (/app/index.js:10:9)
    at Module._compile (node:internal/modules/cjs/loader:1554:14) {
  code: 'E_BOOM'
}

Node.js v20.19.0"""
GO = """\
panic: runtime error: index out of range [3] with length 3

goroutine 1 [running]:
main.(*Server).handle(0xc000012345, {0x1, 0x2})
\t/app/main.go:20 +0x1d
main.main()
\t/app/main.go:8 +0x18
created by net/http.(*Server).Serve in goroutine 1
\t/usr/local/go/src/net/http/server.go:3285 +0x4b4
exit status 2"""


def events(stream: str, text: str, at: int = 0, step: int = 1) -> list[LogEvent]:
    return [
        LogEvent(at + number * step, stream, line, f"{stream}-{at}-{number}")
        for number, line in enumerate(text.split("\n"))
    ]


def lines(records: list[LogRecord]) -> list[str]:
    return [f"{event.stream} {event.message}" for record in records for event in record.events]


def by_time(*found: list[LogEvent]) -> list[LogEvent]:
    return sorted((event for each in found for event in each), key=lambda event: event.at)


def merge(*found: list[LogEvent]) -> list[LogRecord]:
    merger = LogMerger()
    return [*merger.add(by_time(*found)), *merger.flush()]


@pytest.mark.parametrize("trace", [PYTHON, JAVA, NODE, GO], ids=["python", "java", "node", "go"])
def test_a_stack_trace_is_not_torn_apart(trace: str) -> None:
    """Two tasks log at the same time: the trace is one record, and the line after it another."""
    ours = events("a", f"GET / 200\n{trace}\nGET / 500", at=10)
    others = events("b", "\n".join(f"GET /{number} 200" for number in range(30)), at=5)
    records = merge(ours, others)
    whole = [record for record in records if len(record.events) > 1]
    assert ["\n".join(event.message for event in record.events) for record in whole] == [trace]
    assert len(lines(records)) == len(ours) + len(others)
    assert [record.at for record in records] == sorted(record.at for record in records)


def test_two_traces_at_once_stay_apart() -> None:
    """Each stream has a record of its own, whatever the other logs in between."""
    records = merge(events("a", PYTHON), events("b", JAVA))
    assert sorted(len(record.events) for record in records) == [6, 12]


@pytest.mark.parametrize(
    ("first", "second", "gap"),
    [
        ("GET / 200", "GET /about 200", 1),
        ("GET / 200", '{"level": "info"}', 1),
        ("GET / 200", "ValueError: not in a trace", 1),
        ("Traceback (most recent call last):", "  File later", 1_001),
        ("panic: boom", "2026-11-30 started again", 1),
    ],
)
def test_other_lines_are_records_of_their_own(first: str, second: str, gap: int) -> None:
    records = merge([LogEvent(0, "a", first), LogEvent(gap, "a", second)])
    assert len(records) == 2


def test_a_trace_that_goes_on_in_the_next_page_is_one_record() -> None:
    """The first half is held until the second arrives, and other streams wait for it."""
    trace, merger = events("a", JAVA), LogMerger()
    assert merger.add(by_time(trace[:3], events("b", "GET / 200", at=2))) == []
    done = merger.add(by_time(trace[3:], [LogEvent(5_000, "b", "GET /about 200")]))
    assert lines(done) == [f"a {event.message}" for event in trace] + ["b GET / 200"]
    assert lines(merger.flush()) == ["b GET /about 200"]


def test_events_of_one_time_keep_their_order() -> None:
    records = merge(events("a", "one\ntwo\nthree", at=7, step=0))
    assert [event.message for record in records for event in record.events] == [
        "one",
        "two",
        "three",
    ]


def test_an_overlap_shows_nothing_twice_and_loses_nothing() -> None:
    """Polls that overlap, with a late event of the same time: each is accepted once."""
    found = events("a", "same\nsame\nother", at=1_000, step=0)
    late = LogEvent(1_000, "b", "same", "late")
    dedupe = Deduplicator()
    assert dedupe.new(found) == found
    assert dedupe.new([*found, late]) == [late]
    assert dedupe.new([*found, late]) == []


def test_a_tail_and_a_search_show_an_event_once() -> None:
    """A live tail has no ids: a line logged twice at once is shown twice, not four times."""
    searched = events("a", "same\nsame", at=1_000, step=0)
    tailed = [LogEvent(event.at, event.stream, event.message) for event in searched]
    dedupe = Deduplicator()
    dedupe.tailing = True
    assert dedupe.new(tailed[:1]) == tailed[:1]
    assert dedupe.new(searched) == searched[1:]
    assert dedupe.new(tailed[1:]) == []
    assert dedupe.new([LogEvent(1_000, "a", "same")]) != []


def test_what_cannot_be_read_again_is_forgotten() -> None:
    found = events("a", "one\ntwo", at=0, step=60_000)
    dedupe = Deduplicator()
    dedupe.new(found)
    dedupe.forget_before(30_000)
    assert dedupe.new(found) == found[:1]


NOW = 10_000_000


@pytest.mark.parametrize(
    ("newest", "options", "start"),
    [
        ({}, {"caught_up": False}, NOW - 3_600_000),  # the first poll
        ({}, {}, NOW - 300_000),  # nothing yet: only a bounded range is read again
        ({"a": NOW - 500}, {}, NOW - 500 - OVERLAP_MS),
        ({"a": NOW + 60_000}, {}, NOW - OVERLAP_MS),  # a task's clock is ahead
        ({"a": NOW - 7_200_000}, {}, NOW - 300_000),
        ({"a": NOW - 3_000_000}, {"caught_up": False}, NOW - 3_000_000 - OVERLAP_MS),
        # under load: from the slowest stream that is still active
        ({"a": NOW, "b": NOW - 5_000}, {"pages": 3}, NOW - 5_000 - SHORT_OVERLAP_MS),
        ({"a": NOW, "b": NOW - 90_000}, {"pages": 3}, NOW - SHORT_OVERLAP_MS),
        ({"a": NOW, "b": NOW - 90_000}, {"pages": 3, "since_sweep_s": 31.0}, NOW - SWEEP_MS),
    ],
)
def test_where_the_next_poll_begins(
    newest: dict[str, int], options: dict[str, Any], start: int
) -> None:
    assert next_start(newest, NOW, NOW - 3_600_000, **options) == start
