"""The deployment circuit breaker's threshold and the back-off between launches.

Pure.

Emulates ECS's figures: a deployment fails after `min(max(ceil(desired / 2), 3), 200)` consecutive
failed tasks; without a breaker the scheduler retries for ever, with growing pauses. Differs from
ECS: its pauses grow from a minute to 27 minutes; here they are seconds.
"""

from __future__ import annotations

import math

# launches before the throttle starts, and the count that makes ECS say "unable to consistently
# start tasks"
FREE_FAILURES = 3
_LONGEST_WAIT = 30  # times the unit


def threshold(desired: int) -> int:
    """Return the number of failed tasks at which the circuit breaker trips."""
    return min(max(math.ceil(desired * 0.5), 3), 200)


def wait_before_launch(failures: int, unit: float) -> float:
    """Return the seconds to wait before the next launch after consecutive failed tasks.

    `unit` is the first pause in seconds.
    """
    if failures < FREE_FAILURES:
        return 0.0
    return float(unit * min(2 ** (failures - FREE_FAILURES), _LONGEST_WAIT))
