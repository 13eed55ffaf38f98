"""Run many reads at once; each returns its result, or `Unknown` with the reason.

These are plain threads, not an executor: Python waits for an executor when it exits, so Ctrl-C
would hang on the slowest read.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from ops.core.errors import Unreachable
from ops.core.findings import Unknown
from ops.core.text import format_error

T = TypeVar("T")
AT_ONCE = 8
# Held while importing a library that shares packages with others: docker, fabric and OpenSSL import
# paramiko and cryptography. Two threads that import such a package from different ends deadlock,
# and CPython ends one of them with `_DeadlockError`.
importing = threading.RLock()


def gather(**calls: Callable[[], T]) -> dict[str, T | Unknown]:
    """The result of every call by its name, in the given order; `Unknown(why)` for an error.

    At most 8 calls run at a time.
    """
    results: dict[str, T | Unknown] = {}
    turn = threading.Semaphore(AT_ONCE)
    given_up = threading.Event()

    def run_one(name: str, call: Callable[[], T]) -> None:
        with turn:
            if not given_up.is_set():
                results[name] = try_call_in_thread(call)

    threads = [
        threading.Thread(target=run_one, args=item, name=f"read {item[0]}", daemon=True)
        for item in calls.items()
    ]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    except BaseException:
        given_up.set()
        raise
    return {name: results[name] for name in calls}


def try_call(call: Callable[[], T]) -> T | Unknown:
    """The result of a call, or Unknown with the reason.

    An interrupt passes through: on the main thread it comes from the operator.
    """
    try:
        return call()
    except Exception as error:
        return Unknown(format_error(error))


def try_call_in_thread(call: Callable[[], T]) -> T | Unknown:
    """The result of a call, or Unknown, also for SystemExit and interrupts.

    For the end of a thread, where such an exception would be lost silently.
    """
    try:
        return call()
    except BaseException as error:
        return Unknown(format_error(error))


def with_timeout(call: Callable[[], T], seconds: float, what: str) -> T:
    """The result of a call within `seconds`; an error of the call is raised here.

    Raises Unreachable if it takes longer, and abandons its thread.
    """
    found: list[T] = []
    problem: list[BaseException] = []

    def take() -> None:
        try:
            found.append(call())
        except BaseException as error:
            problem.append(error)

    thread = threading.Thread(target=take, name=what, daemon=True)
    thread.start()
    thread.join(seconds)
    if problem:
        raise problem[0]
    if not found:
        raise Unreachable(what, f"no answer within {seconds:.3g} s", "try again")
    return found[0]


class SchedulingDelay:
    """Measure how late this machine itself is, while this context is open.

    `late` is the longest time in seconds by which a short sleep was too long. Other measurements
    made at the same time are no more exact than that: threads that create clients, or other
    programs, use the processor.
    """

    TICK_S = 0.02

    def __init__(self) -> None:
        self.late = 0.0
        self._over = threading.Event()

    def __enter__(self) -> SchedulingDelay:
        threading.Thread(target=self._tick, name="metronome", daemon=True).start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._over.set()

    def _tick(self) -> None:
        while not self._over.is_set():
            began = time.monotonic()
            time.sleep(self.TICK_S)
            self.late = max(self.late, time.monotonic() - began - self.TICK_S)
