"""Before and after, compared: what changed, and whether a change may be blamed on what was done between."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ops.model import Answer, Change, Evidence, Finding, Unknown

Answers = tuple[Answer, ...] | Unknown


def changes(before: Answers, after: Answers) -> tuple[Change, ...]:
    """Every endpoint that says something else than before, in the order of `after`."""
    if isinstance(before, Unknown) or isinstance(after, Unknown):
        return ()
    was = {answer.path: answer for answer in before}
    pairs = [(was[answer.path], answer) for answer in after if answer.path in was]
    return tuple(Change(new.path, told(old), told(new)) for old, new in pairs if told(old) != told(new))


def told(answer: Answer) -> str:
    return f"{answer.status or 'no answer'}" + (f" ({answer.problem})" if answer.problem else "")


def broken_by_us(before: Answers, after: Iterable[Answer]) -> tuple[Answer, ...]:
    """What is unhealthy now and was healthy before, or was not looked at; no answer at all (status 0) is no look."""
    unhealthy_before = set() if isinstance(before, Unknown) else {answer.path for answer in before if not answer.healthy and answer.status}
    unseen_before = set() if isinstance(before, Unknown) else {answer.path for answer in before if not answer.status}
    ill = [answer for answer in after if not answer.healthy and answer.path not in unhealthy_before]
    return tuple(answer for answer in ill if answer.status or answer.path not in unseen_before)


def finding(answers: Iterable[Answer], cause: str, summary: str, service: str) -> Finding:
    evidence = tuple(Evidence(f"GET {answer.path}", told(answer)) for answer in answers)
    return Finding(cause, summary, "certain", evidence, (f"inv {service}.status",))


def as_document(answers: Answers) -> dict[str, Any]:
    """The shape of `health.before` and `health.after`."""
    if isinstance(answers, Unknown):
        unknown = {"group": "endpoints", "name": "endpoints", "status": "unknown", "detail": answers.why, "took_s": 0.0}
        return {"healthy": False, "checks": [unknown]}
    checks = [
        {"group": "endpoints", "name": a.path, "status": "ok" if a.healthy else "failed", "detail": told(a), "took_s": round(a.took_s, 3)}
        for a in answers
    ]
    return {"healthy": all(answer.healthy for answer in answers), "checks": checks}
