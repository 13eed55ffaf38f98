"""`inv frontend.deploy` and `inv cdn.*` on the sandbox: what a visitor sees through the CDN, before
and after (runbook 3, step 5).
"""

from __future__ import annotations

import re
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.checkout import Checkout
from tests.deploy import deploying as world
from tests.waiting import until

pytestmark = [pytest.mark.xdist_group("platform"), pytest.mark.timeout(240)]
DENIED = b"""<ErrorResponse xmlns="http://cloudfront.amazonaws.com/doc/2020-05-31/"><Error><Type>Sender</Type><Code>AccessDenied</Code>
<Message>User: arn:aws:iam::123456789012:user/ci is not authorized to perform: cloudfront:CreateInvalidation on resource: x because no
identity-based policy allows it</Message></Error><RequestId>1</RequestId></ErrorResponse>"""


def visitor(platform: Checkout, path: str = "/") -> str:
    """The version in the page that a visitor gets."""
    with urllib.request.urlopen(world.overlay(platform)["site"] + path, timeout=10) as answer:
        found = re.search(r"version ([\w.-]+)", answer.read().decode())
    assert found
    return found[1]


def invalidations(platform: Checkout) -> int:
    client = world.aws(platform, "cloudfront")
    (distribution,) = client.list_distributions()["DistributionList"]["Items"]
    return int(
        client.list_invalidations(DistributionId=distribution["Id"])["InvalidationList"]["Quantity"]
    )


def change(platform: Checkout, why: str) -> str:
    return world.commit(platform, {"frontend/NOTE": why}, f"The frontend: {why}")


def test_visitors_see_the_new_page_at_once(platform: Checkout) -> None:
    """A page in the cache would live for a day; right after `frontend.deploy` it is the new one,
    and nobody saw a failure.
    """
    old = visitor(platform)
    tag = change(platform, "seen at once")
    assert old != tag
    with world.client(world.overlay(platform)["site"]) as client:
        done = platform.document("frontend.deploy")
    assert done["verdict"] == "succeeded", done
    assert [step["name"] for step in done["steps"]] == [
        "build",
        "push",
        "register",
        "update",
        "watch",
        "invalidate",
        "prove",
    ]
    assert {visitor(platform, path) for path in ("/", "/about", "/contact")} == {tag}
    assert client.failed == []


def test_a_stale_cache_is_seen_and_cured(platform: Checkout) -> None:
    """`--skip cdn` rolls out and leaves the cache: `cdn.check` shows the old page and names the
    cure, which makes it the new one.
    """
    old = visitor(platform)
    time.sleep(4)  # the page is clearly older than the rollout
    tag = change(platform, "cache left alone")
    done = platform.document("frontend.deploy", "--skip", "cdn")
    assert (done["verdict"], done["skipped"]) == ("succeeded", ["cdn"]) and visitor(
        platform
    ) == old != tag, done
    stale = platform.inv("cdn.check")
    assert (
        stale.returncode == 1
        and "STALE" in stale.stdout
        and "next: inv cdn.invalidate" in stale.stdout
    ), stale.stdout + stale.stderr
    cured = platform.document("cdn.invalidate", "--paths", "/about,/contact", "--paths", "/*")
    assert cured["invalidation"]["status"] == "Completed" and sorted(
        cured["invalidation"]["paths"]
    ) == ["/*", "/about", "/contact"]
    assert visitor(platform) == tag
    seen = platform.document("cdn.check")
    caches = {page["path"]: page["cache"] for page in seen["pages"]}
    assert seen["healthy"] and (caches["/"], caches["/api/health"]) == ("hit", "miss"), seen


def test_a_page_that_names_no_version_is_proved_at_the_edge(
    platform: Checkout, tmp_path: Path
) -> None:
    """Compared with the origin: a deploy whose `invalidate` misses it fails and keeps the rollout,
    `cdn.check` proves it stale, and it is fresh after a deploy that invalidates it. Without the
    origin the old copy is unknown.
    """

    def configured(name: str, *invalidate: str) -> tuple[str, str]:
        frontend = {
            "endpoints": [{"path": "/about", "content_type": "text/html"}],
            "invalidate": [*invalidate],
        }
        services = {"environments": {"sandbox": {"services": {"frontend": frontend}}}}
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump(services))
        return "-f", str(path)

    def about() -> tuple[bool, dict[str, Any]]:
        found = platform.document(*missed, "cdn.check")
        return found["healthy"], next(p for p in found["pages"] if p["path"] == "/about")

    missed, covered = configured("missed", "/contact"), configured("covered", "/*")
    old = visitor(platform, "/about")
    time.sleep(4)  # the page is clearly older than the rollout
    tag = change(platform, "no version named")
    done = platform.document(*missed, "frontend.deploy")
    assert (done["verdict"], done["not_undone"]) == ("failed", []), done
    assert [finding["cause"] for finding in done["findings"]] == ["stale_cache"], done
    assert [page["state"] for page in done["edge"]] == ["stale"]
    assert visitor(platform, "/about") == old
    healthy, page = about()
    assert not healthy and (page["state"], page["proof"]) == ("stale", "content"), page
    assert page["edge"]["sha256"] != page["origin"]["sha256"] and page["pop"], page
    text = platform.inv(*missed, "cdn.check")
    assert text.returncode == 1 and page["origin"]["sha256"] in text.stdout, text.stdout
    with without_origin(platform):
        healthy, page = about()
    assert not healthy and page["state"] == "unknown", page
    assert page["cached_before_deployment"] and "127.0.0.1:9" in page["why"], page
    done = platform.document(*covered, "frontend.deploy")
    assert (done["verdict"], done["edge"][0]["state"]) == ("succeeded", "fresh"), done
    assert visitor(platform, "/about") == tag
    healthy, page = about()
    assert healthy and (page["state"], page["proof"], page["cache"]) == (
        "fresh",
        "content",
        "hit",
    ), page


