"""Many probes under one deadline: each answers with its checks, or is unknown with the reason; none
can end or delay the others beyond it.

Threads that are left behind, as in `ops.core.parallel`: a call that hangs must not hold the answer
of the rest, nor Ctrl-C."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from ops.core.findings import Unknown
from ops.core.parallel import try_call_in_thread
from ops.health.model import Check

T = TypeVar("T")
AT_ONCE = 16


@dataclass(frozen=True)
class Probe:
    """One question. `name` says what it is about; `stands_for`: the names of its checks, so that
    they keep them where there is no answer.

    `lane`: those of one lane share its 16 places, so that calls of AWS that hang take none from the
    pages."""

    group: str
    name: str
    ask: Callable[[], Iterable[Check]]
    stands_for: tuple[str, ...] = ()
    service: str = ""
    lane: str = "aws"

    def unknown(self, why: str, took_s: float) -> tuple[Check, ...]:
        names = self.stands_for or (self.name,)
        return tuple(
            Check(self.group, name, "unknown", why, took_s=took_s, service=self.service)
            for name in names
        )


class Memo(Generic[T]):
    """A look that several probes need and only the first one takes; what it raises, it raises for
    all.
    """

    def __init__(self, look: Callable[[], T]) -> None:
        self._look = look
        self._lock = threading.Lock()
        self._found: list[T] = []
        self._problem: BaseException | None = None

    def __call__(self) -> T:
        with self._lock:
            if self._problem is not None:
                raise self._problem
            if not self._found:
                try:
                    self._found.append(self._look())
                except BaseException as problem:
                    self._problem = problem
                    raise
            return self._found[0]


def run_all(probes: Sequence[Probe], deadline_s: float) -> tuple[Check, ...]:
    """Every probe's checks, in the order of the probes; at most 16 of a lane run at a time."""
    found: dict[int, tuple[Check, ...]] = {}
    turns = {probe.lane: threading.Semaphore(AT_ONCE) for probe in probes}
    given_up = threading.Event()
    ends = time.monotonic() + deadline_s

    def take(position: int, probe: Probe) -> None:
        with turns[probe.lane]:
            if not given_up.is_set():
                found[position] = run_probe(probe)

    threads = [
        threading.Thread(
            target=take, args=pair, name=f"{pair[1].group} {pair[1].name}", daemon=True
        )
        for pair in enumerate(probes)
    ]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(max(0.0, ends - time.monotonic()))
    finally:
        given_up.set()
    late = f"no answer within {deadline_s:g} s (health.deadline)"
    return tuple(
        check
        for position, probe in enumerate(probes)
        for check in found.get(position) or probe.unknown(late, deadline_s)
    )


def run_probe(probe: Probe) -> tuple[Check, ...]:
    """What it answers; a crash and an answer without any check are unknown, never green."""
    began = time.monotonic()
    answer = try_call_in_thread(lambda: tuple(probe.ask()))
    took = time.monotonic() - began
    if isinstance(answer, Unknown):
        return probe.unknown(answer.why, took)
    if not answer:
        return probe.unknown("nothing was there to be looked at", took)
    return tuple(check if check.took_s else replace(check, took_s=took) for check in answer)
