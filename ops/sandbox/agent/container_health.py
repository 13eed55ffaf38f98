"""The health check of a container's definition (`healthCheck`), run beside the container.

Emulates `CMD` and `CMD-SHELL`, `retries` and `timeout`: so many failures in a row make the
container UNHEALTHY, one success makes it HEALTHY. Failures within `startPeriod` do not count.
Differs from ECS: checks run every `Timing.health_interval`, as a process (or container) of their
own from the same image, and `startPeriod` is at most `Timing.grace`. A HEALTHCHECK of the image is
ignored, as in ECS.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ops.sandbox.aws.ecs.model import Container as Record
from ops.sandbox.contracts import Container, ContainerSpec, PullError, Runtime, StartError, Timing

_RETRIES = 3  # ECS's default
_TIMEOUT = 5.0


class HealthCommand:
    """Runs the check of one container; call `step` from the task's own thread."""

    def __init__(
        self, check: dict[str, Any], spec: ContainerSpec, runtime: Runtime, timing: Timing
    ) -> None:
        words = check["command"]
        argv = ["/bin/sh", "-c", " ".join(words[1:])] if words[0] == "CMD-SHELL" else words[1:]
        self._spec = replace(
            spec,
            name=f"{spec.name}-health",
            entry_point=tuple(argv[:1]),
            command=tuple(argv[1:]),
            log=lambda line: None,  # ECS writes the output of a check nowhere
        )
        self._runtime, self._interval = runtime, timing.health_interval
        self._retries = int(check.get("retries") or _RETRIES)
        self._timeout = float(check.get("timeout") or _TIMEOUT)
        self._start_period = min(float(check.get("startPeriod") or 0), timing.grace)
        self._began: float | None = None
        self._due = 0.0
        self._probe: Container | None = None
        self._failures = 0
        self.status = "UNKNOWN"

    def step(self, now: float) -> str:
        """Start a due probe, or take the result of the running one; return the status."""
        self._began = now if self._began is None else self._began
        if self._probe is None:
            if now >= self._due:
                self._start(now)
        elif (code := self._probe.poll()) is not None:
            self._record(code == 0, now)
        elif now >= self._due + self._timeout:
            self._probe.stop(0.0)
            self._record(False, now)
        return self.status

    def stop(self) -> None:
        if self._probe is not None:
            self._probe.stop(0.0)

    def _start(self, now: float) -> None:
        self._due = now
        try:
            self._probe = self._runtime.start(self._spec)
        except (StartError, PullError):
            self._record(False, now)

    def _record(self, healthy: bool, now: float) -> None:
        self._probe, self._due = None, now + self._interval
        if healthy:
            self._failures, self.status = 0, "HEALTHY"
            return
        if now - (self._began or now) < self._start_period and self.status == "UNKNOWN":
            return
        self._failures += 1
        if self._failures >= self._retries:
            self.status = "UNHEALTHY"


def health_commands(
    records: Sequence[Record], specs: list[ContainerSpec], runtime: Runtime, timing: Timing
) -> dict[str, HealthCommand]:
    """Container name → its check, of the containers that have one."""
    return {
        spec.name: HealthCommand(record.definition["healthCheck"], spec, runtime, timing)
        for record, spec in zip(records, specs, strict=True)
        if record.has_check
    }
