"""The site's certificates: a CA of this sandbox (`.sandbox/site-ca.pem`) and its leaf.

Emulates ACM's certificate before CloudFront. Differs from it: the CA is trusted only where
configured, it is created again at each `up`, nothing is renewed, and a change applies to the next
connection.
"""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

_NAMES = ("127.0.0.1", "localhost", "davidshaevel.com", "www.davidshaevel.com")
_DAY = timedelta(days=1)


class Certificates:
    """One CA and the TLS context of the HTTPS site."""

    def __init__(self, authority: Path) -> None:
        self.authority = authority
        self._ca = trustme.CA(organization_name="sandbox")
        authority.write_bytes(self._ca.cert_pem.bytes())
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.show()

    def show(self, kind: str = "valid") -> None:
        """Serve a certificate of this kind.

        The kinds: valid, expired, early (not yet valid), other-host, self-signed.
        """
        if kind == "self-signed":
            _self_signed().configure_cert(self.context)
            return
        now = datetime.now(UTC)
        begins, ends = {
            "expired": (now - 90 * _DAY, now - _DAY),
            "early": (now + _DAY, now + 90 * _DAY),
        }.get(kind, (now - _DAY, now + 90 * _DAY))
        names = ("other.example",) if kind == "other-host" else _NAMES
        self._ca.issue_cert(*names, not_before=begins, not_after=ends).configure_cert(self.context)


def _self_signed() -> trustme.LeafCert:
    """Create a self-signed certificate for the site's names."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "davidshaevel.com")])
    now = datetime.now(UTC)
    alternatives = x509.SubjectAlternativeName(
        [
            x509.IPAddress(ip_address(each)) if each[0].isdigit() else x509.DNSName(each)
            for each in _NAMES
        ]
    )
    made = x509.CertificateBuilder(
        name, name, key.public_key(), x509.random_serial_number(), now - _DAY, now + 90 * _DAY
    )
    shown = made.add_extension(alternatives, critical=False).sign(key, hashes.SHA256())
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return trustme.LeafCert(secret, shown.public_bytes(Encoding.PEM), [])
