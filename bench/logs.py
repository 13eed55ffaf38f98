"""Whether `inv SERVICE.logs --follow` keeps up with 5,000 events a second.

python -m bench.logs [SECONDS [EVENTS_A_SECOND]]

A server of its own process answers FilterLogEvents as CloudWatch does: pages of at most 10,000
events or 1 MB, 80 ms each, from 20 tasks whose events can be read 0 to 5 s after they were logged,
as the awslogs driver sends them. Two measurements in one run:

- followed: events printed a second beside events produced a second (target: a ratio of 1, none
  lost, none printed twice), how long after it can be read an event is printed, pages read a second.
- read once: pages a second of `logs` beside those of boto3's bare paginator over the same range, in
  turn; `logs` also searches, merges, redacts and prints.

A followed log keeps up as long as a second of events costs less than a second of CPU, which is
printed as well: on a busy machine the other figures say more about the machine."""

from __future__ import annotations

import io
import json
import multiprocessing
import statistics
import sys
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from ops.aws import session
from ops.aws.facts import LogGroupRef
from ops.ecs.log_output import LogPrinter
from ops.ecs.log_reader import LogFollower, LogReading, RangeReader
from ops.ecs.rules.log_merge import LogMerger
from ops.ecs.rules.log_sources import LogSource
from ops.ecs.service_logs import POLL_S

TASKS = [f"{number:032x}" for number in range(1, 21)]
AWAY_S = 0.08
PAGE_BYTES, PAGE_EVENTS, OVERHEAD = 1 << 20, 10_000, 26
BATCH_S = 5.0  # the awslogs driver sends what it has every five seconds
PAIRS, READ_S = 3, 5  # seconds of events that are read once
PATIENCE_S = 60.0
TEXT = (
    '{"time": "2026-11-30T12:00:00Z", "level": "info", "message": "request", "method": "GET", '
    '"path": "/api/projects/17", "status": 200, "took_ms": 12, "id": '
)
SOURCE = LogSource(LogGroupRef("/ecs/bench", "us-east-1"), "ecs/app/", "app")


class Server(BaseHTTPRequestHandler):
    """FilterLogEvents over events that are computed from their number."""

    protocol_version = "HTTP/1.1"
    began, rate, total = 0.0, 5_000, 0

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        time.sleep(AWAY_S)
        body = self.page(asked).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def page(self, asked: dict[str, Any]) -> str:
        now = time.time()
        begin = (asked["startTime"] / 1000 - self.began) * self.rate
        first = int(asked.get("nextToken") or max(begin, 0))
        ends = asked.get("endTime", now * 1000) / 1000
        last = min(int((min(now, ends) - self.began) * self.rate), self.total)
        found: list[str] = []
        size, number = 0, first
        while number < last and len(found) < PAGE_EVENTS and size < PAGE_BYTES:
            if readable_at(self.began, self.rate, number) <= now:
                found.append(event(self.began, self.rate, number))
                size += len(TEXT) + OVERHEAD
            number += 1
        token = f', "nextToken": "{number}"' if number < last else ""
        return f'{{"events": [{", ".join(found)}]{token}}}'

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: a line a request would be in the way."""


def readable_at(began: float, rate: int, number: int) -> float:
    """When the batch with this event arrives: each task's batches have their own phase."""
    phase = number % len(TASKS) * BATCH_S / len(TASKS)
    at = began + number / rate
    return at + (phase - at) % BATCH_S


def event(began: float, rate: int, number: int) -> str:
    task = TASKS[number % len(TASKS)]
    return (
        f'{{"timestamp": {int((began + number / rate) * 1000)}, "eventId": "{number}", '
        f'"logStreamName": "ecs/app/{task}", "message": {json.dumps(f"{TEXT}{number}}}")}}}'
    )


def serve(began: float, rate: int, total: int, ready: Any) -> None:
    Server.began, Server.rate, Server.total = began, rate, total
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    ready.send(server.server_address[1])
    server.serve_forever()


class Output(io.StringIO):
    """What is printed: when, and the number of each event."""

    def __init__(self) -> None:
        super().__init__()
        self.printed: list[tuple[float, int]] = []

    def write(self, text: str) -> int:
        now = time.time()
        self.printed += [(now, int(line.rsplit(" ", 1)[1][:-1])) for line in text.splitlines()]
        return len(text)


