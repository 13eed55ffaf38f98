"""The order of causes: roots first, consequences with them, equal evidence once."""

from __future__ import annotations

from typing import Literal

from ops.core.findings import Evidence, Finding
from ops.diagnosis import diagnose  # noqa: F401 - registers the causes
from ops.diagnosis.model import Candidate
from ops.diagnosis.rules.ranking import rank


def candidate(
    name: str,
    service: str = "",
    confidence: Literal["certain", "likely", "possible"] = "certain",
    *texts: str,
) -> Candidate:
    evidence = tuple(Evidence("log", text) for text in texts)
    return Candidate(Finding(name, name, confidence, evidence), service)


def names(*candidates: Candidate) -> list[tuple[str, str]]:
    return [(each.cause, each.explained_by) for each in rank(candidates)]


def test_a_root_cause_comes_before_what_it_explains() -> None:
    found = names(
        candidate("page_failing", "backend"),
        candidate("target_unhealthy", "backend"),
        candidate("database_stopped"),
    )
    assert found == [
        ("database_stopped", ""),
        ("target_unhealthy", "database_stopped"),
        ("page_failing", "database_stopped"),
    ]


def test_another_service_is_not_explained() -> None:
    found = names(candidate("page_failing", "frontend"), candidate("target_unhealthy", "backend"))
    assert found == [("target_unhealthy", ""), ("page_failing", "")]


def test_the_surest_root_comes_first() -> None:
    found = names(candidate("state_locked", "", "possible"), candidate("stale_cache"))
    assert [name for name, _ in found] == ["stale_cache", "state_locked"]


def test_equal_evidence_is_counted() -> None:
    [found] = rank([candidate("log_errors", "backend", "certain", *["boom"] * 19, "other")])
    assert [(each.text, each.count) for each in found.candidate.finding.evidence] == [
        ("boom", 19),
        ("other", 1),
    ]


def test_explanations_of_the_sweep_are_used_and_never_go_in_a_circle() -> None:
    one, two = candidate("page_slow", "backend"), candidate("log_errors", "backend")
    found = rank([one, two], {one.identity: two.identity, two.identity: one.identity})
    assert sorted((each.cause, each.explained_by) for each in found) in (
        [("log_errors", ""), ("page_slow", "log_errors")],
        [("log_errors", "page_slow"), ("page_slow", "")],
    )


def test_the_database_explains_nothing_of_a_service_that_does_not_use_it() -> None:
    stopped, ours, others = (
        candidate("database_stopped"),
        candidate("page_failing", "backend"),
        candidate("page_failing", "frontend"),
    )
    found = rank([stopped, ours, others], affected={"database": frozenset({"backend"})})
    roots = [each.candidate.identity for each in found if not each.explained_by]
    assert roots == [("database_stopped", ""), ("page_failing", "frontend")]


def test_a_cause_of_the_database_is_one_whichever_service_noticed_it() -> None:
    found = rank(
        [
            candidate("database_tls", "backend", "certain", "seen by backend"),
            candidate("database_tls", "", "likely", "seen by us"),
        ]
    )
    [only] = found
    assert only.candidate.identity == ("database_tls", "")
    assert {each.text for each in only.candidate.finding.evidence} == {
        "seen by backend",
        "seen by us",
    }


def test_a_blocked_database_is_no_reason_for_the_circuit_breaker() -> None:
    found = names(
        candidate("transaction_blocks"), candidate("rollout_reverted_by_breaker", "backend")
    )
    assert ("rollout_reverted_by_breaker", "") in found
    found = names(
        candidate("container_exited", "backend"),
        candidate("rollout_reverted_by_breaker", "backend"),
    )
    assert ("rollout_reverted_by_breaker", "container_exited") in found
