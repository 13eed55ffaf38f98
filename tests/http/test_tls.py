"""The certificates that a server shows, by real handshakes on loopback: each fault told apart, and
each look bounded.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from ops.core.errors import ConfigError, Unreachable
from ops.http import tls

NOW, DAY = datetime.now(UTC), timedelta(days=1)
NAMES = ("localhost", "127.0.0.1")


@contextmanager
def serving(
    context: ssl.SSLContext | None, speak: Callable[[socket.socket], None] = lambda _: None
) -> Iterator[int]:
    """A server that shakes hands with whoever comes, or only does what `speak` says."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    plain, _ = listening.accept()
                except OSError:
                    return
                threading.Thread(target=shake, args=(plain,), daemon=True).start()

        def shake(plain: socket.socket) -> None:
            try:
                if context is None:
                    speak(plain)
                else:
                    with context.wrap_socket(plain, server_side=True) as wrapped:
                        wrapped.recv(1)
            except OSError:
                return

        threading.Thread(target=serve, daemon=True).start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)


def context_of(
    authority: trustme.CA,
    *names: str,
    begins: datetime = NOW - DAY,
    ends: datetime = NOW + 90 * DAY,
) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names, not_before=begins, not_after=ends).configure_cert(made)
    return made


@pytest.fixture
def ours(tmp_path: Path) -> tuple[trustme.CA, str]:
    authority = trustme.CA()
    file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(file))
    return authority, str(file)


def test_a_chain_is_asked_for_by_another_name(ours: tuple[trustme.CA, str]) -> None:
    """A load balancer's address with the site's certificate: well by the site's name, and for
    another host by its own.
    """
    authority, bundle = ours
    with serving(context_of(authority, "site.test")) as port:
        address = f"https://localhost:{port}"
        assert tls.chain(address, 5, bundle, "site.test").problem == ""
        assert tls.chain(address, 5, bundle).cause == "certificate_wrong_host"


def test_a_good_chain_has_its_dates(ours: tuple[trustme.CA, str]) -> None:
    """No problem; the certificate's own dates and names, in UTC; and an intermediate authority's
    too.
    """
    authority, bundle = ours
    below = authority.create_child_ca()
    with serving(context_of(below, *NAMES)) as port:
        found = tls.chain(f"https://localhost:{port}", 5, bundle)
    assert (found.problem, found.cause) == ("", "")
    assert len(found.certificates) == 2 and set(NAMES) <= set(found.certificates[0].names)
    assert found.certificates[0].ends - found.certificates[0].begins == 91 * DAY


@pytest.mark.parametrize(
    ("names", "begins", "ends", "cause"),
    [
        (NAMES, NOW - 9 * DAY, NOW - DAY, "certificate_expired"),
        (NAMES, NOW + DAY, NOW + 9 * DAY, "certificate_not_yet_valid"),
        (("other.example",), NOW - DAY, NOW + 9 * DAY, "certificate_wrong_host"),
    ],
)
@pytest.mark.parametrize("host", NAMES)
def test_what_is_wrong_is_told_apart(
    ours: tuple[trustme.CA, str],
    host: str,
    names: tuple[str, ...],
    begins: datetime,
    ends: datetime,
    cause: str,
) -> None:
    """By name and by address alike; the dates are shown although the chain is refused."""
    authority, bundle = ours
    with serving(context_of(authority, *names, begins=begins, ends=ends)) as port:
        found = tls.chain(f"https://{host}:{port}", 5, bundle)
    assert found.cause == cause and found.problem
    assert found.certificates[0].ends == ends.replace(microsecond=0)


def test_an_unknown_authority(ours: tuple[trustme.CA, str]) -> None:
    """With another bundle, and with the system's."""
    with serving(context_of(trustme.CA(), *NAMES)) as port:
        for bundle in (ours[1], None):
            assert (
                tls.chain(f"https://localhost:{port}", 5, bundle).cause == "certificate_untrusted"
            )


def test_what_is_no_tls_is_said(ours: tuple[trustme.CA, str]) -> None:
    """A server of another protocol, a closed port, a bundle that is none."""
    with (
        serving(None, lambda plain: plain.sendall(b"SSH-2.0-x\r\n")) as port,
        pytest.raises(Unreachable) as refused,
    ):
        tls.chain(f"https://localhost:{port}", 5, ours[1])
    assert "TLS" in refused.value.why
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(Unreachable, match="refused"):
        tls.chain(f"https://localhost:{port}", 5, ours[1])
    with pytest.raises(ConfigError, match="site_ca"):
        tls.chain("https://localhost:1", 5, "/nowhere/ca.pem")


def test_silence_is_bounded(ours: tuple[trustme.CA, str]) -> None:
    """A server that accepts and says nothing holds nobody."""
    began = time.monotonic()
    with serving(None, lambda plain: time.sleep(30)) as port:
        with pytest.raises(Unreachable, match="time"):
            tls.chain(f"https://localhost:{port}", 1, ours[1])
        with pytest.raises(Unreachable):
            tls.read_chain("localhost", port, 1)
    assert time.monotonic() - began < 10
