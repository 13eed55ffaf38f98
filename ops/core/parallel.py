"""Many looks at once: each is answered, or becomes `Unknown` with the reason; none can end the
others.

Threads of our own rather than an executor: an executor is waited for when Python exits, so Ctrl-C
would hang on the slowest look."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from ops.core.errors import OpsError, Unreachable
from ops.core.findings import Unknown
from ops.core.redaction.redact import one_line

T = TypeVar("T")
AT_ONCE = 8
# Held while a door imports a library that shares packages with another door's: docker, fabric and
# OpenSSL bring paramiko and cryptography.
# Two threads that enter such a package from different ends wait for each other, and CPython ends
# one of them with `_DeadlockError`.
importing = threading.RLock()


def gather(**calls: Callable[[], T]) -> dict[str, T | Unknown]:
    """Every call's result by its name, in the order given; what raised is `Unknown(why)`. At most 8
    run at a time.
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
    """Its result, or Unknown with the reason. An interrupt goes on: on the main thread it is the
    operator's.
    """
    try:
        return call()
    except Exception as error:
        return Unknown(reason(error))


def try_call_in_thread(call: Callable[[], T]) -> T | Unknown:
    """The same for the end of a thread of its own, where even SystemExit would be lost without a
    word.
    """
    try:
        return call()
    except BaseException as error:
        return Unknown(reason(error))


def with_timeout(call: Callable[[], T], seconds: float, what: str) -> T:
    """Its result within so many seconds; what it raises is raised here. Raises Unreachable where it
    takes longer; its thread is left.
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
    """How late this machine itself is while it holds: `late`, the most seconds by which a short
    sleep was too long.

    What is measured meanwhile is no more exact than that: threads that make clients, or other
    programs, take the processor."""

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


def reason(error: BaseException) -> str:
    """What and why of an error of ours; class and text of any other."""
    if isinstance(error, OpsError):
        return ": ".join(part for part in (error.what, error.why) if part)
    return f"{type(error).__name__}: {one_line(error)}" if str(error) else type(error).__name__
