"""The access keys of one sandbox, random at each `up`; calls signed otherwise are rejected."""

from __future__ import annotations

import secrets
import string
from dataclasses import dataclass, field

_ALPHABET = string.ascii_uppercase + "234567"  # base32, as AWS draws its key ids


@dataclass(frozen=True)
class Key:
    """An access key; the secret never appears in its `repr`."""

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
    """The two keys of a sandbox.

    `operator` is written to the overlay; `admin` never leaves the supervisor. The sandbox itself
    works with `admin`, so that faults of the operator's key do not affect it.
    """

    operator: Key = field(default_factory=Key.random)
    admin: Key = field(default_factory=Key.random)

    def secret(self, access_key: str) -> str | None:
        """Return the secret of an access key id, or None for an unknown one."""
        known = (self.operator, self.admin)
        return next((each.secret_key for each in known if each.access_key == access_key), None)
