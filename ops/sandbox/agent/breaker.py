"""When the scheduler gives up or slows down: the deployment circuit breaker's threshold and the
back-off between launches. Pure.

Emulates ECS's figures: a deployment has failed at `min(max(ceil(desired / 2), 3), 200)` consecutive
failed tasks; without a breaker the scheduler retries for ever, waiting longer each time. Differs
from ECS: its first waits are a minute and more, the last 27 minutes; here they are seconds."""

from __future__ import annotations

import math

# launches before the throttle starts, and the count that makes ECS say "unable to consistently
# start tasks"
FREE_FAILURES = 3
LONGEST_WAIT = 30  # times the unit


def threshold(desired: int) -> int:
    """Failed tasks at which the circuit breaker trips."""
    return min(max(math.ceil(desired * 0.5), 3), 200)


def wait_before_launch(failures: int, unit: float) -> float:
    """Seconds to wait before the next launch after `failures` consecutive failed tasks; `unit` is
    the first wait in seconds.
    """
    if failures < FREE_FAILURES:
        return 0.0
    return float(unit * min(2 ** (failures - FREE_FAILURES), LONGEST_WAIT))
