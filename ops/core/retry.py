"""Repeat what failed for a passing reason."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from itertools import takewhile
from typing import TypeVar

from ops.core.errors import OpsError

T = TypeVar("T")


def retry(
    act: Callable[[], T],
    pauses_s: Iterable[float],
    *,
    passing: Callable[[OpsError], bool],
    report: Callable[[OpsError, float], None] = lambda error, pause_s: None,
    sleep: Callable[[float], None] = time.sleep,
) -> T:
    """The result of `act`, called again after each pause while its error is `passing`.

    Raises the first error that is not, or the last one. `report` gets the error and the pause that
    follows.

    Not the library stamina: it has no parameter for `sleep`, through which a deploy checks its lock
    and tests avoid waiting, and its hooks are of the process, not of a call.
    """
    pauses = iter(pauses_s)
    while True:
        try:
            return act()
        except OpsError as error:
            pause_s = next(pauses, None) if passing(error) else None
            if pause_s is None:
                raise
            report(error, pause_s)
        sleep(pause_s)


def repeat_until(
    read: Callable[[], T],
    good: Callable[[T], bool],
    pauses_s: Iterable[float],
    sleep: Callable[[float], None] = time.sleep,
) -> T:
    """The first `good` value of `read`, or the last one after all pauses."""
    value = read()
    for pause_s in pauses_s:
        if good(value):
            break
        sleep(pause_s)
        value = read()
    return value


def pauses_within(
    pauses_s: Iterable[float], limit_s: float, clock: Callable[[], float] = time.monotonic
) -> Iterator[float]:
    """The pauses that begin within `limit_s` from now."""
    ends = clock() + limit_s
    return takewhile(lambda _: clock() <= ends, pauses_s)
