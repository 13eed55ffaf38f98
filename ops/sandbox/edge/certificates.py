"""The site's certificates: an authority of this sandbox's own (`.sandbox/site-ca.pem`), and what the TLS twin of the site shows.

Emulates ACM's certificate before CloudFront. Differs from it: nobody trusts the authority but who is told to, it is made anew at each `up`,
nothing is renewed, and a change counts for the next connection.
"""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme

NAMES = ("127.0.0.1", "localhost", "davidshaevel.com", "www.davidshaevel.com")
DAY = timedelta(days=1)


class Certificates:
    """One authority and the context that the TLS front serves with."""

    def __init__(self, authority: Path) -> None:
        self.authority = authority
        self._ca = trustme.CA(organization_name="sandbox")
        authority.write_bytes(self._ca.cert_pem.bytes())
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.show()

    def show(self, kind: str = "valid") -> None:
        """Serve a certificate that is valid | expired | early (not yet valid) | other-host | self-signed (of another authority)."""
        now = datetime.now(UTC)
        begins, ends = {"expired": (now - 90 * DAY, now - DAY), "early": (now + DAY, now + 90 * DAY)}.get(kind, (now - DAY, now + 90 * DAY))
        ca = trustme.CA(organization_name="nobody") if kind == "self-signed" else self._ca
        names = ("other.example",) if kind == "other-host" else NAMES
        ca.issue_cert(*names, not_before=begins, not_after=ends).configure_cert(self.context)
