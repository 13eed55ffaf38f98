"""Who may connect to the sandbox's PostgreSQL: pg_hba.conf, and TLS when it is required.

Emulates RDS's parameter rds.force_ssl: connections without TLS find no entry in pg_hba.conf, in
PostgreSQL's own words. Differs from RDS: TLS is off unless it is required, and the certificate is
self-signed.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from ops.postgres.server.account import Account
from ops.postgres.server.cluster import ADMIN, write_private

_LOOPBACK = "127.0.0.0/8"  # tasks connect from their own addresses
_PLAIN = f"host all all {_LOOPBACK} scram-sha-256\n"
_TLS_ONLY = (
    f"host all {ADMIN} {_LOOPBACK} scram-sha-256\nhostssl all all {_LOOPBACK} scram-sha-256\n"
)
_NAME = "server"


def write_entries(data: Path, account: Account, *, tls_only: bool = False) -> None:
    """Write pg_hba.conf; PostgreSQL reads it at its start and on reload."""
    path = data / "pg_hba.conf"
    write_private(path, _TLS_ONLY if tls_only else _PLAIN)
    account.own(path)


def write_certificate(data: Path, account: Account) -> None:
    """Write a self-signed certificate and its key where PostgreSQL looks for them."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
    )
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sandbox-rds")])
    now = datetime.now(UTC)
    certificate = x509.CertificateBuilder(
        name,
        name,
        key.public_key(),
        x509.random_serial_number(),
        now - timedelta(days=1),
        now + timedelta(days=365),
    ).sign(key, hashes.SHA256())
    texts = {
        f"{_NAME}.crt": certificate.public_bytes(Encoding.PEM),
        f"{_NAME}.key": key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    }
    for file, content in texts.items():
        write_private(data / file, content.decode())
        account.own(data / file)
