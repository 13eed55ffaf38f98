"""The CDN by table: whose cache it is, when an invalidation is the same one, which page is old, and
where a deploy plans it.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ops.cdn.facts import CacheAnswer, Distribution
from ops.cdn.rules.distribution import RunningSince, cached_before, choose, reference
from ops.core.config.settings import Cdn
from ops.core.config.types import path_pattern
from ops.core.errors import Refused
from ops.core.findings import Unknown
from ops.deploy.rules.plan import plan_release
from tests.deploy.test_plan import FACTS, IMAGE, ROLLOUT, RUNS_IT, SERVICE, deployment, service

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
SITE = "https://example.com"


def distribution(id: str, *aliases: str, comment: str = "") -> Distribution:
    return Distribution(id, "d1.cloudfront.net", "Deployed", True, aliases, comment)


OURS, OTHER = (
    distribution("E1", "example.com", comment="CDN"),
    distribution("E2", "other.org", comment="other"),
)
CACHED = SERVICE.model_copy(update={"invalidate": ["/*", "/about"]})


@pytest.mark.parametrize(
    ("cdn", "site"),
    [
        (Cdn(alias="example.com"), None),
        (Cdn(alias="EXAMPLE.com"), None),
        (Cdn(comment="CDN"), SITE),
        (Cdn(alias="example.com", comment="other"), None),
        (Cdn(alias="gone.net", comment="CDN"), None),
        (Cdn(), SITE),
    ],
    ids=["alias", "any case", "comment", "alias wins", "no such alias: comment", "the site's host"],
)
def test_the_distribution_is_found(cdn: Cdn, site: str | None) -> None:
    """An alias is steadier than a comment, and the site's host is an alias too."""
    assert choose((OTHER, OURS), cdn, site) is OURS


@pytest.mark.parametrize(
    ("found", "cdn", "says"),
    [
        (
            (OURS, OTHER),
            Cdn(alias="gone.net"),
            ("alias gone.net", "none matches", "E1 (example.com), E2 (other.org)"),
        ),
        (
            (OURS, replace(OURS, id="E3")),
            Cdn(comment="CDN"),
            ("comment 'CDN'", "several match", "E1 (example.com), E3 (example.com)"),
        ),
        ((), Cdn(alias="example.com"), ("none matches; found: none",)),
        ((OURS,), Cdn(), ("no alias or comment configured",)),
    ],
)
def test_a_guess_is_refused_and_says_what_was_found(
    found: tuple[Distribution, ...], cdn: Cdn, says: tuple[str, ...]
) -> None:
    """None, or several: exit 3, with what there is."""
    with pytest.raises(Refused) as caught:
        choose(found, cdn, None)
    assert all(text in str(caught.value) for text in says) and "cdn.alias" in caught.value.next


WIDE = distribution("E5", "*.example.com", "*.dev.example.com")
STAGING = replace(OURS, id="E6", aliases=(), staging=True)


@pytest.mark.parametrize(
    ("found", "cdn", "site", "chosen"),
    [
        ((WIDE, OTHER), Cdn(), "https://www.example.com", "E5"),
        ((WIDE, OTHER), Cdn(alias="a.b.Example.com"), None, "E5"),
        ((WIDE, OURS), Cdn(alias="example.com"), None, "E1"),
        ((WIDE, distribution("E7", "www.example.com")), Cdn(alias="www.example.com"), None, "E7"),
        (
            (distribution("E8", "*.example.com"), distribution("E9", "*.dev.example.com")),
            Cdn(),
            "https://www.dev.example.com",
            "E9",
        ),
        ((STAGING, OURS), Cdn(comment="CDN"), None, "E1"),
        ((replace(OURS, id="E3", enabled=False), OURS), Cdn(comment="CDN"), None, "E1"),
        ((replace(OURS, enabled=False),), Cdn(comment="CDN"), None, "E1"),
    ],
    ids=[
        "a wildcard",
        "a wildcard of several labels",
        "a wildcard does not cover the domain itself",
        "the exact alias before a wildcard",
        "the longest wildcard",
        "not the staging copy",
        "the enabled one of two",
        "a disabled one that is the only one",
    ],
)
def test_the_distribution_that_serves_production_is_chosen(
    found: tuple[Distribution, ...], cdn: Cdn, site: str | None, chosen: str
) -> None:
    """By CloudFront's own rules for aliases; a staging copy has its primary's comment."""
    assert choose(found, cdn, site).id == chosen


@pytest.mark.parametrize(
    ("found", "cdn", "says"),
    [
        ((STAGING,), Cdn(comment="CDN"), ("none matches", "E6 (CDN; staging)")),
        ((WIDE,), Cdn(alias="example.com"), ("none matches",)),
        ((WIDE,), Cdn(alias="notexample.com"), ("none matches",)),
        (
            (replace(OURS, enabled=False), replace(OURS, id="E3", enabled=False)),
            Cdn(comment="CDN"),
            ("several match", "E1 (example.com; disabled), E3 (example.com; disabled)"),
        ),
    ],
)
def test_a_staging_or_uncovered_distribution_is_not_chosen(
    found: tuple[Distribution, ...], cdn: Cdn, says: tuple[str, ...]
) -> None:
    """What was found is listed with the reason why it is none of the candidates."""
    with pytest.raises(Refused) as caught:
        choose(found, cdn, None)
    assert all(text in str(caught.value) for text in says)