def followed(cloud: session.AwsSession, began: float, seconds: int, rate: int) -> None:
    """Follow until everything that was produced is printed, or for another `PATIENCE_S`."""
    output, merger, calls = Output(), LogMerger(), [0]
    cloud.client("logs").meta.events.register(
        "before-call", lambda **_: calls.__setitem__(0, calls[0] + 1)
    )
    printer = LogPrinter(output, "bench", colour=True)
    follower = LogFollower(LogReading(cloud), int(began * 1000))
    first = time.time()
    ends, cpu = began + seconds + BATCH_S + PATIENCE_S, time.process_time()
    while time.time() < ends and len(output.printed) < rate * seconds:
        polled_at, new = time.time(), 0
        for batch in follower.poll([SOURCE]):
            new += len(batch)
            printer.write(merger.add(batch))
        if not new:
            printer.write(merger.flush())  # as ServiceLogs.release does
        time.sleep(max(POLL_S - (time.time() - polled_at), 0.05))
    printer.write(merger.flush())
    took, cpu = time.time() - first, time.process_time() - cpu
    numbers = [number for _, number in output.printed]
    until = began + seconds  # in the time of production; the first batches take BATCH_S to arrive
    steady = [at for at, _ in output.printed if began + 2 * BATCH_S < at <= until]
    ratio = len(steady) / (until - began - 2 * BATCH_S) / rate
    delays = [at - readable_at(began, rate, number) for at, number in output.printed]
    print(
        f"followed: {rate} events/s produced for {seconds} s, {ratio * rate:.0f} events/s printed: "
        f"ratio {ratio:.2f}"
    )
    print(
        f"  {rate * seconds - len({*numbers})} lost, {len(numbers) - len({*numbers})} printed "
        f"twice; printed {statistics.median(delays):.1f} s after they can be read "
        f"(95 %: {statistics.quantiles(delays, n=20)[-1]:.1f} s); {calls[0] / took:.1f} pages/s, "
        f"{cpu / seconds:.2f} s of CPU for a second of events"
    )


def bare(cloud: session.AwsSession, began: float) -> int:
    pages = (
        cloud.client("logs")
        .get_paginator("filter_log_events")
        .paginate(
            logGroupName=SOURCE.group.name,
            startTime=int(began * 1000),
            endTime=int((began + READ_S) * 1000),
        )
    )
    return sum(1 for page in pages if page["events"])


def ours(cloud: session.AwsSession, began: float) -> int:
    merger, printer, pages = LogMerger(), LogPrinter(io.StringIO(), "bench", colour=True), 0
    for batch in RangeReader(LogReading(cloud)).batches(
        [SOURCE], int(began * 1000), int((began + READ_S) * 1000)
    ):
        printer.write(merger.add(batch))
        pages += 1
    printer.write(merger.flush())
    return pages


def read_once(cloud: session.AwsSession, began: float) -> Iterator[tuple[float, float]]:
    """Pages a second of both, in turn."""
    for _ in range(PAIRS):
        rates = []
        for read in (bare, ours):
            first = time.perf_counter()
            rates.append(read(cloud, began) / (time.perf_counter() - first))
        yield rates[0], rates[1]


def main(seconds: int = 30, rate: int = 5_000) -> None:
    mine, theirs = multiprocessing.Pipe()
    began = time.time() + 1
    server = multiprocessing.get_context("spawn").Process(
        target=serve, args=(began, rate, rate * seconds, theirs), daemon=True
    )
    server.start()
    try:
        cloud = session.of_overlay(f"http://127.0.0.1:{mine.recv()}", "bench", "bench", "us-east-1")
        followed(cloud, began, seconds, rate)
        pairs = [*read_once(cloud, began)]
    finally:
        server.kill()
    theirs_rate, ours_rate = (statistics.median(side) for side in zip(*pairs, strict=True))
    ratio = statistics.median(mine / others for others, mine in pairs)
    print(
        f"read once ({rate * READ_S} events, medians of {PAIRS} pairs): {ours_rate:.1f} pages/s, "
        f"boto3's bare paginator {theirs_rate:.1f} pages/s: ratio {ratio:.2f}"
    )


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:]))
