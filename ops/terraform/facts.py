"""Terraform's own objects as frozen dataclasses: state, lock, saved plan, diagnostic."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePath
from typing import Any

from ops.core.text import format_age


def product_name(program: str) -> str:
    """What a configured program is called in a sentence: Terraform, or OpenTofu for `tofu`."""
    return "OpenTofu" if PurePath(program).name == "tofu" else "Terraform"


@dataclass(frozen=True)
class Diagnostic:
    """An error or warning of Terraform; `code` is the line of configuration it points at.

    Source: `diagnostic` lines of `-json`, or `Error:` in the text.
    """

    severity: str
    summary: str
    detail: str = ""
    code: str = ""

    @property
    def text(self) -> str:
        return f"{self.summary}: {self.detail}" if self.detail else self.summary

    @classmethod
    def from_document(cls, line: Mapping[str, Any]) -> Diagnostic:
        """Parse a `diagnostic` line of `-json`; a malformed one keeps its message."""
        found = line.get("diagnostic")
        if not isinstance(found, Mapping):
            return cls(str(line.get("@level")), str(line.get("@message") or found or ""))
        snippet = found.get("snippet")
        code = snippet.get("code") if isinstance(snippet, Mapping) else None
        texts = (str(each or "") for each in (found.get("summary"), found.get("detail"), code))
        return cls(str(found.get("severity")), *texts)

    @staticmethod
    def block(line: Mapping[str, Any]) -> str:
        """The block that a `diagnostic` line points into, as `check "name"`; empty if unknown."""
        found = line.get("diagnostic")
        snippet = found.get("snippet") if isinstance(found, Mapping) else None
        return str(snippet.get("context") or "") if isinstance(snippet, Mapping) else ""


@dataclass(frozen=True)
class StateLock:
    """A held state lock, in Terraform's own words.

    `store` is its source: `s3`, `dynamodb`, `local`, or `terraform` for an error message.
    """

    id: str
    who: str
    operation: str
    created: datetime | None
    version: str
    path: str
    store: str

    @classmethod
    def from_document(cls, info: Mapping[str, Any], store: str) -> StateLock:
        """Parse Terraform's record of a lock, which has the same fields in each store."""
        values = {key.lower(): str(value or "") for key, value in info.items()}
        return cls(
            id=values.get("id", ""),
            who=values.get("who", ""),
            operation=values.get("operation", ""),
            created=parse_time(values.get("created", "")),
            version=values.get("version", ""),
            path=values.get("path", ""),
            store=store,
        )

    @property
    def owner(self) -> str:
        return self.who or "an unknown owner"

    @property
    def host(self) -> str:
        """The host of its owner (`user@host`)."""
        return self.who.rpartition("@")[2]

    @property
    def command(self) -> str:
        """The command that took it: `apply` for `OperationTypeApply`."""
        return self.operation.removeprefix("OperationType").lower() or "unknown operation"

    def age_s(self, now: datetime) -> float | None:
        """Seconds since it was taken, by its owner's clock; None if that is unknown."""
        return max(0.0, (now - self.created).total_seconds()) if self.created else None

    def describe(self, now: datetime | None = None) -> str:
        """Describe owner, age, command and id in one line."""
        age = self.age_s(now or datetime.now(UTC))
        since = "for an unknown time" if age is None else f"for {format_age(age)}"
        return (
            f"{self.owner} holds it {since} ({self.command}, Terraform "
            f"{self.version or '?'}, id {self.id})"
        )

    def as_document(self, now: datetime) -> dict[str, Any]:
        """A lock as `tf.locks --json` prints it."""
        age = self.age_s(now)
        return {
            "name": self.path,
            "owner": self.who,
            "at": self.created,
            "age_s": None if age is None else round(age, 1),
            "reason": self.command,
            "id": self.id,
            "version": self.version,
            "store": self.store,
        }


def parse_time(text: str) -> datetime | None:
    """Parse a time as Go writes it in JSON and in text; None for anything else.

    Samples: `2026-11-22T23:00:00.123456789Z`, `2026-11-22 23:00:00.12 +0000 UTC`.
    """
    found = re.match(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(\.\d+)?\s*(Z|[+-]\d\d:?\d\d)?", text)
    if not found:
        return None
    day, clock, _, zone = found.groups()
    try:
        return datetime.fromisoformat(
            f"{day}T{clock}{'+00:00' if zone in (None, 'Z') else zone}"
        ).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


@dataclass(frozen=True)
class StateVersion:
    """The identity of a state: its `lineage`, and the `serial` that each write increments."""

    serial: int
    lineage: str

    @classmethod
    def from_document(cls, state: Mapping[str, Any]) -> StateVersion:
        """Parse a state or a saved plan's metadata; serial 0 if there is no state yet.

        Raises ValueError for a serial that is not a number.
        """
        serial, lineage = state.get("serial", 0), state.get("lineage", "")
        if not isinstance(serial, int):
            raise ValueError(f"its serial is {serial!r}")
        return cls(serial, str(lineage))


@dataclass(frozen=True)
class OutputValue:
    """An output of the state, without its value if it is sensitive."""

    name: str
    value: Any
    sensitive: bool = False

    @classmethod
    def from_document(cls, name: str, found: Any) -> OutputValue:
        """Parse an entry of `terraform output -json`; one without a mark counts as sensitive."""
        if not isinstance(found, Mapping) or found.get("sensitive", True):
            return cls(name, None, sensitive=True)
        return cls(name, found.get("value"))

    def __str__(self) -> str:
        return f"{self.name} = {'(sensitive)' if self.sensitive else self.value}"


@dataclass(frozen=True)
class Backend:
    """The backend of a state, and its configuration."""

    type: str
    config: Mapping[str, Any]

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Backend | None:
        """Parse `.terraform/terraform.tfstate`, which `init` writes; None for a local state.

        Raises ValueError for another shape.
        """
        found = document.get("backend") or {}
        if not isinstance(found, Mapping):
            raise ValueError("its backend is not an object")
        config = found.get("config") or {}
        if not isinstance(config, Mapping):
            raise ValueError("its backend's config is not an object")
        return cls(str(found.get("type", "")), config)


@dataclass(frozen=True)
class SavedPlan:
    """A plan file, and what it was made from.

    `made_at` is ISO 8601, UTC. `uncommitted` are files with changes that no commit had, `images`
    the values of the image variables, `targets` the addresses that it is limited to, with what
    they depend on.
    """

    file: Path
    commit: str
    state: StateVersion
    made_at: str
    by: str
    uncommitted: tuple[str, ...] = ()
    images: Mapping[str, str] = field(default_factory=dict)
    targets: tuple[str, ...] = ()

    @classmethod
    def from_document(cls, file: Path, found: Mapping[str, Any]) -> SavedPlan:
        """Parse what `as_document` wrote. Raises ValueError, KeyError or TypeError."""
        saved = cls(
            file,
            str(found["commit"]),
            StateVersion.from_document({key: found[key] for key in ("serial", "lineage")}),
            str(found["made_at"]),
            str(found["by"]),
            tuple(found["uncommitted"]),
            dict(found["images"]),
            tuple(found.get("targets", ())),
        )
        if datetime.fromisoformat(saved.made_at).tzinfo is None:
            raise ValueError("made_at has no time zone")
        return saved

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
            "targets": list(self.targets),
        }


@dataclass(frozen=True)
class TerraformProcess:
    """A running Terraform of this host.

    `started` is in UTC; `directory` is its working directory, None if that is unknown.
    """

    pid: int
    started: datetime
    command: str
    directory: str | None = None
