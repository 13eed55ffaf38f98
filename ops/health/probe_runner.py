"""Run many probes concurrently under one deadline, and register groups of probes.

A probe that crashes or is late has the result unknown; it never delays the others beyond the
deadline. Daemon threads are left behind, as in `ops.core.parallel`, so that a hanging call blocks
neither the result nor Ctrl-C.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from ops.core.findings import Unknown
from ops.core.parallel import Call, run_calls, try_call_in_thread
from ops.health.inputs import SweepInputs
from ops.health.model import GROUPS, Check, CheckKey

CONCURRENCY = 16  # probes of one lane that run at a time


@dataclass(frozen=True)
class Probe:
    """A function that returns checks.

    `keys`: those of its checks, which are reported as unknown without an answer. `lane`: probes of
    one lane share its 16 slots, so hanging AWS calls do not delay the pages.
    """

    keys: tuple[CheckKey, ...]
    run: Callable[[], Iterable[Check]]
    service: str = ""
    lane: str = "aws"

    def unknown(self, fact: Unknown, took_s: float) -> tuple[Check, ...]:
        """Return its checks as unknown because this fact is."""
        checks = (Check.unread(key, fact, service=self.service) for key in self.keys)
        return tuple(replace(check, took_s=took_s) for check in checks)


ProbeFactory = Callable[[SweepInputs], Iterator[Probe]]


@dataclass(frozen=True)
class HealthGroup:
    """A registered group of checks. `when_empty`: the reason given where it has no probes.

    With one of the keys `needs` being `none` in the configuration, it is skipped then.
    """

    name: str
    probes: ProbeFactory
    when_empty: str
    needs: tuple[str, ...] = ()


_registry: dict[str, HealthGroup] = {}


def health_group(
    name: str, *, when_empty: str, needs: tuple[str, ...] = ()
) -> Callable[[ProbeFactory], ProbeFactory]:
    """Register the decorated function, which yields the group's probes.

    `name` is one of `ops.health.model.GROUPS`; `{name}` in `when_empty` is the environment's name.
    `needs` are keys of the environment, any of which may be `none`.
    """
    assert name in GROUPS, name

    def register(probes: ProbeFactory) -> ProbeFactory:
        _registry[name] = HealthGroup(name, probes, when_empty, needs)
        return probes

    return register


def health_groups() -> dict[str, HealthGroup]:
    """Return the registered groups by name, in the order of `GROUPS`."""
    return {name: _registry[name] for name in GROUPS if name in _registry}


def run_all(probes: Sequence[Probe], deadline_s: float) -> tuple[Check, ...]:
    """Run the probes, at most 16 of a lane at a time; return their checks in order."""
    late = Unknown(f"no answer within {deadline_s:g} s (health.deadline)")
    calls = [
        Call(partial(_run_probe, probe), f"probe {probe.keys[0].label}", probe.lane)
        for probe in probes
    ]
    found = run_calls(calls, CONCURRENCY, deadline_s)
    return tuple(
        check
        for probe, checks in zip(probes, found, strict=True)
        for check in (checks if isinstance(checks, tuple) else probe.unknown(late, deadline_s))
    )


def _run_probe(probe: Probe) -> tuple[Check, ...]:
    """Run one probe; a crash or an empty result gives unknown checks."""
    began = time.monotonic()
    answer = try_call_in_thread(lambda: tuple(probe.run()))
    took = time.monotonic() - began
    if isinstance(answer, Unknown):
        return probe.unknown(answer, took)
    if not answer:
        return probe.unknown(Unknown("the probe returned no check"), took)
    return tuple(check if check.took_s else replace(check, took_s=took) for check in answer)
