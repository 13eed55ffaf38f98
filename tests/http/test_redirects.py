"""Where a redirect is asked for, when a load balancer is looked at in the site's name, by table."""

from __future__ import annotations

import pytest

from ops.http.redirects import own_address

ALB = "http://alb.test/about"


@pytest.mark.parametrize(
    ("asked", "host", "location", "expected"),
    [
        (ALB, None, "https://site.test/about", "https://site.test/about"),
        (ALB, "site.test", "http://alb.test/b", "http://alb.test/b"),  # a relative one
        (ALB, "site.test", "https://site.test/about?x=1", "https://alb.test/about?x=1"),
        (
            ALB,
            "site.test",
            "https://site.test:443/about",
            "https://alb.test:443/about",
        ),  # as ELB's own redirect action says it
        ("http://alb.test:8080/about", "site.test", "http://site.test/b", "http://alb.test:8080/b"),
        ("http://127.0.0.1:1/a", "127.0.0.1:2", "http://127.0.0.1:2/a", "http://127.0.0.1:1/a"),
        ("http://[::1]:1/a", "site.test", "https://site.test/a", "https://[::1]/a"),
        (ALB, "site.test", "https://www.site.test/about", None),
    ],
)
def test_own_address(asked: str, host: str | None, location: str, expected: str | None) -> None:
    """The asked address answers for the host, by whichever protocol it redirects to; another host
    is somebody else.
    """
    assert own_address(asked, host, location) == expected
