"""The sandbox's bastion: the one way in to the platform's network, by SSH.

What it emulates: a small host in the VPC that runs sshd, lets one operator in by key, and reaches
the database by its RDS name. Where it differs: the server is asyncssh, not OpenSSH (no terminal, no
SFTP, no agent forwarding); its commands run as the user of the sandbox, in a home below `.sandbox`;
Python there resolves the name of the database, which no DNS knows. Forwarding leads to the database
and nowhere else. The real thing is tested in `tests/real` with OpenSSH."""

from __future__ import annotations

from ops.sandbox.bastion.keys import Keys
from ops.sandbox.bastion.server import Bastion

__all__ = ["Bastion", "Keys"]
