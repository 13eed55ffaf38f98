"""Ports and the tasks' network: stable across restarts, never shared by two sandboxes.

Both are derived from the checkout's path and checked by binding. Differs from AWS: a VPC is a /24
of 127/8.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import itertools
import socket
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from ops.core.errors import OpsError
from ops.sandbox.contracts import Ports

FIRST, COUNT = 20_000, 12_000  # below the ports that systems give to outgoing connections
_NETWORKS = (range(64, 127), range(1, 255))
_CLAIM = 65_000  # on <network>.254, held while the sandbox lives
_NAMES = tuple(field.name for field in fields(Ports) if field.name != "network")


@dataclass
class Addresses:
    """The chosen addresses; `claim` reserves the network until this process ends."""

    ports: Ports
    control: int
    claim: socket.socket


def choose(root: Path, known: Ports | None) -> Addresses:
    """Choose addresses for the sandbox at `root`, preferring `known` ones. Raises OpsError."""
    seed = int.from_bytes(hashlib.sha256(str(root.resolve()).encode()).digest()[:6])
    network, claim = _network(seed, known)
    taken: set[int] = set()
    candidates = ((FIRST + (seed + step) % COUNT) for step in range(COUNT))
    chosen: dict[str, Any] = {
        name: _port(getattr(known, name, None) or None, candidates, taken) for name in _NAMES
    }
    return Addresses(
        replace(Ports(**chosen), network=network), _port(None, candidates, taken), claim
    )


def _port(preferred: int | None, candidates: Iterator[int], taken: set[int]) -> int:
    for port in itertools.chain([preferred], candidates):
        if port is not None and port not in taken and _free(port):
            taken.add(port)
            return port
    raise OpsError(
        "the sandbox found no free port",
        f"{FIRST} to {FIRST + COUNT} on 127.0.0.1 are in use",
        "stop the programs listening there",
    )


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return True
    return False


def _network(seed: int, known: Ports | None) -> tuple[str, socket.socket]:
    seconds, thirds = _NETWORKS
    derived = [
        f"127.{seconds[(seed + step) % len(seconds)]}.{thirds[(seed // 64 + step) % len(thirds)]}"
        for step in range(500)
    ]
    for network in ([known.network] if known else []) + derived:
        claim = socket.socket()
        try:
            claim.bind((f"{network}.254", _CLAIM))
            claim.listen(1)
        except OSError as exc:
            claim.close()
            if exc.errno == errno.EADDRNOTAVAIL:
                raise OpsError(
                    f"this system has no loopback address {network}.254",
                    "each task needs an address of its own in 127/8 (Linux has them)",
                    "run the sandbox on Linux, or in a Linux container",
                ) from exc
            continue
        return network, claim
    raise OpsError(
        "the sandbox found no free network in 127/8",
        "hundreds of sandboxes are running",
        "run inv sandbox.down in some of them",
    )
