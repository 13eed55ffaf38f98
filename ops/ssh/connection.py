"""SSH connections to the bastion: Fabric with strict host keys and loss detection.

No command line holds a secret. What is not configured under `bastion` is read from ssh_config
(`ops.ssh.hops`). `StrictHostKeyChecking` is ignored: an unknown key is always refused.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import repeat
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ops.core.errors import ConfigError, TimedOut
from ops.core.retry import pauses_within, retry
from ops.ssh import errors, hops, relay, remote_shell, sharing
from ops.ssh.errors import ConnectionLost
from ops.ssh.port_forward import PROHIBITED, Forwarder, open_direct

if TYPE_CHECKING:
    from ops.core.config.database import Bastion
    from ops.core.config.settings import Settings

_CHUNK = 32 * 1024
_KEEPALIVE_S = 3
_LOSS_MS = 8000  # data unacknowledged for so long means a lost connection
RUN_TIMEOUT = 60.0  # seconds
_SESSION_PATIENCE_S, _SESSION_PAUSE_S = 20.0, 0.25  # for a free session of the connection
_POLL_S = 0.5  # how soon an interrupt gets through while nothing arrives


@dataclass(frozen=True)
class CommandResult:
    """The result of a command.

    `code` is -1 if a signal ended it, or the connection was `lost`.
    """

    code: int
    out: bytes
    err: bytes
    lost: bool = False


@dataclass
class Host:
    """An open connection; a context manager that closes its gateways too.

    `relay_python`: the Python there that connects to hosts behind it if sshd forbids forwarding;
    `shared`: others use the connection too, so that it stays open.
    """

    connection: Any
    where: str
    known_hosts: Sequence[Path] = ()
    forwarders: list[Forwarder] = field(default_factory=list)
    relay_python: str | None = None
    shared: bool = False

    def __enter__(self) -> Host:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def transport(self) -> Any:
        return self.connection.transport

    def is_alive(self) -> bool:
        """Whether the connection is open, as far as is known here."""
        return self.transport is not None and bool(self.transport.is_active())

    def run(
        self,
        command: str | list[str],
        stdin: bytes = b"",
        timeout_s: float = RUN_TIMEOUT,
        what: str = "a command",
    ) -> CommandResult:
        """Run a command to its end without a terminal; `stdin` is sent, then closed.

        Raises TimedOut, which names the command by `what`.
        """
        out: list[bytes] = []
        ran = self.session(command, stdin, out.append, timeout_s, what)
        return replace(ran, out=b"".join(out))

    def stream(
        self, command: str | list[str], stdin: bytes, on_line: Callable[[bytes], None]
    ) -> int:
        """Run a command, pass each line of its output to `on_line`, and return its exit code.

        Raises ConnectionLost.
        """
        rest = b""

        def take(data: bytes) -> None:
            nonlocal rest
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                on_line(line)

        ran = self.session(command, stdin, take)
        if ran.lost:
            raise ConnectionLost(f"ssh {self.where}", "the connection was lost", "run it again")
        return ran.code

    def session(
        self,
        command: str | list[str],
        stdin: bytes,
        on_out: Callable[[bytes], None],
        timeout_s: float | None = None,
        what: str = "",
    ) -> CommandResult:
        """Run a command by the account's /bin/sh, and pass its output to `on_out` as it comes.

        Raises Refused if the account runs no commands, and TimedOut.
        """
        err: list[bytes] = []
        marked = remote_shell.MarkedOutput(on_out)
        stdin = remote_shell.first_line(command) + stdin
        try:
            channel = self._open_session()
            channel.exec_command(remote_shell.COMMAND_LINE)
        except Exception:
            if not self.transport.is_active():
                return CommandResult(-1, b"", b"", lost=True)
            raise
        with _closing(channel):
            threads = [
                threading.Thread(target=each, daemon=True)
                for each in (lambda: send_stdin(channel, stdin), lambda: _read_stderr(channel, err))
            ]
            for thread in threads:
                thread.start()
            if not _read_stdout(
                channel,
                marked.take,
                time.monotonic() + timeout_s if timeout_s is not None else None,
            ):
                raise TimedOut(
                    f"ssh {self.where}: {what}",
                    f"it did not end within {timeout_s:g} s",
                    "try again",
                )
            code = (
                channel.recv_exit_status()
                if channel.exit_status_ready() or self.transport.is_active()
                else -1
            )
            threads[1].join(_POLL_S)
        lost = code == -1 and not self.transport.is_active()
        if not (marked.begun or lost):
            raise remote_shell.no_shell(self.where, what, marked.before or b"".join(err), code)
        return CommandResult(code, b"", b"".join(err), lost)

    def _open_session(self) -> Any:
        """A new channel for a command, after a wait if sshd allows no more now (MaxSessions).

        sshd counts a session until its process has ended, which may be after our channel closed.
        """

        def open_channel() -> Any:
            from paramiko.ssh_exception import ChannelException

            try:
                return self.transport.open_session(timeout=RUN_TIMEOUT)
            except ChannelException:
                raise errors.no_session(self.where, _SESSION_PATIENCE_S) from None

        return retry(
            open_channel,
            pauses_within(repeat(_SESSION_PAUSE_S), _SESSION_PATIENCE_S),
            passing=lambda error: True,
        )

    @contextmanager
    def forward(self, host: str, port: int) -> Iterator[int]:
        """A port on 127.0.0.1 that leads to `host:port` as the bastion sees it."""
        made = self.forwarded(host, port)
        try:
            yield made.port
        finally:
            made.close()

    def forwarded(self, host: str, port: int) -> Forwarder:
        """Like `forward`, but open until this connection closes.

        Raises Refused if forwarding is forbidden there, or Unreachable.
        """
        try:
            made = self._forwarder((host, port))
        except Exception as error:
            raise errors.translate_error(
                error, f"{self.where} to {host}:{port}", self.known_hosts, RUN_TIMEOUT
            ) from None
        self.forwarders.append(made)
        return made

    def _forwarder(self, to: tuple[str, int]) -> Forwarder:
        from paramiko.ssh_exception import ChannelException

        try:
            return Forwarder(lambda source: open_direct(self.transport, to, source))
        except ChannelException as error:
            if self.relay_python is None or error.code != PROHIBITED:
                raise
        python = self.relay_python
        return Forwarder(lambda source: relay.open_channel(self._open_session, python, to))

    def close(self) -> None:
        for forwarder in self.forwarders:
            forwarder.close()
        if self.shared:
            return
        hop = self.connection
        while hop is not None and not isinstance(hop, str):
            with suppress(Exception):  # a lost connection has nothing left to close
                hop.close()
            hop = hop.gateway


@contextmanager
def _closing(channel: Any) -> Iterator[None]:
    try:
        yield
    finally:
        with suppress(Exception):
            channel.close()


def send_stdin(channel: Any, stdin: bytes) -> None:
    """Send all of `stdin`, however slowly it is read.

    `_read_stdout` has set the channel's timeout, which must not end the transfer.
    """
    rest = memoryview(stdin)
    with suppress(OSError, EOFError):
        while rest:
            with suppress(TimeoutError):
                rest = rest[channel.send(rest[:_CHUNK]) :]
        channel.shutdown_write()


def _read_stderr(channel: Any, into: list[bytes]) -> None:
    with suppress(OSError, EOFError):
        while data := channel.recv_stderr(_CHUNK):
            into.append(data)


def _read_stdout(channel: Any, on_out: Callable[[bytes], None], end: float | None) -> bool:
    """Receive stdout until the channel closes; False if `end` (monotonic) comes first."""
    channel.settimeout(_POLL_S)
    while end is None or time.monotonic() < end:
        try:
            data = channel.recv(_CHUNK)
        except TimeoutError:
            continue
        if not data:
            return True
        on_out(data)
    return False


def connect(settings: Settings, *, relay: bool = True) -> Host:
    """Connect to the environment's bastion, hop by hop, or share an open connection to it.

    `relay`: reach the database through a process there if sshd forbids forwarding and
    `database.run` is remote.

    Raises ConfigError, Refused (host keys) or Unreachable.
    """
    bastion = settings.environment.bastion
    if bastion is None:
        key = f"environments.{settings.name}.bastion"
        why = "no host is configured for the connection to the database"
        raise ConfigError(
            f"environment {settings.name} has no bastion", why, f"add {key}.host to invoke.yaml"
        )
    shared = sharing.shared((str(settings.root), repr(bastion)), lambda: _open(settings, bastion))
    if shared is None:
        host = _open(settings, bastion)
    else:
        host = replace(shared, forwarders=[], shared=True)
    if relay and settings.environment.database_run == "remote":
        host.relay_python = bastion.python
    return host


def _open(settings: Settings, bastion: Bastion) -> Host:
    """Open a connection of its own."""
    try:
        connection, known_hosts = hops.build(settings.root, bastion)
    except OSError as error:
        timeout_s = bastion.connect_timeout
        raise errors.translate_error(error, bastion.host, (), timeout_s) from None
    host = Host(connection, _address(connection), known_hosts)
    try:
        _open_hop(connection, known_hosts, bastion.connect_timeout)
    except BaseException:
        host.close()
        raise
    return host


def _open_hop(connection: Any, known_hosts: Sequence[Path], timeout_s: float) -> None:
    """Open the gateways first, so that an error names the hop that failed."""
    if connection.gateway is not None and not isinstance(connection.gateway, str):
        _open_hop(connection.gateway, known_hosts, timeout_s)
    try:
        connection.open()
    except Exception as error:
        raise errors.translate_error(error, _address(connection), known_hosts, timeout_s) from None
    connection.transport.set_keepalive(_KEEPALIVE_S)
    _notice_loss(connection.transport.sock)


def _notice_loss(sock: Any) -> None:
    """Set TCP_USER_TIMEOUT on the first hop's socket, to notice a black hole within seconds."""
    if isinstance(sock, socket.socket) and hasattr(socket, "TCP_USER_TIMEOUT"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _LOSS_MS)


def _address(connection: Any) -> str:
    return f"{connection.user}@{connection.host}:{connection.port}"


__all__ = ["CommandResult", "ConnectionLost", "Host", "connect"]
