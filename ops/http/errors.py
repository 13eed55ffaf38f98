"""Why an HTTP request failed, in one phrase: name, certificate, connection or time.

The reason is found in the chain of causes of an httpx exception.
"""

from __future__ import annotations

import socket
import ssl
import sys
from collections.abc import Iterator
from ipaddress import ip_address

from ops.core.redaction.redact import one_line

# httpx imports its own command line if it can, and with it click, rich and pygments: 0.1 s per
# process
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]

# OpenSSL's X509_V_ERR codes in words
_CERTIFICATE = {
    9: "is not valid yet",
    10: "has expired",
    18: "is self-signed",
    19: "comes from a self-signed authority in its chain",
    20: "comes from an authority that is not known here",
    62: "is for another host name",
    64: "is for another address",
}
_CERTIFICATE_CAUSES = {
    9: "certificate_not_yet_valid",
    10: "certificate_expired",
    62: "certificate_wrong_host",
    64: "certificate_wrong_host",
}


def problem(error: BaseException) -> str:
    """The reason for an httpx error, or any other, as a phrase."""
    for cause in _chain(error):
        if isinstance(cause, socket.gaierror):
            return f"the name cannot be resolved (DNS: {cause.strerror or cause})"
        if isinstance(cause, ssl.SSLCertVerificationError):
            return (
                f"TLS: the certificate {_CERTIFICATE.get(cause.verify_code, 'is not accepted')} "
                f"({one_line(cause.verify_message)})"
            )
        if isinstance(cause, ssl.SSLError):
            return f"TLS: {one_line(cause.reason or cause)}"
        if isinstance(cause, ConnectionRefusedError):
            return "connection refused: nothing listens there"
        if isinstance(cause, ConnectionResetError):
            return "the connection was reset"
    return _phrase(error)


def cause(error: BaseException) -> str:
    """The reason as a single word, for findings."""
    for each in _chain(error):
        if isinstance(each, socket.gaierror):
            return "name_unresolved"
        if isinstance(each, ssl.SSLCertVerificationError):
            return _CERTIFICATE_CAUSES.get(each.verify_code, "certificate_untrusted")
        if isinstance(each, ssl.SSLError):
            return "tls_failed"
        if isinstance(each, ConnectionRefusedError):
            return "connection_refused"
    return "page_hangs" if "Timeout" in type(error).__name__ else "no_answer"


def _phrase(error: BaseException) -> str:
    named = {
        "ConnectTimeout": "no connection in time",
        "ReadTimeout": "connected, but no answer in time",
        "WriteTimeout": "connected, but the request could not be sent in time",
        "PoolTimeout": "no connection in time",
        "RemoteProtocolError": "the answer broke off or is no HTTP",
        "UnsupportedProtocol": "the address must start with http:// or https://",
    }
    name = type(error).__name__
    if name in named and "Timeout" in name:  # its text is only "timed out"
        return named[name]
    return f"{named.get(name, name)} ({one_line(error)})" if str(error) else named.get(name, name)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def is_loopback(host: str) -> bool:
    """Whether `host` (a name or an address, without port) is this machine."""
    host = host.strip("[]").lower()
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
