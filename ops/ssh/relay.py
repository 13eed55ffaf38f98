"""Connections through a process on the bastion, where sshd forbids forwarding.

The process connects to the destination and copies bytes between it and the command's channel, as
`ssh HOST nc DESTINATION PORT` does. It needs Python there, which a remote run needs anyway. TLS
ends at the database, as with a forwarded port.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ops.core.redaction.redact import one_line
from ops.ssh import remote_shell
from ops.ssh.port_forward import NO_CONNECTION, OPEN_TIMEOUT

_CONNECTED = b"connected"
_MAX_LINE = 4096  # bytes of an answer or of an error
_MAX_QUOTE = 300  # characters of it in a message
_SCRIPT = """
import os, socket, sys, threading
try:
    peer = socket.create_connection((sys.argv[1], int(sys.argv[2])), 10)
except OSError as error:
    print("failed:", error, flush=True)
    sys.exit(1)
peer.settimeout(None)
peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
os.write(1, b"connected\\n")
def receive():
    try:
        while True:
            data = memoryview(peer.recv(65536))
            if not data:
                break
            while data:
                data = data[os.write(1, data):]
    except OSError:
        pass
    os._exit(0)
threading.Thread(target=receive, daemon=True).start()
try:
    while True:
        data = os.read(0, 65536)
        if not data:
            break
        peer.sendall(data)
    peer.shutdown(socket.SHUT_WR)
except OSError:
    os._exit(1)
threading.Event().wait(30)
"""


class NoRelay(Exception):
    """Why no process there can replace a forwarding; `instead`: what an operator may change."""

    def __init__(self, why: str, instead: str) -> None:
        self.instead = instead
        super().__init__(why)


def open_channel(open_session: Callable[[], Any], python: str, to: tuple[str, int]) -> Any:
    """A session whose channel is connected to `to`.

    Raises NoRelay, and ChannelException if the host does not reach `to`.
    """
    from paramiko.ssh_exception import ChannelException

    channel = open_session()
    try:
        channel.settimeout(OPEN_TIMEOUT)
        channel.exec_command(remote_shell.COMMAND_LINE)
        channel.sendall(remote_shell.first_line([python, "-c", _SCRIPT, to[0], str(to[1])]))
        answer, begun = _answer(channel)
        if answer != _CONNECTED:
            failed = answer.decode(errors="replace").removeprefix("failed: ")
            if begun and failed:
                raise ChannelException(NO_CONNECTION, failed)
            raise _no_relay(channel, python, failed, begun)
    except BaseException:
        channel.close()
        raise
    channel.settimeout(None)
    return channel


def _answer(channel: Any) -> tuple[bytes, bool]:
    """The relay's first line, and whether /bin/sh ran at all.

    The line is empty if the relay did not start; without /bin/sh it is what the login shell
    printed. It takes no byte of what follows.
    """
    marked = remote_shell.MarkedOutput(lambda data: line.append(data))
    line: list[bytes] = []
    while byte := channel.recv(1):
        marked.take(byte)
        if line and line[-1] == b"\n":
            return b"".join(line).strip(), True
        if len(line) > _MAX_LINE:
            break
    return (b"", True) if marked.begun else (marked.before.strip(), False)


def _no_relay(channel: Any, python: str, printed: str, begun: bool) -> NoRelay:
    errors = channel.recv_stderr(_MAX_LINE).decode(errors="replace").strip().splitlines()
    why = one_line((errors[-1] if errors else printed)[:_MAX_QUOTE]) or "no answer"
    if begun:
        return NoRelay(
            f"{python} does not run there: {why}", "install Python there (bastion.python)"
        )
    return NoRelay(
        f"the account runs no commands (its login shell or ForceCommand): {why}",
        "set bastion.user to an account with a shell",
    )
