"""Keys to log in with: files, certificates, and the agent's keys, as OpenSSH chooses them."""

from __future__ import annotations

import base64
import socket
import struct
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ops.ssh.client_config import HopConfig

_MAGIC = b"openssh-key-v1\0"
_AGENT_TIMEOUT = 5.0  # seconds


def connect_words(hop: HopConfig) -> dict[str, Any]:
    """The words for paramiko's `connect`: files, and a key with its certificate, if any."""
    words: dict[str, Any] = {
        "key_filename": [str(file) for file in hop.identity_files],
        "look_for_keys": False,
        "allow_agent": bool(hop.agent),
    }
    certified = _certified_key(hop.identity_files, hop.certificate_files)
    return words | ({"pkey": certified} if certified else {})


def agent(hop: HopConfig) -> Any:
    """The agent's keys that may be used: with IdentitiesOnly those of the identity files."""
    from paramiko.agent import AgentSSH

    only = [body for file in hop.identity_files if (body := _public_body(file))]

    class ChosenAgent(AgentSSH):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            try:
                connection = socket.socket(socket.AF_UNIX)
                connection.settimeout(_AGENT_TIMEOUT)
                connection.connect(hop.agent)
                self._connect(connection)
            except Exception:  # as ssh: an agent that does not answer has no keys
                self.close()
                return
            connection.settimeout(None)  # it may ask its user to confirm
            if hop.identities_only:
                self._keys: tuple[Any, ...] = tuple(
                    # a certificate of the agent contains the public key too
                    key
                    for key in self.get_keys()
                    if any(body in key.blob for body in only)
                )

        def close(self) -> None:
            self._close()

    return ChosenAgent()


def _certified_key(files: Sequence[Path], certificates: Iterable[Path]) -> Any:
    """The first key of `files` that one of the certificates is for; None without one."""
    from paramiko import PKey
    from paramiko.pkey import PublicBlob

    for certificate in certificates:
        try:
            blob = PublicBlob.from_file(str(certificate)).key_blob
        except Exception:  # noqa: S112 - as ssh: a file that is no certificate is passed over
            continue
        for file in files:
            body = _public_body(file)
            if body and body in blob:
                try:
                    key = PKey.from_path(file)
                    key.load_certificate(str(certificate))
                except Exception:  # noqa: S112 - encrypted: the agent may have it
                    continue
                return key
    return None


def _public_body(file: Path) -> bytes:
    """The public key of a private key's file, without its type; empty if it can't be read.

    It stands in OpenSSH's files unencrypted, and beside those of older formats.
    """
    beside = file if file.suffix == ".pub" else file.with_name(f"{file.name}.pub")
    try:
        blob = _public_blob(file.read_bytes())
        if not blob and beside.is_file():
            blob = base64.b64decode(beside.read_text(encoding="utf-8").split()[1])
        return blob[len(_string(blob)) + 4 :] if blob else b""
    except (OSError, ValueError, IndexError, struct.error):
        return b""


def _public_blob(private: bytes) -> bytes:
    """The public key in a private key of OpenSSH's own format; empty for other formats."""
    lines = private.strip().splitlines()
    if not lines or b"BEGIN OPENSSH PRIVATE KEY" not in lines[0]:
        return b""
    rest = base64.b64decode(b"".join(lines[1:-1]))
    if not rest.startswith(_MAGIC):
        return b""
    rest = rest[len(_MAGIC) :]
    for _ in ("cipher", "key derivation", "its options"):
        rest = rest[4 + len(_string(rest)) :]
    return _string(rest[4:])  # after the number of keys


def _string(data: bytes) -> bytes:
    """The SSH string at the beginning of `data` (RFC 4251 5)."""
    (length,) = struct.unpack(">I", data[:4])
    return data[4 : 4 + length]
