"""Stop texts from public reports: a known cause, or none, and what the words suggest."""

from __future__ import annotations

import pytest

from ops.aws.facts import TaskState
from ops.ecs.rules.stop_diagnosis import find_cause, stop_finding
from ops.ecs.rules.stop_reasons import UNSPECIFIC, classify
from ops.ecs.rules.stop_reasons.hints import suggestion
from tests.ecs.stop_texts import TEXTS


@pytest.mark.parametrize(("code", "text"), TEXTS)
def test_a_text_gets_its_code_or_none(code: str, text: str) -> None:
    found = classify(text)
    assert (found.code if found else "") == code


def stopped(text: str, code: str = "TaskFailedToStart") -> TaskState:
    arn = "arn:aws:ecs:us-east-1:1:task/c/1"
    return TaskState(arn, "STOPPED", "STOPPED", "", "d:1", "", code, text, ())


@pytest.mark.parametrize("text", [text for code, text in TEXTS if code in ("", *UNSPECIFIC)])
def test_a_text_without_a_known_cause_is_shown_as_it_is(text: str) -> None:
    """As evidence, whole; a suggestion is marked as possible."""
    task = stopped(text)
    finding = stop_finding(task, find_cause(task))
    assert text in [each.text for each in finding.evidence]
    hint = suggestion(text)
    assert ("suggest" in finding.summary) == bool(hint) and hint in finding.summary


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("FluxError: dial tcp 10.0.0.1:443: no answer", "the network"),
        ("FluxError: handshake timed out", "the network"),
        ("FluxError: operation not authorized", "a missing permission"),
        ("FluxError: file /a does not exist", "something missing"),
        ("FluxError: no space left", "storage"),
        ("FluxError: ServiceLimit: limit exceeded", "a limit or a quota"),
        ("FluxError: cannot allocate memory", "memory"),
        ("FluxError: unsupported option", "an invalid value"),
        ("FluxError: 7", ""),
    ],
)
def test_unknown_words_suggest_a_subject(text: str, hint: str) -> None:
    assert suggestion(text) == hint
    for code in ("", "TaskFailedToStart"):
        task = stopped(text, code)
        finding = stop_finding(task, find_cause(task))
        assert text in finding.summary and finding.confidence != "certain"
        assert (f"(its words suggest {hint}: possible)" in finding.summary) == bool(hint)


@pytest.mark.parametrize("text", [text for code, text in TEXTS if code not in ("", *UNSPECIFIC)])
def test_a_known_cause_needs_no_suggestion(text: str) -> None:
    task = stopped(text)
    assert "its words suggest" not in stop_finding(task, find_cause(task)).summary
