"""Decide who holds a lock, from its object (pure).

A lock is one JSON object. Its holder rewrites it every `HEARTBEAT_S`; after `EXPIRY_S` without a
write its run is dead (a kill -9, a lost network) and the lock may be taken over, with a note. A
released lock stays in the bucket with `released: true`, because only a conditional write is atomic:
a read followed by a delete is not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

HEARTBEAT_S = 15.0
EXPIRY_S = 60.0


@dataclass(frozen=True)
class Holder:
    """The holder of a lock, and the reason.

    `id` is random for each run; `at`: when it was taken (ISO 8601, UTC); `process`: see
    `ops.core.host_identity`.
    """

    id: str
    owner: str
    host: str
    commit: str
    reason: str
    at: str
    process: str = ""

    def as_document(self, *, released: bool = False, beat: int = 0) -> dict[str, Any]:
        """The stored document.

        `beat` counts the heartbeats, so that each write is a new version.
        """
        return {**asdict(self), "released": released, "beat": beat}

    def describe(self, age_s: float) -> str:
        return (
            f"{self.owner} on {self.host} holds it since {self.at} ({self.reason}), last heard "
            f"of {age_s:.0f} s ago"
        )


def holder(document: Mapping[str, Any]) -> Holder:
    """The holder in a stored lock; missing fields are `?`.

    An older tool's lock can still be shown.
    """
    return Holder(
        **{
            field: str(document.get(field, "?"))
            for field in ("id", "owner", "host", "commit", "reason", "at", "process")
        }
    )


def is_free(document: Mapping[str, Any]) -> bool:
    return document.get("released") is True
