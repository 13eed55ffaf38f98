"""Findings, verdicts and unknown facts, the same for deploys and health checks."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal


def as_document(finding: Finding) -> dict[str, Any]:
    """The form that `--json` prints for a finding."""
    return {
        "cause": finding.cause,
        "summary": finding.summary,
        "confidence": finding.confidence,
        "evidence": [_evidence_document(evidence) for evidence in finding.evidence],
        "fix": list(finding.fix),
    }


def _evidence_document(evidence: Evidence) -> dict[str, Any]:
    found: dict[str, Any] = {"source": evidence.source, "text": evidence.text}
    if evidence.at:
        found["at"] = evidence.at
    if evidence.count > 1:
        found["count"] = evidence.count
    return found


@dataclass(frozen=True)
class Denial:
    """A permission that AWS refused: `who` lacks `action` ("ecs:DescribeServices")."""

    who: str
    action: str


@dataclass(frozen=True)
class Unknown:
    """A fact that could not be read, and why. Never taken for "fine".

    `denied`: the missing permission, where that is the reason. `login`: what to do about
    credentials that AWS does not accept, where they are.
    """

    why: str
    denied: Denial | None = field(default=None, compare=False)
    login: str = field(default="", compare=False)


class Verdict(StrEnum):
    """How a rollout ended. Each has its own exit code (design: "Exit codes").

    STARTED has not ended: with `--no-wait`, nobody saw how it went.
    """

    STARTED = "started"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    ROLLED_BACK = "rolled_back"
    SUPERSEDED = "superseded"
    TIMED_OUT = "timed_out"
    INTERRUPTED = "interrupted"
    REFUSED = "refused"

    @property
    def exit_code(self) -> int:
        codes = {
            "succeeded": 0,
            "started": 0,
            "failed": 1,
            "refused": 3,
            "rolled_back": 4,
            "superseded": 5,
            "timed_out": 6,
            "interrupted": 130,
        }
        return codes[self.value]


@dataclass(frozen=True)
class Evidence:
    """A verbatim API field or log line, and its source.

    `at`: when it was read or written (ISO 8601, UTC), if known. `count`: how often it was found.
    """

    source: str
    text: str
    at: str = ""
    count: int = 1


@dataclass(frozen=True)
class Finding:
    """A cause with its evidence, the confidence in it, and the commands that fix it."""

    cause: str
    summary: str
    confidence: Literal["certain", "likely", "possible"]
    evidence: tuple[Evidence, ...] = ()
    fix: tuple[str, ...] = ()
