"""Stored sweeps as types, read from JSON documents of this and older versions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from ops.health.model import EVALUATED, STATUSES, Check, Status, Sweep


class InvalidSweep(ValueError):
    """The document is not a stored sweep, or of a version that this one cannot read."""


@dataclass(frozen=True)
class StoredCheck:
    """The part of a stored check that comparisons use.

    `value`, `service`, `numbers` and `patterns` are empty in documents without them.
    """

    group: str
    name: str
    status: Status
    value: str = ""
    service: str = ""
    numbers: Mapping[str, float] = field(default_factory=dict)
    patterns: tuple[str, ...] = ()

    @property
    def identity(self) -> tuple[str, str]:
        """Group and name; `CheckKey.identity` of the same check."""
        return self.group, self.name

    @property
    def label(self) -> str:
        return f"{self.group} · {self.name}"

    @property
    def evaluated(self) -> bool:
        return self.status in EVALUATED

    @classmethod
    def of(cls, check: Check) -> StoredCheck:
        return cls(
            check.group,
            check.name,
            check.status,
            check.value,
            check.service,
            check.numbers,
            check.patterns,
        )

    @classmethod
    def from_document(cls, document: Any) -> StoredCheck:
        """Read a check. Raises InvalidSweep, which names the wrong field."""
        if not isinstance(document, dict):
            raise InvalidSweep("group: expected an object with a group, a name and a status")
        for name in ("group", "name", "status"):
            if not isinstance(document.get(name), str):
                raise InvalidSweep(f"{name}: expected text")
        for name in ("value", "service"):
            if not isinstance(document.get(name, ""), str):
                raise InvalidSweep(f"{name}: expected text")
        status = document["status"]
        if status not in STATUSES:
            raise InvalidSweep(f"status: {status!r}, expected one of {', '.join(STATUSES)}")
        return cls(
            document["group"],
            document["name"],
            cast(Status, status),
            document.get("value", ""),
            document.get("service", ""),
            _numbers(document.get("numbers", {})),
            _patterns(document.get("patterns", [])),
        )


def _numbers(document: Any) -> Mapping[str, float]:
    if isinstance(document, dict) and all(
        isinstance(value, int | float) for value in document.values()
    ):
        return document
    raise InvalidSweep("numbers: expected numbers by their names")


def _patterns(document: Any) -> tuple[str, ...]:
    if isinstance(document, list) and all(isinstance(each, str) for each in document):
        return tuple(document)
    raise InvalidSweep("patterns: expected a list of texts")


@dataclass(frozen=True)
class StoredSweep:
    """A sweep to compare with. `at`: ISO 8601, UTC."""

    at: str
    environment: str
    checks: tuple[StoredCheck, ...]

    @classmethod
    def of(cls, sweep: Sweep) -> StoredSweep:
        return cls(sweep.at, sweep.environment, tuple(map(StoredCheck.of, sweep.checks)))

    @classmethod
    def from_document(cls, document: Any) -> StoredSweep:
        """Read a run. Raises InvalidSweep, which names the wrong field."""
        checks = document.get("checks") if isinstance(document, dict) else None
        if not isinstance(checks, list) or not isinstance(document.get("at"), str):
            raise InvalidSweep("it contains no health checks")
        if not isinstance(document.get("environment"), str):
            raise InvalidSweep("environment: expected a name")
        found = []
        for place, each in enumerate(checks):
            try:
                found.append(StoredCheck.from_document(each))
            except InvalidSweep as error:
                raise InvalidSweep(f"checks[{place}].{error}") from None
        return cls(document["at"], document["environment"], tuple(found))
