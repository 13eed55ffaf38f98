"""The access keys of one sandbox, random at each `up`: nothing else signs a call that is
answered.
"""

from __future__ import annotations

import secrets
import string
from dataclasses import dataclass, field

_ALPHABET = string.ascii_uppercase + "234567"  # base32, as AWS draws its key ids


@dataclass(frozen=True)
class Key:
    """One access key. The secret never appears in a `repr`."""

    access_key: str
    secret_key: str = field(repr=False)

    @classmethod
    def random(cls) -> Key:
        return cls(
            "AKIA" + "".join(secrets.choice(_ALPHABET) for _ in range(16)),
            secrets.token_urlsafe(30),
        )


@dataclass(frozen=True)
class Keys:
    """`operator` goes into the overlay; `keeper` never leaves the supervisor.

    The sandbox itself works with `keeper`, so that a fault done to the operator's key does not stop
    it."""

    operator: Key = field(default_factory=Key.random)
    admin: Key = field(default_factory=Key.random)

    def secret(self, access_key: str) -> str | None:
        """The secret of an access key id, or None for an unknown one."""
        known = (self.operator, self.admin)
        return next((each.secret_key for each in known if each.access_key == access_key), None)
