"""A diagnosis as text and as a JSON document."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ops.core.findings import Evidence
from ops.core.text import format_count, format_duration
from ops.diagnosis.model import Diagnosed, Diagnosis
from ops.diagnosis.rules.operator.access import BLOCKING
from ops.diagnosis.rules.topics import Topic
from ops.ecs.display import clean

_MAX_EVIDENCE = 6  # lines of one finding; `--json` and `--save` have all
_MAX_TEXT = 300


def as_document(found: Diagnosis) -> dict[str, Any]:
    """The document of `troubleshoot.*`: findings, root causes first, and what is unknown."""
    snapshot = found.snapshot
    return {
        "environment": snapshot.environment,
        "at": snapshot.at,
        "took_s": round(snapshot.took_s, 3),
        "findings": [each.as_document() for each in found.found],
        "unknown": [
            {"source": each.source, "why": each.unknown, "denied": each.denied}
            for each in snapshot.unread
        ],
        "examined": list(found.examined),
        "broken_rules": list(found.broken_rules),
        "rollouts": list(found.rollouts),
        "unhealthy": list(found.unhealthy),
    }


def as_text(found: Diagnosis, topic: Topic) -> str:
    """Root causes with their evidence and fixes, then unknown facts and what was looked at."""
    return "\n".join(_lines(found, topic))


def _lines(found: Diagnosis, topic: Topic) -> Iterator[str]:
    roots = found.roots
    for position, each in enumerate(roots, start=1):
        yield from map(clean, _finding_lines(position, each))
        yield ""
    if roots and not any(topic.covers(each) for each in found.found):
        yield f"nothing about {topic.title}; the findings above have other causes"
    yield from map(clean, found.rollouts)
    yield from _unknown_lines(found)
    if found.unhealthy and not roots:
        yield clean(f"not ok, for an unknown cause: {', '.join(found.unhealthy)}")
    yield _summary(found, topic)


def _finding_lines(position: int, found: Diagnosed) -> Iterator[str]:
    finding, candidate = found.candidate.finding, found.candidate
    yield f"{position}. {finding.summary}"
    yield f"   cause  {finding.cause} ({finding.confidence})"
    if candidate.because:
        yield f"   why    {candidate.because}"
    shown = finding.evidence[:_MAX_EVIDENCE]
    for each in shown:
        yield f"   {_evidence(each)}"
    if len(finding.evidence) > len(shown):
        yield f"   … {len(finding.evidence) - len(shown)} more: --json or --save DIR"
    for each_consequence in _consequences(found):
        yield f"   so     {each_consequence}"
    for command in finding.fix:
        yield f"   →      {command}"


def _evidence(evidence: Evidence) -> str:
    times = f" (× {evidence.count})" if evidence.count > 1 else ""
    text = evidence.text if len(evidence.text) <= _MAX_TEXT else evidence.text[:_MAX_TEXT] + "…"
    return f"{evidence.source}: {text}{times}"


def _consequences(found: Diagnosed) -> Iterator[str]:
    for each in found.consequences:
        yield f"{each.finding.summary} [{each.finding.cause}]"


def _unknown_lines(found: Diagnosis) -> Iterator[str]:
    unread = found.snapshot.unread
    blocking = next((each.cause for each in found.roots if each.cause in BLOCKING), "")
    if blocking and unread:  # the root explains every one
        keys = ", ".join(each.key for each in unread)
        yield clean(f"unknown for this reason ({blocking}): {keys}")
        unread = ()
    for each in unread:
        permission = f" (missing permission: {each.denied})" if each.denied else ""
        yield clean(f"unknown: {each.key}: {each.unknown}{permission}")
    for broken in found.broken_rules:
        yield clean(f"unknown: the rule {broken}; this is a defect of this tool")


def _summary(found: Diagnosis, topic: Topic) -> str:
    took = format_duration(found.snapshot.took_s)
    if found.roots:
        return f"{format_count(len(found.roots), 'cause')} found in {took}"
    what = "" if topic.everything else f" about {topic.title}"
    sources = format_count(len(found.examined), "source")
    return f"nothing found{what} in {took}; looked at {sources} (--json names them)"
