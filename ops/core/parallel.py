"""Run calls in threads; each returns its result, or `Unknown` with the reason.

These are plain threads, not an executor: Python waits for an executor when it exits, so Ctrl-C
would hang on the slowest read.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, ParamSpec, TypeVar, cast

from ops.core.errors import OpsError, Unreachable
from ops.core.findings import Denial, Unknown
from ops.core.text import format_error

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
P = ParamSpec("P")
AT_ONCE = 8
# Held while importing a library that shares packages with others: docker, fabric and OpenSSL import
# paramiko and cryptography. Two threads that import such a package from different ends deadlock,
# and CPython ends one of them with `_DeadlockError`.
importing = threading.RLock()


@dataclass(frozen=True)
class Call(Generic[T]):
    """A call to run among others. `lane`: calls of one lane share its slots."""

    run: Callable[[], T]
    name: str
    lane: str = ""


def gather(**calls: Callable[[], T]) -> dict[str, T | Unknown]:
    """The result of every call by its name, in the given order; `Unknown(why)` for an error.

    For calls of one type; `Reads` runs calls of different types.
    """
    results = run_calls([Call(call, f"read {name}") for name, call in calls.items()], AT_ONCE)
    return {name: _finished(result) for name, result in zip(calls, results, strict=True)}


def run_calls(
    calls: Sequence[Call[T]], at_once: int, deadline_s: float | None = None
) -> list[T | Unknown | None]:
    """The result of each call, in order; None for one that has no result after `deadline_s`.

    At most `at_once` calls of a lane run at a time. Late calls are abandoned, and the waiting ones
    are not started.
    """
    results: list[T | Unknown | None] = [None] * len(calls)
    slots = {call.lane: threading.Semaphore(at_once) for call in calls}
    given_up = threading.Event()
    ends = None if deadline_s is None else time.monotonic() + deadline_s

    def run_in_slot(position: int, call: Call[T]) -> None:
        with slots[call.lane]:
            if not given_up.is_set():
                results[position] = try_call_in_thread(call.run)

    threads = [
        threading.Thread(target=run_in_slot, args=each, name=each[1].name, daemon=True)
        for each in enumerate(calls)
    ]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(None if ends is None else max(0.0, ends - time.monotonic()))
    finally:
        given_up.set()
    return list(results)


def _finished(result: T | Unknown | None) -> T | Unknown:
    return cast("T | Unknown", result)  # without a deadline each call has ended: None is its result


def try_call(call: Callable[[], T]) -> T | Unknown:
    """The result of a call, or Unknown with the reason.

    An interrupt passes through: on the main thread it comes from the operator.
    """
    try:
        return call()
    except Exception as error:
        return unknown(error)


def try_call_in_thread(call: Callable[[], T]) -> T | Unknown:
    """The result of a call, or Unknown, also for SystemExit and interrupts.

    For the end of a thread, where such an exception would be lost silently.
    """
    try:
        return call()
    except BaseException as error:
        return unknown(error)


class BackgroundCall(Generic[T]):
    """A call in a daemon thread, from its creation on; `result` waits for it."""

    def __init__(self, call: Callable[[], T], name: str) -> None:
        self._call, self._name = call, name
        self._results: list[T] = []
        self._errors: list[BaseException] = []
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._results.append(self._call())
        except BaseException as error:
            self._errors.append(error)

    def result(self, timeout_s: float | None = None) -> T:
        """The result of the call; raises its error.

        Raises Unreachable if there is none after `timeout_s`, and abandons the thread.
        """
        self._thread.join(timeout_s)
        if self._errors:
            raise self._errors[0]
        if not self._results:
            raise Unreachable(self._name, f"no answer within {timeout_s:.3g} s", "try again")
        return self._results[0]


class Read(Generic[T_co]):
    """The result of one call of `Reads`, typed as the call is."""

    def __init__(self, call: BackgroundCall[T_co | Unknown]) -> None:
        self._call = call

    @property
    def value(self) -> T_co | Unknown:
        """The result, or `Unknown` with the reason; waits for the call if it is still running."""
        return self._call.result()


class Reads:
    """Calls that run concurrently, at most 8 at a time, each with a typed result.

    Use it as a context manager: it ends when all calls have. An exception in its body abandons the
    calls that have not started.

        with Reads() as reads:
            state = reads.submit(ecs.service, cloud, cluster, name)
        state.value  # ServiceState | None | Unknown
    """

    def __init__(self) -> None:
        self._turn = threading.Semaphore(AT_ONCE)
        self._given_up = threading.Event()
        self._calls: list[BackgroundCall[Any]] = []

    def __enter__(self) -> Reads:
        return self

    def __exit__(self, kind: type[BaseException] | None, *raised: object) -> None:
        try:
            if kind is None:
                for call in self._calls:
                    call.result()
        finally:
            self._given_up.set()

    def submit(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Read[T]:
        """Start the call in a thread of its own."""

        def run() -> T | Unknown:
            with self._turn:
                if self._given_up.is_set():
                    return Unknown("not read")
                return try_call_in_thread(partial(call, *args, **kwargs))

        name = getattr(call, "__name__", "call")
        running: BackgroundCall[T | Unknown] = BackgroundCall(run, f"read {name}")
        self._calls.append(running)
        return Read(running)


def with_timeout(call: Callable[[], T], seconds: float, what: str) -> T:
    """The result of a call within `seconds`; an error of the call is raised here.

    Raises Unreachable if it takes longer, and abandons its thread.
    """
    return BackgroundCall(call, what).result(seconds)


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


class NotRead(Unreachable):
    """A value that was not read because the one it depends on is unknown."""

    def __init__(self, what: str, fact: Unknown) -> None:
        super().__init__(what, fact.why)
        if fact.denied:
            self.denied_to, self.denied_action = fact.denied.who, fact.denied.action
        self.login = fact.login


def unknown(error: BaseException) -> Unknown:
    """The error as an unknown fact, with the missing permission or login if that is the reason."""
    if not isinstance(error, OpsError):
        return Unknown(format_error(error))
    denied = Denial(error.denied_to, error.denied_action) if error.denied_action else None
    return Unknown(format_error(error), denied, error.login)
