"""Rules of target groups' health checks, on documents as AWS sends them."""

from __future__ import annotations

import pytest

from tests.diagnosis.incidents import GROUP, causes, find, target, world


@pytest.mark.parametrize("code", ["404", "403", "405"])
def test_a_path_that_the_application_refuses_is_named(code: str) -> None:
    documents = world()
    text = f"Health checks failed with these codes: [{code}]"
    documents["elb/targets"][GROUP] = [
        target("10.0.1.2", "unhealthy", "Target.ResponseCodeMismatch", text)
    ]
    documents["elb/target-groups"][GROUP]["HealthCheckPath"] = "/healthz"
    found = find(documents)
    assert causes(found) == ["health_path_wrong"]
    finding = found.roots[0].candidate.finding
    assert finding.confidence == "certain" and "--health-check-path /api/health" in finding.fix[0]
    assert text in finding.evidence[0].text


@pytest.mark.parametrize(
    ("state", "reason", "text"),
    [
        ("healthy", "", ""),
        ("unhealthy", "Target.Timeout", "Request timed out"),
        (
            "unhealthy",
            "Target.ResponseCodeMismatch",
            "Health checks failed with these codes: [500]",
        ),
    ],
)
def test_another_failure_is_not_the_path(state: str, reason: str, text: str) -> None:
    documents = world()
    documents["elb/targets"][GROUP] = [target("10.0.1.2", state, reason, text)]
    assert "health_path_wrong" not in causes(find(documents))


def test_unknown_targets_say_nothing() -> None:
    documents = world()
    del documents["elb/targets"]
    assert causes(find(documents, {"elb/targets": "denied"})) == []
