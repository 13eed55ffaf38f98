"""The load balancer's health checks: HTTP requests to the tasks from a bounded thread pool.

Emulates ELB's checks by the target group's path, port and matcher, without following redirects, and
with ELB's reasons: Target.ResponseCodeMismatch, Target.Timeout, Target.FailedHealthChecks. Differs
from ELB: interval and timeout are `Timing.health_interval` and `Timing.health_timeout` for every
target group (thresholds are the group's own); HTTP only.
"""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from ops.sandbox.aws.elb import TargetGroup, target_group
from ops.sandbox.aws.targets import Probe, Target, TargetTable
from ops.sandbox.contracts import Timing

_PROBERS = 8
_PAUSE = 0.1  # seconds between checks for due targets


def codes_match(matcher: str, code: int) -> bool:
    """Whether an HTTP status code matches `200`, `200-299` or `200,301`."""
    for part in matcher.split(","):
        low, _, high = part.strip().partition("-")
        if low.isdigit() and int(low) <= code <= int(high or low):
            return True
    return False


def _probe(address: str, port: int, path: str, matcher: str, timeout: float) -> Probe:
    """Send one GET as the load balancer does."""
    connection = http.client.HTTPConnection(address, port, timeout=timeout)
    try:
        connection.request(
            "GET", path, headers={"User-Agent": "ELB-HealthChecker/2.0", "Connection": "close"}
        )
        code = connection.getresponse().status
    except TimeoutError:
        return Probe("Target.Timeout", "Request timed out")
    except (OSError, http.client.HTTPException):
        return Probe("Target.FailedHealthChecks", "Health checks failed")
    finally:
        connection.close()
    if codes_match(matcher, code):
        return Probe()
    return Probe("Target.ResponseCodeMismatch", f"Health checks failed with these codes: [{code}]")


class HealthChecker:
    """Probes every registered target each interval until stopped."""

    def __init__(
        self,
        table: TargetTable,
        timing: Timing,
        reaches: Callable[[str, int], bool] = lambda address, port: True,
        delay: Callable[[str], float] = lambda path: 0.0,
    ) -> None:
        self.table = table
        self.reaches = reaches  # whether the security groups let it through
        self.delay = delay  # seconds that the application needs for a path, by a fault
        self.timing = timing
        self._pool = ThreadPoolExecutor(_PROBERS, thread_name_prefix="health")
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="health", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        self._thread.join(timeout=5)
        self._pool.shutdown(wait=False, cancel_futures=True)

    def alive(self) -> bool:
        return self._thread.is_alive()

    def _loop(self) -> None:
        while not self._ended.wait(_PAUSE):
            for target in self.table.due(time.monotonic(), self.timing.health_interval):
                group = target_group(target.group)
                if group is not None:
                    self._pool.submit(self._check, target, group)

    def _check(self, target: Target, group: TargetGroup) -> None:
        port = int(group.health_port) if group.health_port.isdigit() else target.port
        late = self.delay(group.path) > self.timing.health_timeout
        if self.reaches(target.address, port) and not late:
            found = _probe(
                target.address, port, group.path, group.codes, self.timing.health_timeout
            )
        else:
            found = Probe("Target.Timeout", "Request timed out")
        self.table.record(target, found, group.healthy_after, group.unhealthy_after)
