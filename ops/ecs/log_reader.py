"""Read log sources: a time range once, or on and on, by live tail or by polling.

A poll reads an overlap again, because events may be ingested late, and drops what it has read
before. Throttled calls wait and go on from the same page.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from ops.aws.cloudwatch import logs
from ops.aws.errors import Throttled
from ops.aws.facts import LogEvent
from ops.aws.session import AwsSession
from ops.core.errors import OpsError
from ops.ecs.rules.log_merge import SWEEP_EVERY_S, Deduplicator, next_start, oldest_start
from ops.ecs.rules.log_request import Grep
from ops.ecs.rules.log_sources import LogSource

PATIENCE_S = 120.0  # of a read once that is throttled; a followed log waits without an end
_LONGEST_PAUSE_S = 30.0
_MERGED = 1_000  # events of several sources that are handed on together

Batch = Sequence[LogEvent]
_NO_EVENTS: Batch = ()


@dataclass(frozen=True)
class LogReading:
    """How to read: AWS, what to search for, how to wait, and where to report delays.

    `wait` may raise to end the reading.
    """

    cloud: AwsSession
    grep: Grep | None = None
    wait: Callable[[float], None] = time.sleep
    report: Callable[[str], None] = lambda line: None

    @property
    def pattern(self) -> str:
        return self.grep.filter if self.grep else ""

    def matching(self, events: Iterable[LogEvent]) -> list[LogEvent]:
        grep = self.grep
        return [event for event in events if grep is None or grep.matches(event.message)]

    def pages(
        self, source: LogSource, since_ms: int, until_ms: int = 0, patience_s: float = PATIENCE_S
    ) -> Iterator[Batch]:
        """Yield the pages of a source, by time, not yet searched on this side."""
        cloud = self.cloud.in_region(source.group.region)
        query = logs.LogQuery(source.group, since_ms, until_ms, self.pattern, source.prefix)
        token: str | None = ""
        waited, pause = 0.0, 0.0
        while token is not None:
            try:
                page, token = logs.filter_page(cloud, query, token)
            except Throttled as error:
                if waited >= patience_s:
                    raise
                if not pause:
                    self.report(f"{source.group.name}: {error.why}; waiting")
                pause = min(2 * pause or 2.0, _LONGEST_PAUSE_S)
                self.wait(pause)
                waited += pause
                continue
            pause = 0.0
            yield sorted(
                (event for event in page if event.stream.startswith(source.prefix)), key=_time
            )


def _time(event: LogEvent) -> int:
    return event.at


def merged(parts: Sequence[Iterator[Batch]]) -> Iterator[Batch]:
    """Merge the batches of several sources by time."""
    if len(parts) == 1:
        yield from parts[0]
        return
    events = heapq.merge(
        *((event for batch in part for event in batch) for part in parts), key=_time
    )
    while batch := [*islice(events, _MERGED)]:
        yield batch


@dataclass
class RangeReader:
    """Read a time range of several sources once. `failures`: what could not be read, and why."""

    reading: LogReading
    failures: list[tuple[LogSource, OpsError]] = field(default_factory=list)

    def batches(
        self, sources: Sequence[LogSource], since_ms: int, until_ms: int
    ) -> Iterator[Batch]:
        """Yield matching events by time; a source that cannot be read ends early."""
        yield from merged([self._of_source(source, since_ms, until_ms) for source in sources])

    def _of_source(self, source: LogSource, since_ms: int, until_ms: int) -> Iterator[Batch]:
        try:
            for page in self.reading.pages(source, since_ms, until_ms):
                yield self.reading.matching(page)
        except OpsError as error:
            self.failures.append((source, error))


@dataclass
class _Position:
    """How far a source has been read."""

    begin: int
    newest: dict[str, int] = field(default_factory=dict)  # the last time in each stream
    dedupe: Deduplicator = field(default_factory=Deduplicator)
    pages: int = 1
    caught_up: bool = False
    swept_at: float = float("-inf")


@dataclass
class LogFollower:
    """Read sources on and on; each event once. `begin_ms`: where the first poll starts."""

    reading: LogReading
    begin_ms: int
    clock: Callable[[], float] = time.time
    _positions: dict[LogSource, _Position] = field(default_factory=dict)

    def poll(self, sources: Sequence[LogSource]) -> Iterator[Batch]:
        """Yield the new events of all sources. Raises OpsError where one cannot be read."""
        yield from merged([self._new(source) for source in sources])

    def _new(self, source: LogSource) -> Iterator[Batch]:
        position = self._position(source)
        now = int(self.clock() * 1000)
        since_sweep_s = self.clock() - position.swept_at
        start = next_start(
            position.newest,
            now,
            position.begin,
            caught_up=position.caught_up,
            pages=position.pages,
            since_sweep_s=since_sweep_s,
        )
        sweeps = position.pages <= 1 or since_sweep_s >= SWEEP_EVERY_S
        pages = 0
        for page in self.reading.pages(source, start, patience_s=float("inf")):
            pages += 1
            new = position.dedupe.new(page)
            self._advance(position, new)
            yield self.reading.matching(new)
        position.pages, position.caught_up = pages, True
        if sweeps:
            position.swept_at = self.clock()
        position.dedupe.forget_before(oldest_start(position.newest, now))

    def tail(self, source: LogSource, arn: str) -> Iterator[tuple[Batch, bool]]:
        """Yield the new events of a live tail, and whether CloudWatch left some out.

        Yields an empty batch at the start of the session, and every second without events.
        """
        position = self._position(source)
        position.dedupe.tailing = True
        group = source.group.parse(arn, source.group.region)
        cloud = self.reading.cloud.in_region(group.region)
        prefixes = [source.prefix] if source.prefix else []
        for update in logs.live_tail(cloud, group, prefixes, self.reading.pattern):
            if update.sampled:
                yield _NO_EVENTS, True  # the poll that follows reads all of them
                return
            found = sorted(update.events, key=_time)
            new = position.dedupe.new(e for e in found if e.stream.startswith(source.prefix))
            self._advance(position, new)
            position.dedupe.forget_before(oldest_start(position.newest, int(self.clock() * 1000)))
            yield self.reading.matching(new), False

    def _position(self, source: LogSource) -> _Position:
        if source not in self._positions:
            self._positions[source] = _Position(self.begin_ms)
        return self._positions[source]

    def _advance(self, position: _Position, events: Iterable[LogEvent]) -> None:
        newest = position.newest
        for event in events:
            if event.at > newest.get(event.stream, 0):
                newest[event.stream] = event.at
