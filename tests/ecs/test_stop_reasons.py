"""Every reason that AWS is known to give is told by its pattern, in the order that makes the first
match the right one.
"""

from collections import Counter

import pytest

from ops.ecs.rules.stop_reasons import REASONS, STOP_CODES, UNKNOWN, classify
from tests.ecs.stop_reason_samples import SAMPLES


@pytest.mark.parametrize(("code", "text"), SAMPLES)
def test_a_real_reason_gets_its_code(code, text):
    """AWS's own words lead to the code that they stand under."""
    found = classify(text)
    assert found is not None
    assert found.code == code


def test_there_are_50_reasons_and_each_has_its_own_code():
    """No pattern was lost, none stands twice."""
    assert len(REASONS) == 50
    assert max(Counter(reason.code for reason in REASONS).values()) == 1


def test_every_failure_has_advice():
    """Whatever is recognised and no benign stop can be explained."""
    failures = [reason for reason in (*REASONS, *STOP_CODES) if reason.kind != "benign"]
    assert [reason.code for reason in failures if reason.finding == UNKNOWN.finding] == []


def test_the_causes_without_a_connection_are_these_four():
    """Only they count as transient once, and as final when a second task repeats them."""
    assert {reason.code for reason in REASONS if reason.network} == {
        "ECS-PULL-NET",
        "ECS-REGAUTH-NET",
        "ECS-SEC-NET",
        "ECS-LOG-NET",
    }


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (
            "CannotPullContainerError: the task can’t pull the image. Check whether the "
            "image exists",
            "ECS-PULL-NOTFOUND",
        ),
        ("ResourceInitializationError: can’t retrieve the secret with ARN 'x'", "ECS-SEC-MISSING"),
        ("outofmemoryerror: container killed", "ECS-OOM"),
        ("CannotPullContainerError: first line\nmanifest unknown", "ECS-PULL-NOTFOUND"),
        ("CannotPullContainerError: something new", "ECS-PULL"),
    ],
)
def test_case_newlines_and_typographic_apostrophes_do_not_matter(text, code):
    """AWS writes the same sentence in more than one way."""
    found = classify(text)
    assert found is not None and found.code == code


@pytest.mark.parametrize("text", ["", "The moon was in the wrong house", "Task stopped"])
def test_an_unknown_reason_is_no_reason(text):
    """What is not known is not guessed."""
    assert classify(text) is None
