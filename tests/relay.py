"""A way that can be cut, and that can hold back one call: a TCP relay on loopback, before AWS or a
database.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from tests.checkout import Checkout
from tests.factories import stop_listening

ENVIRONMENT = ".sandbox/environment.yaml"


class Relay:
    """Everything goes through to `port` of this machine; not while `cut` is set, and not the first
    `refused` connections.

    The first bytes with `word` in them are kept back: `held` is set from then on, until `over`.
    Whoever asked is gone by then."""

    def __init__(self, port: int, word: bytes | None = None, refused: int = 0) -> None:
        self.to, self.word, self.refused = port, word, refused
        self.accepted = 0
        self.cut, self.held, self.over = threading.Event(), threading.Event(), threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self) -> None:
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            if self.cut.is_set() or self.refused:
                self.refused = max(0, self.refused - 1)
                near.close()
                continue
            self.accepted += 1
            far = socket.create_connection(("127.0.0.1", self.to))
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=self.copy, args=(one, other), daemon=True).start()

    def copy(self, one: socket.socket, other: socket.socket) -> None:
        try:
            while not self.cut.is_set() and (data := one.recv(65536)):
                if self.word and self.word in data:
                    self.held.set()
                    self.over.wait()
                    return
                other.sendall(data)
        except OSError:
            pass
        finally:
            for end in (one, other):
                end.close()

    def close(self) -> None:
        self.over.set()
        stop_listening(self.listener)


@contextmanager
def before_aws(checkout: Checkout, word: bytes | None = None) -> Iterator[Relay]:
    """The checkout's tasks reach AWS by a relay until the block ends; the sandbox itself does
    not.
    """
    values = _environment(checkout)
    way = Relay(int(values["aws"]["endpoint"].rsplit(":", 1)[1]), word)
    values["aws"]["endpoint"] = f"http://127.0.0.1:{way.port}"
    with _by(way, checkout, values):
        yield way


@contextmanager
def before_bastion(checkout: Checkout) -> Iterator[Relay]:
    """The same for the sandbox's bastion, whose key is known at the relay's port too."""
    values = _environment(checkout)
    bastion = values["bastion"]
    way = Relay(int(bastion["port"]))
    known = Path(checkout.root, bastion["known_hosts"])
    copy = known.with_name("known_hosts.relay")
    copy.write_text(known.read_text().replace(f":{bastion['port']} ", f":{way.port} "))
    values["bastion"] = {**bastion, "port": way.port, "known_hosts": str(copy)}
    with _by(way, checkout, values):
        yield way


def _environment(checkout: Checkout) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((checkout.root / ENVIRONMENT).read_text())
    return found


@contextmanager
def _by(way: Relay, checkout: Checkout, values: dict[str, Any]) -> Iterator[None]:
    """The sandbox's environment with these values until the block ends."""
    file = checkout.root / ENVIRONMENT
    text = file.read_text()
    file.write_text(yaml.safe_dump(values, sort_keys=False))
    try:
        yield
    finally:
        file.write_text(text)
        way.close()
