"""Compare endpoints before and after a rollout to find what it broke."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ops.core.findings import Evidence, Finding, Unknown
from ops.http.facts import Answer

_MAX_NAMED = 3
Answers = tuple[Answer, ...] | Unknown


def endpoint_finding(answer: Answer) -> str:
    return f"{answer.status or 'no answer'}" + (f" ({answer.problem})" if answer.problem else "")


def _request(label: str, address: str) -> str:
    """A request by the label of its endpoint, with the address that was asked."""
    if label.startswith("/"):
        return f"GET {address.rstrip('/')}{label}"
    return f"{label if ' ' in label else f'GET {label}'} (at {address})"


def with_pages(summary: str, answers: Sequence[Answer], address: str) -> str:
    """The summary, with each request and its answer; at most three are named."""
    named = [
        f"{_request(answer.path, address)}: {endpoint_finding(answer)}"
        for answer in answers[:_MAX_NAMED]
    ]
    more = len(answers) - len(named)
    return f"{summary}: {'; '.join([*named, *([f'and {more} more'] if more else [])])}"


def broken_by_us(before: Answers, after: Iterable[Answer]) -> tuple[Answer, ...]:
    """Return the endpoints that are unhealthy now and were healthy or unknown before.

    An endpoint without any answer both before and after is left out.
    """
    unhealthy_before = (
        set()
        if isinstance(before, Unknown)
        else {answer.path for answer in before if not answer.healthy and answer.status}
    )
    unanswered_before = (
        set()
        if isinstance(before, Unknown)
        else {answer.path for answer in before if not answer.status}
    )
    unhealthy = [
        answer for answer in after if not answer.healthy and answer.path not in unhealthy_before
    ]
    return tuple(
        answer for answer in unhealthy if answer.status or answer.path not in unanswered_before
    )


def finding(answers: Iterable[Answer], cause: str, summary: str, service: str) -> Finding:
    evidence = tuple(Evidence(f"GET {answer.path}", endpoint_finding(answer)) for answer in answers)
    return Finding(cause, summary, "certain", evidence, (f"inv {service}.status",))