def test_a_second_deploy_pays_for_no_second_invalidation(platform: Checkout) -> None:
    """Run again, the invalidation of this deployment is only looked at."""
    change(platform, "deployed twice")
    assert platform.document("frontend.deploy")["verdict"] == "succeeded"
    before = invalidations(platform)
    again = platform.document("frontend.deploy")
    assert [step["name"] for step in again["steps"]] == ["invalidate", "prove"] and again[
        "verdict"
    ] == "succeeded"
    assert invalidations(platform) == before


def test_a_deploy_killed_before_the_invalidation_is_simply_run_again(platform: Checkout) -> None:
    """kill -9 between rollout and invalidation: the next run has nothing to roll out, and the
    visitor sees the new page after it.
    """
    visitor(platform)
    tag = change(platform, "killed")
    process = world.start(platform, "frontend.deploy")
    world.read_until(process, "== completed")
    process.kill()
    process.communicate()
    done = platform.document("frontend.deploy")
    assert done["verdict"] == "succeeded" and visitor(platform) == tag, done
    assert not {"build", "push"} & {step["name"] for step in done["steps"]}


def test_a_way_back_takes_the_new_pages_out_too(platform: Checkout) -> None:
    """A release that is undone leaves none of its pages in the cache: what a visitor gets is the
    old version again.
    """
    old = visitor(platform)
    server = (world.source(platform) / "frontend/server.py").read_text()
    broken = server.replace('"/contact": (', '"/contacts": (')
    assert broken != server
    world.commit(platform, {"frontend/server.py": broken}, "Loses a page")
    done = platform.inv("frontend.deploy", "--json", "--skip", "tests")
    assert done.returncode == 4 and "/contact" in done.stdout, done.stdout + done.stderr
    assert done.stderr.count(": Completed after") == 2
    assert {visitor(platform, path) for path in ("/", "/about", "/contact")} == {old}
    world.revert(platform)


def test_a_missing_permission_keeps_the_healthy_rollout(platform: Checkout) -> None:
    """AccessDenied at CreateInvalidation: exit 1 with `cache_not_invalidated` and what to type;
    what runs is new and is kept.
    """
    old = visitor(platform)
    tag = change(platform, "may not invalidate")
    with denying(platform):
        done = platform.document("frontend.deploy")
        plainly = platform.inv("cdn.invalidate")
    assert done["verdict"] == "failed" and "may not cloudfront:CreateInvalidation" in done["why"], (
        done
    )
    (finding,) = done["findings"]
    assert (
        finding["cause"] == "cache_not_invalidated"
        and finding["fix"][-1] == "inv cdn.invalidate --paths '/*'"
    )
    assert "have cloudfront:CreateInvalidation allowed" in finding["fix"][0]
    assert visitor(platform) == old and done["not_undone"] == []
    assert (
        plainly.returncode == 1
        and plainly.stderr.count("\n") <= 5
        and "may not cloudfront:CreateInvalidation" in plainly.stderr
    )
    assert platform.inv("cdn.invalidate").returncode == 0
    assert visitor(platform) == tag
    finished = platform.document("frontend.deploy")
    assert finished["verdict"] == "succeeded" and [step["name"] for step in finished["steps"]] == [
        "invalidate",
        "prove",
    ], finished
    assert platform.inv("health.ecs").returncode == 0


@contextmanager
def without_origin(platform: Checkout) -> Iterator[None]:
    """A load balancer that cannot be reached from here."""
    file = platform.root / ".sandbox/environment.yaml"
    text = file.read_text()
    file.write_text(yaml.safe_dump({**yaml.safe_load(text), "alb": "http://127.0.0.1:9"}))
    try:
        yield
    finally:
        file.write_text(text)


