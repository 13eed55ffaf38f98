"""A finding as `--json` prints it, the same for a deploy and for a sweep of health checks."""

from __future__ import annotations

from typing import Any

from ops.aws.facts import Finding


def as_document(finding: Finding) -> dict[str, Any]:
    return {
        "cause": finding.cause,
        "summary": finding.summary,
        "confidence": finding.confidence,
        "evidence": [
            {"source": evidence.source, "text": evidence.text} for evidence in finding.evidence
        ],
        "fix": list(finding.fix),
    }
