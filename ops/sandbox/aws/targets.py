"""The load balancer's health table: registered targets and the results of their probes.

Emulates ELBv2's target states: `initial` (Elb.RegistrationInProgress, then
Elb.InitialHealthChecking), `healthy`, `unhealthy` with ELB's reasons and descriptions, `draining`
until the deregistration delay is over. As in ELB, one successful probe makes an initial target
healthy; after that the target group's own thresholds apply. Differs from ELB: one prober instead of
one per node; a target group without a listener is probed as well.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

from ops.sandbox.contracts import TargetState

_REGISTERING = ("Elb.RegistrationInProgress", "Target registration is in progress")
_CHECKING = ("Elb.InitialHealthChecking", "Initial health checks in progress")
_DRAINING = ("Target.DeregistrationInProgress", "Target deregistration is in progress")


@dataclass(frozen=True)
class Probe:
    """The result of one health check; `reason` and `description` are ELB's, None if it passed."""

    reason: str | None = None
    description: str | None = None


@dataclass
class Target:
    """One registered target. Times are monotonic seconds."""

    group: str
    address: str
    port: int
    state: str = "initial"
    reason: str | None = _REGISTERING[0]
    description: str | None = _REGISTERING[1]
    passed: int = 0
    failed: int = 0
    next_probe: float = 0.0
    drained_at: float | None = None

    @property
    def key(self) -> tuple[str, str, int]:
        return self.group, self.address, self.port


@dataclass
class TargetTable:
    """All targets of all target groups; thread-safe."""

    lock: threading.RLock = field(default_factory=threading.RLock)
    _targets: dict[tuple[str, str, int], Target] = field(default_factory=dict)

    def register(self, group: str, address: str, port: int) -> None:
        with self.lock:
            known = self._targets.get((group, address, port))
            if known is None or known.drained_at is not None:
                self._targets[group, address, port] = Target(group, address, port)

    def deregister(self, group: str, address: str, port: int, delay: float) -> bool:
        """Start draining for `delay` seconds; return False if the target was not registered."""
        with self.lock:
            target = self._targets.get((group, address, port))
            if target is None or target.drained_at is not None:
                return False
            target.state, target.reason, target.description = "draining", *_DRAINING
            target.drained_at = time.monotonic() + delay
            return True

    def of(self, group: str) -> list[Target]:
        """Return the group's targets, including draining ones; drop those that have drained."""
        now = time.monotonic()
        with self.lock:
            for key, target in list(self._targets.items()):
                if target.drained_at is not None and target.drained_at <= now:
                    del self._targets[key]
            return [target for target in self._targets.values() if target.group == group]

    def find(self, group: str, address: str, port: int) -> Target | None:
        with self.lock:
            return self._targets.get((group, address, port))

    def due(self, now: float, interval: float) -> list[Target]:
        """Return the targets to probe now; each is due again after `interval` seconds."""
        with self.lock:
            found = [
                target
                for target in self._targets.values()
                if target.drained_at is None and target.next_probe <= now
            ]
            for target in found:
                target.next_probe = now + interval
                if target.reason == _REGISTERING[0]:
                    target.reason, target.description = _CHECKING
            return found

    def record(
        self, target: Target, probe: Probe, healthy_after: int, unhealthy_after: int
    ) -> None:
        """Record one probe and change the state if a threshold is reached."""
        with self.lock:
            if target.drained_at is not None:
                return
            if probe.reason is None:
                target.passed, target.failed = target.passed + 1, 0
                if target.state == "initial" or target.passed >= healthy_after:
                    target.state, target.reason, target.description = "healthy", None, None
            else:
                target.passed, target.failed = 0, target.failed + 1
                if target.failed >= unhealthy_after:
                    target.state, target.reason, target.description = (
                        "unhealthy",
                        probe.reason,
                        probe.description,
                    )

    def states(self, group: str) -> tuple[TargetState, ...]:
        with self.lock:
            return tuple(
                TargetState(each.address, each.port, each.state, each.reason, each.description)
                for each in self.of(group)
            )
