"""The model of a diagnosis: documents, the snapshot of an incident, and what was found in it.

A snapshot is JSON: it can be saved, copied and diagnosed again (`--save`, `--from`). The rules only
see an `Incident` (`ops.diagnosis.facts`), which is always read from that JSON, so a replay decides
as the live diagnosis did.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ops.core.findings import Finding, as_document


@dataclass(frozen=True)
class Document:
    """One answer of the world, redacted, or the reason why there is none.

    `key` names it within the snapshot ("ecs/services"); `source` is the call that returned it
    ("ecs:DescribeServices"); `at` is ISO 8601, UTC. `unknown` is empty if it was read. `denied` is
    the permission that is missing, if that is the reason.
    """

    key: str
    source: str
    at: str
    content: Any = None
    unknown: str = ""
    denied: str = ""


@dataclass(frozen=True)
class EvidenceSnapshot:
    """Everything collected for one diagnosis.

    `subject` is the part of the configuration that the rules need: names, not secrets (see
    `ops.diagnosis.subject`). `aws` is the AWS command line with the environment's options.
    """

    environment: str
    at: str
    took_s: float
    subject: Mapping[str, Any]
    documents: Mapping[str, Document]
    aws: str = "aws"

    @property
    def unread(self) -> tuple[Document, ...]:
        """The documents that could not be read."""
        return tuple(each for each in self.documents.values() if each.unknown)


@dataclass(frozen=True)
class Candidate:
    """A cause that a rule found.

    `service` is the service that it affects, or "" for the whole platform. `because` says why it is
    believed over the next best explanation.
    """

    finding: Finding
    service: str = ""
    because: str = ""

    @property
    def identity(self) -> tuple[str, str]:
        return self.finding.cause, self.service


@dataclass(frozen=True)
class Diagnosed:
    """A cause in its place: a root cause, or a consequence of another one.

    `explained_by` is the name of the cause that it follows from, or "". `consequences` are the
    causes that follow from it.
    """

    candidate: Candidate
    explained_by: str = ""
    consequences: tuple[Candidate, ...] = ()

    @property
    def cause(self) -> str:
        return self.candidate.finding.cause

    def as_document(self) -> dict[str, Any]:
        return {
            **as_document(self.candidate.finding),
            "service": self.candidate.service,
            "because": self.candidate.because,
            "explained_by": self.explained_by,
            "explains": [each.finding.cause for each in self.consequences],
        }


@dataclass(frozen=True)
class Diagnosis:
    """The result of the rules over one snapshot, root causes first.

    `examined` names what was looked at; `broken_rules` are rules that raised an error, which is a
    defect of this tool. `rollouts` describe rollouts in progress in which nothing failed, and
    `unhealthy` are the checks that are not ok for another reason.
    """

    snapshot: EvidenceSnapshot
    found: tuple[Diagnosed, ...]
    examined: tuple[str, ...] = ()
    broken_rules: tuple[str, ...] = ()
    rollouts: tuple[str, ...] = ()
    unhealthy: tuple[str, ...] = ()

    @property
    def roots(self) -> tuple[Diagnosed, ...]:
        return tuple(each for each in self.found if not each.explained_by)
