"""The tasks' loopback addresses, `<network>.1` to `.254`, one task at a time each.

Emulates the elastic network interface that awsvpc gives each task. Differs from it: at most 254
tasks, and the addresses are in 127/8.
"""

from __future__ import annotations

import threading


class NoAddress(Exception):
    """Every address of the network is in use."""


class Addresses:
    """Allocates addresses in turn, so that each is reused as late as possible."""

    def __init__(self, network: str) -> None:
        self.network = network
        self._lock = threading.Lock()
        self._used: set[int] = set()
        self._last = 0

    def take(self) -> str:
        with self._lock:
            for step in range(1, 255):
                number = (self._last + step - 1) % 254 + 1
                if number not in self._used:
                    self._used.add(number)
                    self._last = number
                    return f"{self.network}.{number}"
        raise NoAddress(f"no free address in {self.network}.0/24")

    def give_back(self, address: str) -> None:
        with self._lock:
            self._used.discard(int(address.rpartition(".")[2]))