def test_a_deployment_has_one_invalidation() -> None:
    """The same deployment and paths have the same reference; another deployment, or other paths,
    another one.
    """
    assert reference("ecs-svc/1", ["/*"]) == reference("ecs-svc/1", ["/*"])
    assert (
        len(
            {
                reference("ecs-svc/1", ["/*"]),
                reference("ecs-svc/2", ["/*"]),
                reference("ecs-svc/1", ["/a"]),
            }
        )
        == 3
    )


@pytest.mark.parametrize(
    ("cache", "age", "registered_s_ago", "deployed_s_ago", "before"),
    [
        ("hit", 3600, 90, 60, True),
        ("hit", 30, 90, 60, False),
        ("hit", 61, 90, 60, False),
        ("refreshhit", 3600, 90, 60, False),
        ("miss", None, 90, 60, False),
        ("hit", None, 90, 60, None),
        # a restart, here or from outside: a new deployment of a revision that ran before
        ("hit", 600, 3600, 60, None),
        ("hit", 30, 3600, 60, False),
        ("hit", 7200, 3600, 60, True),
        # what could not be read
        ("hit", 3600, None, 60, None),
        ("hit", 30, None, 60, False),
        ("hit", 3600, 90, None, True),
        ("hit", 3600, None, None, None),
    ],
)
def test_a_page_from_before_the_running_release(
    cache: str,
    age: int | None,
    registered_s_ago: int | None,
    deployed_s_ago: int | None,
    before: bool | None,
) -> None:
    """Only a hit can be older; a restart alone makes no page older than what runs."""
    registered, deployed = (
        NOW - timedelta(seconds=ago) if ago is not None else None
        for ago in (registered_s_ago, deployed_s_ago)
    )
    since = RunningSince(registered, deployed)
    assert cached_before(CacheAnswer("/", 200, cache, age, ""), since, NOW) is before


@pytest.mark.parametrize(
    "pattern",
    [
        "/*",
        "/about",
        "/static/*",
        "/a?x=1",
        "/a?b=*",
        "/caf%C3%A9",
        "/a%20b",
        "//*",
        "/" + "x" * 3999,
    ],
)
def test_patterns_that_cloudfront_takes(pattern: str) -> None:
    """A path, or the beginning of one and a star."""
    assert path_pattern(pattern) == pattern


@pytest.mark.parametrize("pattern", ["", "about", "*", "/*.html", "/a b", "/a\n"])
def test_patterns_that_would_take_nothing(pattern: str) -> None:
    """A star in the middle is no wildcard to CloudFront, so it is a mistake here."""
    with pytest.raises(ValueError, match="allowed"):
        path_pattern(pattern)


@pytest.mark.parametrize(
    ("pattern", "encoded"),
    [
        ("/caf\u00e9", "/caf%C3%A9"),
        ("/a b", "/a%20b"),
        ("/~user/*", "/%7Euser/*"),
        ("/test[1].html", "/test%5B1%5D.html"),
        ("/<x>", "/%3Cx%3E"),
        ('/a"b', "/a%22b"),
        ("/{id}", "/%7Bid%7D"),
        ("/a#b", "/a%23b"),
        ("/%zz", "/%25zz"),
    ],
)
def test_unsafe_characters_are_refused_with_the_encoded_path(pattern: str, encoded: str) -> None:
    """CloudFront would answer InvalidArgument at the end of the deploy."""
    with pytest.raises(ValueError, match=re.escape(f"write it as {encoded}") + "$"):
        path_pattern(pattern)
    assert path_pattern(encoded) == encoded


def test_a_pattern_longer_than_cloudfront_takes() -> None:
    with pytest.raises(ValueError, match="at most 4000 characters"):
        path_pattern("/" + "x" * 4000)


RUNNING = {"image": IMAGE, "revision": RUNS_IT, "state": service(deployment(revision=8))}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"image": IMAGE, "distribution": OURS}, [*ROLLOUT[:-1], "invalidate", "prove"]),
        ({**RUNNING, "distribution": OURS}, ["invalidate", "prove"]),
        ({**RUNNING, "distribution": None}, ["prove"]),
    ],
    ids=["rolls out", "killed before it", "--skip cdn"],
)
def test_a_deploy_of_a_cached_service_invalidates(
    change: dict[str, Any], expected: list[str]
) -> None:
    """After the watch and before the proof; also where an earlier run was killed between the
    two.
    """
    plan = plan_release(replace(FACTS, **change), CACHED)
    assert [step.verb for step in plan.steps] == expected


def test_its_way_back_invalidates_too() -> None:
    """The undo's sentence says so, and the step names distribution and paths; a service without
    paths has neither.
    """
    steps = {
        step.verb: step for step in plan_release(replace(FACTS, distribution=OURS), CACHED).steps
    }
    assert "invalidate the CDN's cache again" in str(steps["update"].undo)
    assert (
        "/*, /about at CloudFront distribution E1 (example.com)" in str(steps["invalidate"])
        and steps["invalidate"].undo is None
    )
    assert "CDN" not in str(plan_release(replace(FACTS, distribution=OURS), SERVICE))


def test_a_distribution_that_could_not_be_read_stops_the_deploy_before_anything_changes() -> None:
    """Exit 3 with the reason, rather than a new version that nobody sees."""
    with pytest.raises(Refused, match="cloudfront:ListDistributions"):
        plan_release(
            replace(FACTS, distribution=Unknown("may not cloudfront:ListDistributions")), CACHED
        )
