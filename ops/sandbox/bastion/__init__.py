"""The sandbox's bastion: the only way into the platform's network, by SSH.

It emulates a small host in the VPC that runs sshd, accepts one operator's key, and reaches the
database by its RDS name. Differs from a real bastion: the server is asyncssh, not OpenSSH (no
terminal, no SFTP, no agent forwarding); its commands run as the user of the sandbox, in a home
below `.sandbox`; Python there resolves the name of the database, which no DNS knows. Forwarding
leads to the database only. `tests/real` tests against OpenSSH.
"""

from __future__ import annotations

from ops.sandbox.bastion.keys import Keys
from ops.sandbox.bastion.server import Bastion

__all__ = ["Bastion", "Keys"]
