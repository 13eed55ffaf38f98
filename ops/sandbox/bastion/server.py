"""The bastion's SSH server, in an event loop of its own thread."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import signal
import sys
import threading
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import asyncssh

from ops.sandbox.bastion.keys import Keys
from ops.sandbox.contracts import OPERATOR, Component

_CHUNK = 64 * 1024
_START_TIMEOUT = 15.0  # seconds
# The bare Python: a host in the VPC has none of our libraries.
_PYTHON = """#!/bin/sh
PYTHONPATH="${{PYTHONPATH:+$PYTHONPATH:}}"{names} exec {python} "$@"
"""
_RESOLVE = """import socket

_resolve = socket.getaddrinfo


def getaddrinfo(host, *words, **more):
    return _resolve({address!r} if host == {name!r} else host, *words, **more)


socket.getaddrinfo = getaddrinfo
"""


class Bastion:
    """An SSH server on 127.0.0.1:`port`.

    `database` is its RDS name and port, and its real address.
    """

    def __init__(
        self, folder: Path, port: int, database: tuple[str, int], really: tuple[str, int]
    ) -> None:
        self.keys, self.home, self.port = Keys(folder), folder / "home", port
        self.database, self.really = database, really
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self._run, name="bastion", daemon=True)
        self.started: Future[None] = Future()
        self.commands: set[int] = set()  # process groups of commands at work
        self.clients: set[Any] = set()

    def start(self) -> Component:
        """Start the server. Raises OSError if the port is taken."""
        self.host_key, self.operator_key = self.keys.make(self.port)
        programs = self.home / "bin"
        programs.mkdir(mode=0o700, parents=True, exist_ok=True)
        python = programs / "python3"
        python.unlink(missing_ok=True)
        words = {"names": self._names(), "python": Path(sys.executable).resolve()}
        python.write_text(_PYTHON.format(**{key: shlex.quote(str(words[key])) for key in words}))
        python.chmod(0o700)
        self.thread.start()
        self.started.result(_START_TIMEOUT)
        return Component("bastion", self.stop, self.thread.is_alive)

    def stop(self) -> None:
        for group in tuple(self.commands):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGTERM)
        self.loop.call_soon_threadsafe(self._end)
        self.thread.join(5)

    def _end(self) -> None:
        """Disconnect all clients, as when a host goes down."""
        for client in tuple(self.clients):
            client.abort()
        self.loop.call_later(0.1, self.loop.stop)

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            server = self.loop.run_until_complete(self._serve())
        except BaseException as problem:
            self.started.set_exception(problem)
            return
        self.started.set_result(None)
        self.loop.run_forever()
        server.close()
        self.loop.run_until_complete(asyncio.sleep(0))
        self.loop.close()

    async def _serve(self) -> Any:
        known = asyncssh.import_authorized_keys(self.operator_key.export_public_key().decode())
        return await asyncssh.create_server(
            lambda: SshServer(self),
            "127.0.0.1",
            self.port,
            server_host_keys=[self.host_key],
            authorized_client_keys=known,
            process_factory=self._command,
            encoding=None,
            agent_forwarding=False,
            x11_forwarding=False,
            allow_pty=False,
            login_timeout=10,
            keepalive_interval=10,
        )

    async def _command(self, process: Any) -> None:
        """Run a command in a shell in the home folder, as sshd does; reject interactive shells."""
        if not process.command:
            process.stderr.write(
                b"this bastion runs commands and forwards to the database; it has no terminal\n"
            )
            process.exit(1)
            return
        child = await asyncio.create_subprocess_exec(
            "/bin/sh",
            "-c",
            process.command,
            cwd=self.home,
            env=self._environment(),
            start_new_session=True,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        self.commands.add(child.pid)
        try:
            given = asyncio.create_task(_move(process.stdin, child.stdin))
            await asyncio.gather(
                _move(child.stdout, process.stdout, end=False),
                _move(child.stderr, process.stderr, end=False),
            )
            code = await child.wait()
            given.cancel()
            process.exit(code if code >= 0 else 128 - code)
        finally:
            self.commands.discard(child.pid)

    def _environment(self) -> dict[str, str]:
        path = f"{self.home / 'bin'}:/usr/local/bin:/usr/bin:/bin"
        return {"PATH": path, "HOME": str(self.home), "USER": OPERATOR, "LANG": "C.UTF-8"}

    def _names(self) -> Path:
        """Return the folder of a module that resolves the database's name, in place of VPC DNS."""
        folder = self.home / "names"
        folder.mkdir(mode=0o700, exist_ok=True)
        known = _RESOLVE.format(name=self.database[0], address=self.really[0])
        (folder / "sitecustomize.py").write_text(known)
        return folder

    async def forward(self, reader: Any, writer: Any) -> None:
        """Forward one client's connection to the database."""
        try:
            near, far = await asyncio.open_connection(*self.really)
        except OSError:
            writer.close()
            return
        await asyncio.gather(_move(reader, far), _move(near, writer))


async def _move(reader: Any, writer: Any, *, end: bool = True) -> None:
    """Copy data until the end of the stream, then signal it with `end`."""
    with contextlib.suppress(OSError, asyncssh.Error):
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
    if end:
        with contextlib.suppress(OSError, asyncssh.Error):
            writer.close()


class SshServer(asyncssh.SSHServer):
    """The access rules: which user may connect, and where forwarding may lead."""

    def __init__(self, bastion: Bastion) -> None:
        self.bastion = bastion

    def connection_made(self, conn: Any) -> None:
        self.client = conn
        self.bastion.clients.add(conn)

    def connection_lost(self, exc: Exception | None) -> None:
        self.bastion.clients.discard(self.client)

    def begin_auth(self, username: str) -> bool:
        return True

    def public_key_auth_supported(self) -> bool:
        return True

    def connection_requested(
        self, dest_host: str, dest_port: int, orig_host: str, orig_port: int
    ) -> Any:
        if (dest_host, dest_port) != self.bastion.database:
            why = f"only the database can be reached from here, not {dest_host}:{dest_port}"
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED, why)
        return self.bastion.forward
