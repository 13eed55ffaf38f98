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
from ops.ssh.port_forward import NO_CONNECTION, OPEN_TIMEOUT, PROHIBITED

_CONNECTED = b"connected"
_MAX_LINE = 4096  # bytes of an answer or of an error
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


def open_channel(open_session: Callable[[], Any], python: str, to: tuple[str, int]) -> Any:
    """A session whose channel is connected to `to`. Raises ChannelException with the reason."""
    from paramiko.ssh_exception import ChannelException

    channel = open_session()
    try:
        channel.settimeout(OPEN_TIMEOUT)
        channel.exec_command(remote_shell.COMMAND_LINE)
        channel.sendall(remote_shell.first_line([python, "-c", _SCRIPT, to[0], str(to[1])]))
        answer = _answer(channel)
        if answer != _CONNECTED:
            failed = answer.decode(errors="replace").removeprefix("failed: ")
            raise ChannelException(NO_CONNECTION, failed) if failed else _no_relay(channel, python)
    except BaseException:
        channel.close()
        raise
    channel.settimeout(None)
    return channel


def _answer(channel: Any) -> bytes:
    """The relay's first line; empty if it did not start. It takes no byte of what follows."""
    marked = remote_shell.MarkedOutput(lambda data: line.append(data))
    line: list[bytes] = []
    while byte := channel.recv(1):
        marked.take(byte)
        if line and line[-1] == b"\n":
            return b"".join(line).strip()
        if len(line) > _MAX_LINE:
            break
    return b""


def _no_relay(channel: Any, python: str) -> Exception:
    from paramiko.ssh_exception import ChannelException

    error = channel.recv_stderr(_MAX_LINE).decode(errors="replace").strip().splitlines()
    why = one_line(error[-1]) if error else "no answer"
    refused: Exception = ChannelException(PROHIBITED, f"and {python} does not run there: {why}")
    return refused
