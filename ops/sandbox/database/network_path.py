"""The path from the tasks to the database: a forwarder at each task's own address.

Emulates the VPC between a task and RDS. A task reaches PostgreSQL at its own address, which
forwards from there, so that pg_stat_activity shows each client's address; without a security group
rule that allows it, nothing answers and the client's connection times out. Differs from a VPC:
connections that are already open stay open when a rule is revoked, as tracked ones do in EC2, but
untracked ones as well; routes and network ACLs are ignored.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable

_BLOCK = 1 << 16
_OPEN_WITHIN = 5.0  # seconds


class NetworkPath:
    """Forwarders to PostgreSQL on 127.0.0.1:`port`, one for each task; `stop` ends all.

    `allowed`: whether the security groups let a task's address through.
    """

    def __init__(self, port: int, allowed: Callable[[str], bool]) -> None:
        self.port, self._allowed = port, allowed
        self._servers: dict[str, asyncio.Server] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="network-path", daemon=True
        )
        self._thread.start()

    def open(self, address: str) -> str:
        """Open the path of a task; return the address at which it finds the database.

        That is PostgreSQL's own where the task's address is not available (its port is taken).
        """
        started = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(
                lambda reader, writer: self._forward(address, reader, writer), address, self.port
            ),
            self._loop,
        )
        try:
            self._servers[address] = started.result(_OPEN_WITHIN)
        except (OSError, TimeoutError):
            return "127.0.0.1"
        return address

    def close(self, address: str) -> None:
        """Close the path of a task; its connections end with the task. Idempotent."""
        server = self._servers.pop(address, None)
        if server is not None:
            self._loop.call_soon_threadsafe(server.close)

    def stop(self) -> None:
        """End every connection and the thread. Idempotent."""
        for address in list(self._servers):
            self.close(address)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=5)

    async def _forward(
        self, address: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            if not self._allowed(address):
                await reader.read()  # nothing answers until the client gives up
                return
            there_reader, there = await asyncio.open_connection(
                "127.0.0.1", self.port, local_addr=(address, 0)
            )
        except OSError:
            return
        else:
            await asyncio.gather(_pump(reader, there), _pump(there_reader, writer))
        finally:
            writer.close()


async def _pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while block := await source.read(_BLOCK):
            target.write(block)
            await target.drain()
    with contextlib.suppress(OSError):
        target.close()
