"""The certificate chain that a server presents, and its problems (RFC 5280, RFC 9525).

Two handshakes: one verifies the chain, as a browser would, and the other only reads it, since the
first does not reveal a rejected chain.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from ops.core.errors import Unreachable
from ops.core.parallel import importing
from ops.core.redaction.redact import one_line
from ops.http import errors
from ops.http.client import context

_PORT = 443


@dataclass(frozen=True)
class Certificate:
    """A certificate of a chain; `begins` and `ends` are in UTC."""

    subject: str
    issuer: str
    begins: datetime
    ends: datetime
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Chain:
    """The certificate chain of a host, the server's own certificate first.

    `problem` is why a browser would reject it, and `cause` the same as a single word.
    """

    host: str
    certificates: tuple[Certificate, ...]
    problem: str = ""
    cause: str = ""


def chain(
    address: str, timeout: float, authority: str | None = None, name: str | None = None
) -> Chain:
    """Read and verify the certificate chain at an https:// address.

    `authority` is a CA bundle (None: the system's). `name` is the host name to request (SNI) and to
    verify if it differs from the address. Raises Unreachable or ConfigError.
    """
    parts = urlsplit(address)
    host, port = parts.hostname or "", parts.port or _PORT
    trusted = context(authority)
    problem, cause = _verification_problem(host, port, timeout, trusted, name or host)
    return Chain(name or host, read_chain(host, port, timeout, name or host), problem, cause)


def _verification_problem(
    host: str, port: int, timeout: float, trusted: ssl.SSLContext, name: str
) -> tuple[str, str]:
    """Why the chain is rejected, or "" if it is accepted."""
    try:
        with (
            socket.create_connection((host, port), timeout) as plain,
            trusted.wrap_socket(plain, server_hostname=name),
        ):
            return "", ""
    except ssl.SSLCertVerificationError as error:
        return errors.problem(error), errors.cause(error)
    except OSError as error:
        raise _unreachable(host, port, error) from None


def read_chain(host: str, port: int, timeout: float, name: str = "") -> tuple[Certificate, ...]:
    """Read the certificate chain without verifying it."""
    with importing:
        from OpenSSL import SSL

    reading = SSL.Context(SSL.TLS_CLIENT_METHOD)
    reading.set_verify(SSL.VERIFY_NONE, lambda *_: True)
    try:
        with socket.create_connection((host, port), timeout) as plain:
            plain.settimeout(None)  # pyOpenSSL takes a socket with a timeout for a non-blocking one
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _time_value(timeout))
            connection = SSL.Connection(reading, plain)
            connection.set_tlsext_host_name((name or host).encode("idna"))
            connection.set_connect_state()
            connection.do_handshake()
            found: Sequence[Any] = connection.get_peer_cert_chain() or ()
            return tuple(_certificate(each.to_cryptography()) for each in found)
    except (OSError, SSL.Error) as error:
        raise _unreachable(host, port, error) from None


def _time_value(seconds: float) -> bytes:
    """`struct timeval`, as SO_RCVTIMEO takes it."""
    import struct

    return struct.pack("ll", int(seconds), int(seconds % 1 * 1_000_000))


def _certificate(found: Any) -> Certificate:
    from cryptography import x509

    try:
        named = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names = tuple(str(getattr(each, "value", each)) for each in named)
    except x509.ExtensionNotFound:
        names = ()
    return Certificate(
        one_line(found.subject.rfc4514_string()),
        one_line(found.issuer.rfc4514_string()),
        found.not_valid_before_utc.astimezone(UTC),
        found.not_valid_after_utc.astimezone(UTC),
        names,
    )


def _unreachable(host: str, port: int, error: BaseException) -> Unreachable:
    return Unreachable(
        f"TLS with {host}:{port}",
        errors.problem(error),
        "check the address, and whether it speaks TLS",
    )
