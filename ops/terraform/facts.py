"""Terraform's own words as frozen facts, shared by rules and adapters: its lock, its state's
version, a saved plan, a diagnostic.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ops.core.text import format_age


@dataclass(frozen=True)
class Diagnostic:
    """One error or warning of Terraform's (`diagnostic` lines of `-json`, or `Error:` in its text).
    `code`: the line it points at.
    """

    severity: str
    summary: str
    detail: str = ""
    code: str = ""

    @property
    def text(self) -> str:
        return f"{self.summary}: {self.detail}" if self.detail else self.summary


@dataclass(frozen=True)
class StateLock:
    """A held state lock, in Terraform's own words. `store`: where it was read (`s3`, `dynamodb`,
    `local`, or `terraform` itself).
    """

    id: str
    who: str
    operation: str
    created: datetime | None
    version: str
    path: str
    store: str

    @property
    def host(self) -> str:
        """The machine of its owner (`user@host`)."""
        return self.who.rpartition("@")[2]

    @property
    def doing(self) -> str:
        """`apply`, `plan`: what Terraform calls `OperationTypeApply`."""
        return self.operation.removeprefix("OperationType").lower() or "unknown operation"

    def age_s(self, now: datetime) -> float | None:
        """Seconds since it was taken, by its owner's clock; None where that is not said."""
        return max(0.0, (now - self.created).total_seconds()) if self.created else None

    def describe(self, now: datetime | None = None) -> str:
        age = self.age_s(now or datetime.now(UTC))
        since = "for an unknown time" if age is None else f"for {format_age(age)}"
        return (
            f"{self.who or 'somebody'} holds it {since} ({self.doing}, Terraform "
            f"{self.version or '?'}, id {self.id})"
        )


@dataclass(frozen=True)
class StateVersion:
    """Which state it is (`lineage`), and how often it was written (`serial`)."""

    serial: int
    lineage: str


@dataclass(frozen=True)
class Backend:
    """Where the state is kept, as `init` wrote it down (`.terraform/terraform.tfstate`)."""

    type: str
    config: Mapping[str, Any]


@dataclass(frozen=True)
class SavedPlan:
    """A plan on disk, and what it was made from. `made_at` is ISO 8601, UTC; `uncommitted`: files
    that no commit had; `images`: image variable → value."""

    file: Path
    commit: str
    state: StateVersion
    made_at: str
    by: str
    uncommitted: tuple[str, ...] = ()
    images: Mapping[str, str] = field(default_factory=dict)

    def age_s(self, now: datetime) -> float:
        return (now - datetime.fromisoformat(self.made_at)).total_seconds()

    def as_document(self) -> dict[str, Any]:
        return {
            "file": str(self.file),
            "commit": self.commit,
            "serial": self.state.serial,
            "lineage": self.state.lineage,
            "made_at": self.made_at,
            "by": self.by,
            "uncommitted": list(self.uncommitted),
            "images": dict(self.images),
        }


@dataclass(frozen=True)
class TerraformProcess:
    """A program of this host that may be Terraform: `started` is in UTC; `directory` where it
    works, None where that is not shown.
    """

    pid: int
    started: datetime
    command: str
    directory: str | None = None
