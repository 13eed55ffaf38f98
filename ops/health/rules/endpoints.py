"""Endpoints before and after a roll-out: whether what is ill now may be blamed on what was done
between.
"""

from __future__ import annotations

from collections.abc import Iterable

from ops.core.findings import Evidence, Finding, Unknown
from ops.http.facts import Answer

Answers = tuple[Answer, ...] | Unknown


def endpoint_finding(answer: Answer) -> str:
    return f"{answer.status or 'no answer'}" + (f" ({answer.problem})" if answer.problem else "")


def broken_by_us(before: Answers, after: Iterable[Answer]) -> tuple[Answer, ...]:
    """What is unhealthy now and was healthy before, or was not looked at; no answer at all (status
    0) is no look.
    """
    unhealthy_before = (
        set()
        if isinstance(before, Unknown)
        else {answer.path for answer in before if not answer.healthy and answer.status}
    )
    unseen_before = (
        set()
        if isinstance(before, Unknown)
        else {answer.path for answer in before if not answer.status}
    )
    ill = [answer for answer in after if not answer.healthy and answer.path not in unhealthy_before]
    return tuple(answer for answer in ill if answer.status or answer.path not in unseen_before)


def finding(answers: Iterable[Answer], cause: str, summary: str, service: str) -> Finding:
    evidence = tuple(Evidence(f"GET {answer.path}", endpoint_finding(answer)) for answer in answers)
    return Finding(cause, summary, "certain", evidence, (f"inv {service}.status",))