@contextmanager
def denying(platform: Checkout) -> Iterator[None]:
    """An AWS that refuses CreateInvalidation and hands everything else on."""
    file = platform.root / ".sandbox/environment.yaml"
    text = file.read_text()
    values = yaml.safe_load(text)
    behind = values["aws"]["endpoint"]

    class Door(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.command == "POST" and self.path.endswith("/invalidation"):
                return self.send(403, {"Content-Type": "text/xml"}, DENIED)
            headers = {
                name: value
                for name, value in self.headers.items()
                if name.lower() not in ("connection", "content-length")
            }
            asked = urllib.request.Request(
                behind + self.path, body or None, headers, method=self.command
            )
            try:
                with urllib.request.urlopen(asked, timeout=30) as found:
                    return self.send(found.status, dict(found.headers), found.read())
            except urllib.error.HTTPError as error:
                return self.send(error.code, dict(error.headers), error.read())

        do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = answer

        def send(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response(status)
            for name, value in headers.items():
                if name.lower() not in (
                    "content-length",
                    "connection",
                    "transfer-encoding",
                    "date",
                    "server",
                ):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, *arguments: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
    ).start()
    file.write_text(
        yaml.safe_dump(
            {
                **values,
                "aws": {**values["aws"], "endpoint": f"http://127.0.0.1:{server.server_port}"},
            }
        )
    )
    try:
        yield
    finally:
        file.write_text(text)
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("--paths", "/*.html"), 2, "a * only as its last character"),
        (("--paths", "about"), 2, "starts with /"),
        (("--plan",), 0, "Invalidate /* at CloudFront distribution "),
    ],
)
def test_invalidate_by_hand(
    platform: Checkout, words: tuple[str, ...], code: int, says: str
) -> None:
    """A pattern that CloudFront would not take as meant is exit 2; `--plan` changes nothing."""
    before = invalidations(platform)
    done = platform.inv("cdn.invalidate", *words)
    assert done.returncode == code and says in done.stdout + done.stderr
    assert invalidations(platform) == before


def test_the_status_names_what_is_open(platform: Checkout) -> None:
    """Distribution, deployed or not, and invalidations under way."""
    client = world.aws(platform, "cloudfront")
    (distribution,) = client.list_distributions()["DistributionList"]["Items"]
    over = threading.Event()
    until(lambda: not platform.document("cdn.status")["open_invalidations"])  # of an earlier test

    begun = threading.Event()

    def go_on() -> None:  # each is open for seconds only, and a busy machine may look later
        while not over.is_set():
            batch = {
                "Paths": {"Quantity": 1, "Items": ["/about"]},
                "CallerReference": f"by hand {time.time()}",
            }
            client.create_invalidation(DistributionId=distribution["Id"], InvalidationBatch=batch)
            begun.set()
            over.wait(0.5)

    threading.Thread(target=go_on, daemon=True).start()
    try:
        assert begun.wait(60)
        seen = platform.document("cdn.status")
    finally:
        over.set()
    assert seen["distribution"]["id"] == distribution["Id"] and seen["distribution"]["aliases"] == [
        "davidshaevel.com"
    ]
    assert seen["deployed"] and {tuple(each["paths"]) for each in seen["open_invalidations"]} == {
        ("/about",)
    }


def test_a_distribution_that_is_not_there_is_refused_before_anything_is_built(
    platform: Checkout,
) -> None:
    """A wrong alias is found out by the checklist: exit 3, what there is, and nothing has
    changed.
    """
    change(platform, "wrong alias")
    file = platform.root / "invoke.yaml"
    text = file.read_text()
    file.write_text(text.replace("cdn: {alias: davidshaevel.com,", "cdn: {alias: gone.example,"))
    try:
        done = platform.inv("frontend.deploy")
    finally:
        file.write_text(text)
    assert (
        done.returncode == 3
        and "found: " in done.stderr
        and "(davidshaevel.com)" in done.stderr
        and "--skip cdn" in done.stderr
    )
    assert "✓ build" not in done.stderr


def test_a_rollback_shows_the_earlier_page_at_once(platform: Checkout) -> None:
    """The cache is invalidated for the rollback's deployment, and the page is proved at the edge."""
    old = change(platform, "rolled back to")
    assert platform.document("frontend.deploy")["verdict"] == "succeeded"
    new = change(platform, "rolled back from")
    assert platform.document("frontend.deploy")["verdict"] == "succeeded"
    assert visitor(platform) == new
    done = platform.document("frontend.rollback")
    assert (done["verdict"], done["tag"]) == ("succeeded", old), done
    assert [step["name"] for step in done["steps"]] == ["update", "watch", "invalidate", "prove"]
    assert {visitor(platform, path) for path in ("/", "/about")} == {old}
