"""Identify this process, so that another run on this machine can tell whether it is alive.

A host name alone does not identify a machine (two laptops may share one, two containers a host), so
the name, the boot and the process-id namespace do together. On a system without them (macOS) no
process ever counts as gone, and a lock's expiry decides.
"""

from __future__ import annotations

import getpass
import hashlib
import os
import socket
from pathlib import Path


def owner() -> str:
    """The login name, or `unknown` if the system has none (a container's bare user id)."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


def host() -> str:
    return socket.gethostname()


def process() -> str:
    """`PLACE/PID` of this process, comparable only on the same machine, boot and namespace.

    Empty if the system does not provide them.
    """
    place = here()
    return f"{place}/{os.getpid()}" if place else ""


def here() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
        namespace = Path("/proc/self/ns/pid").readlink()
    except OSError:
        return ""
    return hashlib.sha256(f"{host()} {boot} {namespace}".encode()).hexdigest()[:16]


def is_gone(process: str) -> bool:
    """Whether `process` ran here and has ended; False if it ran elsewhere or is unknown."""
    place, _, pid = process.partition("/")
    if not place or place != here() or not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
