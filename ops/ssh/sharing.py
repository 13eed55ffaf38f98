"""Share a connection to a bastion, or a tunnel, between all that need it during one task.

Health, preflight and migrations reach the database by themselves, partly at the same time: without
sharing, each would open, authenticate and audit a connection of its own.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Generic, Protocol, TypeVar


class _Connection(Protocol):
    def is_alive(self) -> bool: ...
    def close(self) -> None: ...


T = TypeVar("T", bound=_Connection)


class SharedConnections(Generic[T]):
    """Connections by key, each opened once, and again once it is lost. Safe between threads.

    A lost connection is closed before the next one is opened.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._opened: dict[Hashable, Future[T]] = {}
        self._closed = False

    def get(self, key: Hashable, open_connection: Callable[[], T]) -> T:
        """The open connection of this key.

        Threads that ask while it is being opened wait for it, and get its error if it fails.
        """
        with self._lock:
            found = self._opened.get(key)
            lost = found.result() if found and found.done() else None
            lost = lost if lost and not lost.is_alive() else None
            ours = found is None or lost is not None
            if ours:
                found = self._opened[key] = Future()
        assert found is not None
        if not ours:
            return found.result()
        try:
            if lost:
                lost.close()
            opened = open_connection()
        except BaseException as error:
            with self._lock:
                self._opened.pop(key, None)
            found.set_exception(error)
            raise
        with self._lock:
            found.set_result(opened)
            late = self._closed
        if late:  # of a read that was given up
            opened.close()
        return opened

    def close(self) -> None:
        """Close all connections, also those that are being opened."""
        with self._lock:
            self._closed = True
            opened = [each.result() for each in self._opened.values() if each.done()]
            self._opened.clear()
        for each in opened:
            each.close()


_active: list[SharedConnections[_Connection]] = []


@contextmanager
def shared_connections() -> Iterator[None]:
    """Share connections while the context is open; the innermost context counts."""
    own: SharedConnections[_Connection] = SharedConnections()
    _active.append(own)
    try:
        yield
    finally:
        _active.remove(own)
        own.close()


def shared(key: Hashable, open_connection: Callable[[], T]) -> T | None:
    """The shared connection of this key; None outside of `shared_connections`."""
    pool = _active[-1] if _active else None
    return pool.get(key, open_connection) if pool else None  # type: ignore[return-value]
