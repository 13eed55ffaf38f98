"""The page that failed a deploy: the request and its answer, in the sentence that ends the run."""

from __future__ import annotations

from typing import Any

import pytest

from ops.cdn.check import CacheCheck, CachedPage
from ops.cdn.facts import CacheAnswer, EdgeProof
from ops.deploy.verify import still_unhealthy
from ops.health.rules.endpoints import with_pages
from ops.http.facts import Answer

SITE = "https://example.com/"
DOWN = Answer("/api/health", 503, "text/plain", 0.1, "status: 503, expected 200")
SILENT = Answer("/", 0, "", 10.0, "no answer in time (10 s)")


@pytest.mark.parametrize(
    ("answers", "text"),
    [
        (
            [DOWN],
            "x: GET https://example.com/api/health: 503 (status: 503, expected 200)",
        ),
        (
            [DOWN, SILENT],
            "x: GET https://example.com/api/health: 503 (status: 503, expected 200); "
            "GET https://example.com/: no answer (no answer in time (10 s))",
        ),
    ],
)
def test_request_and_answer_are_named(answers: list[Answer], text: str) -> None:
    assert with_pages("x", answers, SITE) == text


def test_of_many_pages_three_are_named() -> None:
    """A site that is down as a whole does not fill the screen."""
    text = with_pages("x", [DOWN] * 5, SITE)
    assert text.count("GET ") == 3 and text.endswith("; and 2 more")


def test_a_page_that_was_unhealthy_before_is_named_too() -> None:
    finding = still_unhealthy((DOWN,), (DOWN,), "backend", SITE)
    assert finding and finding.summary.startswith("1 endpoint unhealthy, before and after: GET ")
    assert "503, expected 200" in finding.summary


def _page(path: str, state: Any) -> CachedPage:
    answer = CacheAnswer(path, 200, "hit", 9, "FRA1")
    return CachedPage("web", path, answer, None, EdgeProof(state, "text", "why"))


def test_the_advice_names_the_stale_pages_only() -> None:
    """One stale page of four: the three others stay cached."""
    pages = tuple(_page(path, "stale" if path == "/b" else "fresh") for path in ("/a", "/b", "/c"))
    check = CacheCheck("dev", "https://example.com", "http://lb", pages)
    assert check.text.endswith("next: inv cdn.invalidate --paths /b")
