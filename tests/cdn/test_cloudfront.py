"""CloudFront against moto over HTTP (plain: its invalidations are never `Completed`), and pages'
headers from a real HTTP server.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pytest_httpserver import HTTPServer

from ops.aws import session
from ops.cdn import cloudfront
from ops.cdn import invalidate as flow
from ops.cdn.facts import Distribution
from ops.core.errors import Refused, TimedOut, Unreachable
from ops.platform import Platform


def made(cloud: session.AwsSession, number: int, *aliases: str, comment: str = "") -> str:
    behaviour = {
        "TargetOriginId": "o",
        "ViewerProtocolPolicy": "allow-all",
        "CachePolicyId": "658327ea-f89d-4fab-a63d-7e88639e58f6",
    }
    origin = {"HTTPPort": 80, "HTTPSPort": 443, "OriginProtocolPolicy": "http-only"}
    config = {
        "CallerReference": str(number),
        "Comment": comment,
        "Enabled": True,
        "Origins": {
            "Quantity": 1,
            "Items": [{"Id": "o", "DomainName": "alb.local", "CustomOriginConfig": origin}],
        },
        "DefaultCacheBehavior": behaviour,
        **({"Aliases": {"Quantity": len(aliases), "Items": list(aliases)}} if aliases else {}),
    }
    return str(
        cloud.client("cloudfront").create_distribution(DistributionConfig=config)["Distribution"][
            "Id"
        ]
    )


def test_all_distributions_are_listed(cloud: session.AwsSession) -> None:
    """None at first; then over several pages, with aliases and comment."""
    assert cloudfront.distributions(cloud) == ()
    ids = {made(cloud, number) for number in range(101)}
    site = made(cloud, 102, "example.com", "www.example.com", comment="CDN")
    found = {each.id: each for each in cloudfront.distributions(cloud)}
    assert set(found) == {*ids, site}
    assert (found[site].aliases, found[site].comment, found[site].enabled) == (
        ("example.com", "www.example.com"),
        "CDN",
        True,
    )


def test_one_by_its_id(cloud: session.AwsSession) -> None:
    """The same facts as in the list; an id that rotted is refused by name."""
    site = made(cloud, 1, "example.com", comment="CDN")
    found = cloudfront.distribution(cloud, site)
    assert (found.id, found.aliases, found.comment, found.enabled) == (
        site,
        ("example.com",),
        "CDN",
        True,
    )
    for call in (
        lambda: cloudfront.distribution(cloud, "EGONE"),
        lambda: cloudfront.invalidate(cloud, "EGONE", ["/*"], "x"),
        lambda: cloudfront.invalidation(cloud, "EGONE", "I1"),
    ):
        with pytest.raises(Refused, match="distribution EGONE does not exist"):
            call()
    with pytest.raises(Refused, match="invalidation I1"):
        cloudfront.invalidation(cloud, site, "I1")


def test_an_invalidation_is_made_and_seen(cloud: session.AwsSession) -> None:
    """Its paths and reference come back, and it is listed until it is Completed."""
    site = made(cloud, 1)
    assert cloudfront.open_invalidations(cloud, site) == ()
    first = cloudfront.invalidate(cloud, site, ["/about", "/static/*"], "deploy-1")
    assert (first.paths, first.reference, first.completed) == (
        ("/about", "/static/*"),
        "deploy-1",
        False,
    )
    assert cloudfront.invalidation(cloud, site, first.id) == first
    assert cloudfront.open_invalidations(cloud, site) == (first,)


def test_one_that_takes_too_long_is_a_timeout_of_its_own(
    cloud: session.AwsSession, settings: Callable[..., Any], moto_address: str
) -> None:
    """Exit 6 after `cdn.timeout`, every look `cdn.poll` apart."""
    site = Distribution(made(cloud, 1), "", "Deployed", True, (), "")
    platform = Platform(settings(cdn={"timeout": "20s", "poll": "6s"}), cloud)
    now, slept = [0.0], []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    with pytest.raises(TimedOut) as caught:
        flow.invalidate(platform, site, ["/*"], "x", clock=lambda: now[0], sleep=sleep)
    assert (
        slept == [6, 6, 6, 2] and caught.value.code == 6 and caught.value.next == "inv cdn.status"
    )


def test_a_configured_id_is_not_looked_up(
    settings: Callable[..., Any], cloud_at: Callable[[str], session.AwsSession]
) -> None:
    """Whoever may invalidate but not list can still deploy: nothing is asked (nothing answers at
    that address).
    """
    platform = Platform(settings(cdn={"distribution": "E1"}), cloud_at("http://127.0.0.1:9"))
    assert flow.find(platform).id == "E1"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (
            {"X-Cache": "Hit from cloudfront", "Age": "61", "X-Amz-Cf-Pop": "IAD89-C1"},
            ("hit", 61, "IAD89-C1"),
        ),
        ({"X-Cache": "RefreshHit from cloudfront"}, ("refreshhit", None, "")),
        ({"Age": "soon"}, ("none", None, "")),
    ],
)
def test_what_a_page_says_of_the_cache(
    httpserver: HTTPServer, headers: dict[str, str], expected: tuple[object, ...]
) -> None:
    """x-cache, age and the edge location; a site without a CDN says nothing of it."""
    httpserver.expect_request("/", method="HEAD").respond_with_data("", headers=headers)
    found = cloudfront.probe_cache(httpserver.url_for("").rstrip("/"), "/")
    assert (found.status, (found.cache, found.age_s, found.pop)) == (200, expected)


def test_a_site_that_does_not_answer() -> None:
    """Nothing there is an error that names the address."""
    with pytest.raises(Unreachable, match=r"HEAD http://127\.0\.0\.1:9/about"):
        cloudfront.probe_cache("http://127.0.0.1:9", "/about")


def test_an_application_that_knows_no_head(httpserver: HTTPServer) -> None:
    """405 to HEAD tells nothing of the cache: the head of a GET does."""
    httpserver.expect_request("/", method="HEAD").respond_with_data("", status=405)
    httpserver.expect_request("/", method="GET").respond_with_data(
        "well", headers={"x-cache": "Hit from cloudfront", "age": "7"}
    )
    found = cloudfront.probe_cache(httpserver.url_for("/").rstrip("/"), "/")
    assert (found.status, found.cache, found.age_s) == (200, "hit", 7)
