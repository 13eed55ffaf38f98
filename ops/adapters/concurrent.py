"""Many looks at once: each is answered, or becomes `Unknown` with the reason; none can end the others.

Threads of our own rather than an executor: an executor is waited for when Python exits, so Ctrl-C would hang on the slowest look.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from ops.errors import OpsError
from ops.model import Unknown
from ops.redact import one_line

T = TypeVar("T")
AT_ONCE = 8
# Held while a door imports a library that shares packages with another door's: docker, fabric and OpenSSL bring paramiko and cryptography.
# Two threads that enter such a package from different ends wait for each other, and CPython ends one of them with `_DeadlockError`.
importing = threading.RLock()


def gather(**calls: Callable[[], T]) -> dict[str, T | Unknown]:
    """Every call's result by its name, in the order given; what raised is `Unknown(why)`. At most 8 run at a time."""
    results: dict[str, T | Unknown] = {}
    turn = threading.Semaphore(AT_ONCE)
    given_up = threading.Event()

    def look(name: str, call: Callable[[], T]) -> None:
        with turn:
            if not given_up.is_set():
                results[name] = attempt(call)

    threads = [threading.Thread(target=look, args=item, name=f"look {item[0]}", daemon=True) for item in calls.items()]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    except BaseException:
        given_up.set()
        raise
    return {name: results[name] for name in calls}


def attempt(call: Callable[[], T]) -> T | Unknown:
    try:
        return call()
    except BaseException as error:  # in a thread of its own even SystemExit would end silently
        return Unknown(reason(error))


def reason(error: BaseException) -> str:
    """What and why of an error of ours; class and text of any other."""
    if isinstance(error, OpsError):
        return ": ".join(part for part in (error.what, error.why) if part)
    return f"{type(error).__name__}: {one_line(error)}" if str(error) else type(error).__name__
