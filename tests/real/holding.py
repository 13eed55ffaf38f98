"""A way to AWS that lets everything through but one call, which never gets there: whoever is killed meanwhile was in the middle of it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import yaml

from tests.conftest import Checkout


class Holding:
    """A TCP forwarder on loopback before AWS at `port`; the first request with `word` in it is kept back. `held` is set from then on."""

    def __init__(self, port: int, word: bytes) -> None:
        self.port, self.word = port, word
        self.held, self.over = threading.Event(), threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self.accept, daemon=True).start()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.listener.getsockname()[1]}"

    def accept(self) -> None:
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self.port))
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=self.copy, args=(one, other), daemon=True).start()

    def copy(self, one: socket.socket, other: socket.socket) -> None:
        try:
            while data := one.recv(65536):
                if self.word in data:
                    self.held.set()
                    self.over.wait()
                    return      # never sent: whoever asked is gone by now
                other.sendall(data)
        except OSError:
            pass
        finally:
            for end in (one, other):
                end.close()


@contextmanager
def holding(checkout: Checkout, word: str) -> Iterator[Holding]:
    """The checkout's tasks reach AWS by such a way until the block ends; the sandbox itself does not."""
    file = checkout.root / ".sandbox/environment.yaml"
    text = file.read_text()
    values = yaml.safe_load(text)
    way = Holding(int(values["aws"]["endpoint"].rsplit(":", 1)[1]), word.encode())
    file.write_text(yaml.safe_dump({**values, "aws": {**values["aws"], "endpoint": way.endpoint}}, sort_keys=False))
    try:
        yield way
    finally:
        file.write_text(text)
        way.over.set()
        way.listener.close()
