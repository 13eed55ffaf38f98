"""Merge log events of several streams by time, each event once, stack traces in one piece.

A multi-line record (a stack trace) arrives as one event a line. Its lines belong to one stream, and
events of other streams must not be printed between them: `LogMerger` collects them in a record.
"""

from __future__ import annotations

import heapq
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from ops.aws.facts import LogEvent

RECORD_GAP_MS = 1_000  # between two lines of one record
MAX_RECORD_LINES = 1_000
OVERLAP_MS = 30_000  # read again in later polls: events may be ingested that late
SHORT_OVERLAP_MS = 1_000  # the same under load, behind the slowest active stream
# under load: how often, and how far back, a poll sweeps up what came later than that
SWEEP_EVERY_S = 30.0
SWEEP_MS = 15_000
CLOCK_SKEW_MS = 300_000  # tolerated between this machine's clock and the timestamps

_CONTINUED = re.compile(
    r"\s|$"  # indented, or an empty line
    r"|Caused by: |Suppressed: |\.\.\. \d+ more"  # Java
    r"|Traceback \(most recent call last\):|During handling of the above exception"
    r"|The above exception was the direct cause|\[?Previous line repeated \d+"
    r"|\[cause\]: |Node\.js v\d|[}\])]+[;,]?$"
    r"|goroutine \d+ \[|created by |exit status \d+$|\[signal SIG|\[recovered\]"
)
_PYTHON = "Traceback (most recent call last):"
_EXCEPTION = re.compile(r"(?:[A-Za-z_][\w$]*\.)*[A-Za-z_]\w*(?:: |:?$)|\w+\(.*\)$")
_ERROR_NAME = re.compile(r"(?:Uncaught |\[?)\w*(?:Error|Exception)\b")
_GO_FUNCTION = re.compile(r"[\w./*()\[\]{}·-]+\(.*\)(?: in goroutine \d+)?$|panic: |main\.\w+")


@dataclass
class LogRecord:
    """Lines of one stream that belong together; `at` and `until` are its first and last time."""

    events: list[LogEvent]
    until: int
    language: str = ""  # of a stack trace whose next line may be anything
    blank: bool = False  # the last line is empty

    @property
    def at(self) -> int:
        return self.events[0].at


def continues(record: LogRecord, event: LogEvent) -> bool:
    """Whether an event of the record's stream is a further line of the record."""
    if event.at - record.until > RECORD_GAP_MS or len(record.events) >= MAX_RECORD_LINES:
        return False
    text = event.message
    if _CONTINUED.match(text):
        return True
    if record.language == "python":  # the exception after the frames
        return _EXCEPTION.match(text) is not None
    if record.language == "go":
        return _GO_FUNCTION.match(text) is not None
    # Node prints the source line, a caret and an empty line before the error
    return record.blank and _ERROR_NAME.match(text) is not None


def _append(record: LogRecord, event: LogEvent) -> None:
    text = event.message
    record.events.append(event)
    record.until = max(record.until, event.at)
    record.blank = not text.strip()
    record.language = _language(record.language, text)


def _language(language: str, text: str) -> str:
    """The language of a trace after the line `text`; "" where the trace may have ended."""
    if text.startswith(_PYTHON):
        return "python"
    if text.startswith(("goroutine ", "panic: ", "fatal error: ")):
        return "go"
    if language == "python" and text.strip() and not text.startswith((" ", "\t")):
        return ""  # that was the exception
    return language


class LogMerger:
    """Collect events into records, and release the records by the time of their first line.

    Events of one stream must be added in their order.
    """

    def __init__(self) -> None:
        self._open: dict[str, LogRecord] = {}
        self._ready: list[tuple[int, int, LogRecord]] = []
        self._number = 0
        self._latest = 0

    def add(self, events: Iterable[LogEvent]) -> list[LogRecord]:
        """Add events, oldest first, and return the records that are complete and due."""
        for event in events:
            record = self._open.get(event.stream)
            if record is not None and continues(record, event):
                _append(record, event)
            else:
                if record is not None:
                    self._close(record)
                record = LogRecord([], event.at)
                _append(record, event)
                self._open[event.stream] = record
            self._latest = max(self._latest, event.at)
        for stream, record in [*self._open.items()]:
            if self._latest - record.until > RECORD_GAP_MS:
                self._close(self._open.pop(stream))
        return [*self._due()]

    def flush(self) -> list[LogRecord]:
        """Return all records, also those that might go on."""
        for record in self._open.values():
            self._close(record)
        self._open.clear()
        return [*self._due()]

    def _close(self, record: LogRecord) -> None:
        self._number += 1
        heapq.heappush(self._ready, (record.at, self._number, record))

    def _due(self) -> Iterator[LogRecord]:
        """Yield closed records that no open one precedes."""
        first = min((record.at for record in self._open.values()), default=None)
        while self._ready and (first is None or self._ready[0][0] <= first):
            yield heapq.heappop(self._ready)[2]


@dataclass
class _Second:
    """The events of one second that have been accepted."""

    ids: set[str] = field(default_factory=set)
    searched: Counter[int] = field(default_factory=Counter)
    tailed: Counter[int] = field(default_factory=Counter)


class Deduplicator:
    """Accept each event once, whether it comes from a search (with an id) or from a live tail.

    A live tail has no ids, so there the same line at the same time in the same stream is counted.
    """

    def __init__(self) -> None:
        self._seconds: dict[int, _Second] = {}
        self.tailing = False  # whether a live tail takes part: counting costs time

    def new(self, events: Iterable[LogEvent]) -> list[LogEvent]:
        """The events that were not accepted before."""
        return [event for event in events if self._accept(event)]

    def _accept(self, event: LogEvent) -> bool:
        second = self._seconds.get(event.at // 1000)
        if second is None:
            second = self._seconds[event.at // 1000] = _Second()
        if event.id:
            if event.id in second.ids:
                return False
            second.ids.add(event.id)
            if not self.tailing:
                return True
        ours, others = (
            (second.searched, second.tailed) if event.id else (second.tailed, second.searched)
        )
        key = hash((event.at, event.stream, event.message))
        ours[key] += 1
        return ours[key] > others[key]

    def forget_before(self, at: int) -> None:
        """Forget events older than `at` (milliseconds): they are not read again."""
        for second in [each for each in self._seconds if each < at // 1000]:
            del self._seconds[second]


def next_start(
    newest: Mapping[str, int],
    now: int,
    begin: int,
    *,
    caught_up: bool = True,
    pages: int = 1,
    since_sweep_s: float = 0.0,
) -> int:
    """Where the next poll begins (milliseconds), so that late events are read as well.

    `newest`: the last time in each stream. `begin`: the start of the first poll. `caught_up`:
    whether a poll has reached the end yet. `pages`: how many the last poll needed. Reading the
    whole overlap again costs nothing while it fits into one page. Under load, polls begin just
    before the slowest active stream, and every `SWEEP_EVERY_S` one goes back by `SWEEP_MS`.
    """
    latest = min(max(newest.values(), default=begin), now)
    start = latest - OVERLAP_MS
    if pages > 1:
        start = latest - SWEEP_MS
        if since_sweep_s < SWEEP_EVERY_S:
            active = [at for at in newest.values() if at > start]
            start = min(active, default=latest) - SHORT_OVERLAP_MS
    return max(begin, start, now - CLOCK_SKEW_MS if caught_up else begin)


def oldest_start(newest: Mapping[str, int], now: int) -> int:
    """The earliest time from which a later poll may read; older events can be forgotten."""
    latest = min(max(newest.values(), default=0), now)
    return latest - OVERLAP_MS - SHORT_OVERLAP_MS
