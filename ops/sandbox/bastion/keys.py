"""The bastion's host key, the operator's key, known_hosts and ssh_config, created once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ops.postgres.server.cluster import write_private

_KIND = "ssh-ed25519"


@dataclass(frozen=True)
class Keys:
    """Key files below `folder`, readable by their owner only."""

    folder: Path

    @property
    def identity(self) -> Path:
        return self.folder / "identity"

    @property
    def known_hosts(self) -> Path:
        return self.folder / "known_hosts"

    @property
    def ssh_config(self) -> Path:
        """Return an empty ssh_config, so that the operator's own one has no effect."""
        return self.folder / "ssh_config"

    def make(self, port: int) -> tuple[Any, Any]:
        """Return the host's and the operator's key for asyncssh, creating missing ones."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        host, operator = self._key(self.folder / "host"), self._key(self.identity)
        public = host.export_public_key().decode().strip()
        write_private(self.known_hosts, f"[127.0.0.1]:{port} {public}\n")
        write_private(self.ssh_config, "")
        return host, operator

    def _key(self, file: Path) -> Any:
        import asyncssh

        try:
            return asyncssh.read_private_key(file)
        except (FileNotFoundError, asyncssh.KeyImportError):  # none yet, or a truncated one
            write_private(file, asyncssh.generate_private_key(_KIND).export_private_key().decode())
        return asyncssh.read_private_key(file)
