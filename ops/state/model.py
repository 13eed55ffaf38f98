"""The release record as a type; its JSON form is a contract."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from ops.core.findings import Verdict

_VERDICTS = frozenset(verdict.value for verdict in Verdict)


class InvalidRecord(ValueError):
    """The document is not a release record, or of a version that this one cannot read."""


TAGS = ".ops/tags"  # ENVIRONMENT/SERVICE.json: the tags that `releases` listed last, for completion


@dataclass(frozen=True)
class ReleaseRecord:
    """One release of a service.

    A field is None if the record does not have it: older versions wrote fewer fields. `at`: when it
    began (ISO 8601, UTC). `health`: the sweep after it, as a document (`StoredSweep` reads it).
    `late_s`: the delay before the record was sent. `rollout_s`: how long its rollout took.
    `terraform_inputs`: name of a variable file → its digest. `kind`: "deploy", "restart" or
    "rollback". `task_definition_changes`: what it changed there, each as `{"what", "before",
    "after"}`.
    """

    kind: str | None = None
    service: str | None = None
    environment: str | None = None
    tag: str | None = None
    verdict: str | None = None
    why: str | None = None
    image: str | None = None
    digest: str | None = None
    deployment: str | None = None
    at: str | None = None
    by: str | None = None
    host: str | None = None
    commit: str | None = None
    subject: str | None = None
    schema_revision: str | None = None
    task_definition: str | None = None
    took_s: float | None = None
    late_s: float | None = None
    rollout_s: float | None = None
    task_definition_changes: list[Any] | None = None
    findings: list[Any] | None = None
    skipped: list[Any] | None = None
    terraform_inputs: Mapping[str, str] | None = None
    health: Mapping[str, Any] | None = None

    @property
    def succeeded(self) -> bool:
        return self.verdict == Verdict.SUCCEEDED.value

    @classmethod
    def from_document(cls, document: Any) -> ReleaseRecord:
        """Read a record; unknown fields, and numbers that are none, are ignored.

        Raises InvalidRecord for a field of another type or an unknown verdict.
        """
        if not isinstance(document, Mapping):
            raise InvalidRecord("it is no JSON object")
        found = {each.name: document.get(each.name) for each in fields(cls)}
        for name, value in found.items():
            expected = _TYPES.get(name, str)
            if name in _NUMBERS and not isinstance(value, expected):
                found[name] = None
            elif value is not None and not isinstance(value, expected):
                raise InvalidRecord(f"{name}: unexpected type {type(value).__name__}")
        if found["verdict"] is not None and found["verdict"] not in _VERDICTS:
            raise InvalidRecord(f"verdict: {found['verdict']!r} is not known to this version")
        return cls(**found)


_NUMBERS = ("took_s", "late_s", "rollout_s")  # an odd one is taken as missing
_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "took_s": (int, float),
    "late_s": (int, float),
    "rollout_s": (int, float),
    "findings": list,
    "skipped": list,
    "task_definition_changes": list,
    "terraform_inputs": Mapping,
    "health": Mapping,
}
