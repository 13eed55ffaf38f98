"""What the tests of several packages make: free ports, commands, connections."""

from __future__ import annotations

import os
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg


def free_port() -> int:
    """A TCP port on 127.0.0.1 that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def stop_listening(listener: socket.socket) -> None:
    """Close a listener, also one in whose `accept` a thread waits: closing alone leaves it open."""
    with suppress(OSError):
        listener.shutdown(socket.SHUT_RDWR)
    listener.close()


def inv_command(root: Path, *words: str) -> list[str]:
    """The command line of `inv WORDS` in the checkout at `root`."""
    return [sys.executable, "-m", "invoke", "--search-root", str(root), *words]


def plain_environment(**more: str) -> dict[str, str]:
    """PATH and HOME of this process, and `more`."""
    return {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ} | more


def connect(login: Any, **options: Any) -> psycopg.Connection[Any]:
    """A PostgreSQL session with a sandbox's login (`host`, `port`, `database`, `username`, …)."""
    return psycopg.connect(
        host=login.host,
        port=login.port,
        dbname=login.database,
        user=login.username,
        password=login.password,
        **options,
    )
