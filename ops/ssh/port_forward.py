"""Forward a local port through an SSH connection, as `ssh -L` does.

Fabric's own forwarder binds in a thread (a client may connect too early), copies 1 KB at a time,
and hides a failed channel until the end. Here the port is bound first, each client gets its own
channel, and the first failure is recorded in `problem`.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

_CHUNK = 64 * 1024
OPEN_TIMEOUT = 15.0  # seconds
PROHIBITED, NO_CONNECTION = 1, 2  # RFC 4254 5.1


def open_direct(transport: Any, to: tuple[str, int], source: tuple[str, int]) -> Any:
    """Open a channel to `to`, as the far end of `transport` sees it. Raises paramiko's errors.

    A channel that closes as soon as it opens counts as refused.
    """
    from paramiko.ssh_exception import ChannelException, SSHException

    try:
        return transport.open_channel("direct-tcpip", to, source, timeout=OPEN_TIMEOUT)
    except SSHException as error:
        if type(error) is SSHException and transport.is_active():
            late = "Timeout" in str(error)
            raise ChannelException(
                NO_CONNECTION,
                f"no answer within {OPEN_TIMEOUT:g} s" if late else "nothing answers there",
            ) from None
        raise


class Forwarder:
    """Forward `127.0.0.1:port` by a channel of `open_channel` for each client, until `close`.

    `open_channel` takes the client's address.
    """

    def __init__(self, open_channel: Callable[[tuple[str, int]], Any]) -> None:
        self.open_channel = open_channel
        self.problem: Exception | None = None
        # fails early if forwarding is forbidden or the destination is down
        self.open_channel(("127.0.0.1", 0)).close()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, name=f"forward {self.port}", daemon=True).start()

    def accept(self) -> None:
        while True:
            try:
                client, source = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client, source), daemon=True).start()

    def serve(self, client: socket.socket, source: tuple[str, int]) -> None:
        try:
            channel = self.open_channel(source)
        except Exception as error:  # paramiko's, or the transport's end
            self.problem = self.problem or error
            client.close()
            return
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        up = threading.Thread(
            target=_copy, args=(client.recv, channel.sendall, channel.shutdown_write), daemon=True
        )
        up.start()
        _copy(channel.recv, client.sendall, lambda: client.shutdown(socket.SHUT_WR))
        up.join(OPEN_TIMEOUT)
        channel.close()
        client.close()

    def close(self) -> None:
        """Refuse clients from now on.

        Closing alone does not wake `accept`, which would go on listening, and after a suspend of
        the machine on whatever socket has this one's number by then.
        """
        with suppress(OSError):  # macOS: a listener is not connected; there closing wakes it
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


def _copy(
    take: Callable[[int], bytes], give: Callable[[bytes], Any], end: Callable[[], Any]
) -> None:
    """Copy data from one side to the other until it ends, then close the other side."""
    with suppress(OSError, EOFError):
        while data := take(_CHUNK):
            give(data)
    with suppress(OSError, EOFError):
        end()
