"""Pages as they answer: right, wrong, late, endless, in circles, or not at all. Real servers on
loopback.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from ops.core.config.settings import Endpoint
from ops.core.errors import ConfigError
from ops.http import client
from ops.http.facts import Answer

Served = Callable[[Callable[[socket.socket], None]], str]


def health(**expect: Any) -> Endpoint:
    return Endpoint(path="/api/health", content_type="application/json", expect=expect)


def test_a_right_answer(httpserver: HTTPServer) -> None:
    """Status, type and every expectation hold: healthy, no problem."""
    httpserver.expect_request("/api/health").respond_with_data(
        json.dumps({"status": "ok", "db": {"n": [1, 2]}}),
        content_type="Application/JSON; charset=utf-8",
    )
    found = client.probe(
        httpserver.url_for("/"), health(status="ok", **{"db.n[1]": 2, "type(@)": "object"})
    )
    assert (found.healthy, found.status, found.content_type, found.path) == (
        True,
        200,
        "application/json",
        "/api/health",
    )
    assert 0 <= found.took_s < 5


@pytest.mark.parametrize(
    ("expect", "said"),
    [
        ({"status": "ok"}, 'status: "degraded", expected "ok"'),
        ({"lag": 500}, "lag: nothing there, expected 500"),
        ({"absent.deeper": None}, "absent.deeper: nothing there, expected null"),
        ({"ready": 1}, "ready: true, expected 1"),
        ({"length(nothing)": 0}, "length(nothing): "),
    ],
)
def test_expectations_show_expected_and_actual(
    httpserver: HTTPServer, expect: dict[str, Any], said: str
) -> None:
    """A wrong value is shown with the right one; a missing path never passes."""
    httpserver.expect_request("/api/health").respond_with_json(
        {"status": "degraded", "ready": True}
    )
    found = client.probe(httpserver.url_for("/"), health(**expect))
    assert found.status == 200 and not found.healthy
    assert found.problem.startswith(said)


def test_status_and_body_are_both_told(httpserver: HTTPServer) -> None:
    """A 503 still says what its body said."""
    httpserver.expect_request("/api/health").respond_with_json({"database": "error"}, status=503)
    found = client.probe(httpserver.url_for("/"), health(database="connected"))
    assert found.problem == 'status: 503, expected 200; database: "error", expected "connected"'


def test_json_served_as_html_is_a_problem(httpserver: HTTPServer) -> None:
    """Status 200 with the wrong type is not healthy (facts.md, incident 2)."""
    httpserver.expect_request("/api/health").respond_with_data(
        "<html>an app</html>", content_type="text/html"
    )
    found = client.probe(httpserver.url_for("/"), health(status="ok"))
    assert (
        found.problem
        == "content type: text/html, expected application/json; body: no JSON, it starts with "
        "'<html>an app</html>'"
    )


def test_a_release_is_shown_or_any(httpserver: HTTPServer) -> None:
    """Where no release says what {tag} is, any word will do; a page without it, or an empty one,
    never.
    """
    page = Endpoint(path="/", text="version {tag}")
    httpserver.expect_request("/").respond_with_data(
        "<p>version abc1234</p>", content_type="text/html"
    )
    assert (
        client.probe(httpserver.url_for("/"), page).healthy
        and client.probe(httpserver.url_for("/"), page.about("abc1234")).healthy
    )
    (look,) = client.fetch_all(httpserver.url_for("/"), [page])
    assert look.to_answer(page.about("abc1234")).healthy
    assert (
        look.to_answer(page.about("def5678")).problem
        == "text: 'version def5678' is not in the body"
    )
    httpserver.clear()
    httpserver.expect_request("/").respond_with_data("<p>version </p>", content_type="text/html")
    assert client.probe(httpserver.url_for("/"), page).cause == "wrong_body"


def test_an_empty_page_is_none(httpserver: HTTPServer) -> None:
    """200 and nothing in it is a problem, unless that is what is expected."""
    httpserver.expect_request("/").respond_with_data(" ", content_type="text/html")
    found = client.probe(httpserver.url_for("/"), Endpoint(path="/"))
    assert (found.problem, found.cause) == ("body: empty, expected something", "wrong_body")
    assert client.probe(httpserver.url_for("/"), Endpoint(path="/", empty=True)).healthy
    httpserver.expect_request("/gone").respond_with_data("", status=204)
    assert client.probe(httpserver.url_for("/"), Endpoint(path="/gone", status=204)).healthy


def test_text_must_be_there(httpserver: HTTPServer) -> None:
    """A page without its text is a problem, with it none; its charset is honoured."""
    httpserver.expect_request("/").respond_with_data(
        "Grüße".encode("latin-1"), content_type="text/html; charset=iso-8859-1"
    )
    assert client.probe(httpserver.url_for("/"), Endpoint(path="/", text="Grüße")).healthy
    assert (
        client.probe(httpserver.url_for("/"), Endpoint(path="/", text="Hallo")).problem
        == "text: 'Hallo' is not in the body"
    )


def test_an_empty_body_is_said(httpserver: HTTPServer) -> None:
    """Nothing where JSON was expected."""
    httpserver.expect_request("/api/health").respond_with_data("", content_type="application/json")
    assert (
        client.probe(httpserver.url_for("/"), health(status="ok")).problem
        == "body: empty, expected JSON"
    )


def test_a_redirect_is_followed_or_expected(httpserver: HTTPServer) -> None:
    """A redirect leads to the page, unless the redirect itself is what should come."""
    httpserver.expect_request("/old").respond_with_data(
        "", status=301, headers={"location": "/new"}
    )
    httpserver.expect_request("/new").respond_with_data("new", content_type="text/html")
    assert client.probe(httpserver.url_for("/"), Endpoint(path="/old", text="new")).healthy
    assert client.probe(httpserver.url_for("/"), Endpoint(path="/old", status=301)).healthy


def test_a_redirect_loop_is_named(httpserver: HTTPServer) -> None:
    """The ALB's redirect to itself is found at once and shown as a loop (facts.md, incident 1)."""
    httpserver.expect_request("/a").respond_with_data("", status=301, headers={"location": "/b"})
    httpserver.expect_request("/b").respond_with_data("", status=301, headers={"location": "/a"})
    found = client.probe(httpserver.url_for("/"), Endpoint(path="/a"))
    assert found.problem.startswith("redirect loop: http://") and found.problem.count("→") == 2
    assert found.status == 301


def test_redirects_without_end_are_bounded(httpserver: HTTPServer) -> None:
    """A chain that never repeats stops at five."""

    def onward(request: Request) -> Response:
        return Response("", 302, {"location": f"/{int(request.path[1:]) + 1}"})

    for number in range(9):
        httpserver.expect_request(f"/{number}").respond_with_handler(onward)
    assert client.probe(httpserver.url_for("/"), Endpoint(path="/0")).problem.startswith(
        "more than 5 redirects: "
    )
    assert len(httpserver.log) == 6


def at_balancer(server: HTTPServer, path: str = "/about", host: str = "site.test") -> Answer:
    (look,) = client.fetch_all(server.url_for("/"), [Endpoint(path=path)], 5.0, host=host)
    return look.to_answer()


def test_a_load_balancer_is_asked_itself_to_the_end(httpserver: HTTPServer) -> None:
    """A redirect to the site is followed at the load balancer, which is asked for the site: its
    answer, not the CDN's.
    """
    httpserver.expect_request("/about", headers={"host": "site.test"}).respond_with_data(
        "", status=301, headers={"location": "http://site.test/about/"}
    )
    httpserver.expect_request("/about/", headers={"host": "site.test"}).respond_with_data("well")
    found = at_balancer(httpserver)
    assert found.healthy and found.status == 200, found
    assert len(httpserver.log) == 2


def test_a_load_balancer_that_only_redirects_is_a_loop_or_away(httpserver: HTTPServer) -> None:
    """To the very page that was asked for: a loop, by the site's address; to another host: not its
    answer.
    """
    httpserver.expect_request("/about").respond_with_data(
        "", status=301, headers={"location": "http://site.test/about"}
    )
    found = at_balancer(httpserver)
    assert found.cause == "redirect_loop" and "→ http://site.test/about" in found.problem
    httpserver.expect_request("/old").respond_with_data(
        "", status=301, headers={"location": "http://www.site.test/old"}
    )
    found = at_balancer(httpserver, "/old")
    assert found.cause == "redirected_away" and found.problem.endswith("→ http://www.site.test/old")


def test_a_redirect_to_a_file_is_not_followed(httpserver: HTTPServer) -> None:
    """Only web pages are asked."""
    httpserver.expect_request("/").respond_with_data(
        "", status=302, headers={"location": "file:///etc/passwd"}
    )
    assert "no web page" in client.probe(httpserver.url_for("/"), Endpoint(path="/")).problem


@pytest.fixture
def threaded() -> Iterator[HTTPServer]:
    with HTTPServer(threaded=True) as server:
        yield server


def test_all_at_once_in_their_order(threaded: HTTPServer) -> None:
    """Five pages of 0.4 s take about 0.4 s, and one that fails spoils no other."""

    def slow(request: Request) -> Response:
        time.sleep(0.4)
        return Response("ok", status=404 if request.path == "/2" else 200)

    for number in range(5):
        threaded.expect_request(f"/{number}").respond_with_handler(slow)
    began = time.monotonic()
    found = client.probe_all(
        threaded.url_for("/"), [Endpoint(path=f"/{number}") for number in range(5)]
    )
    assert time.monotonic() - began < 1.5
    assert [item.path for item in found] == ["/0", "/1", "/2", "/3", "/4"]
    assert [item.healthy for item in found] == [True, True, False, True, True]
    assert client.probe_all(threaded.url_for("/"), []) == ()


def test_what_was_slow_once_is_asked_again(threaded: HTTPServer) -> None:
    """The faster of two answers counts; what was fast is asked once."""
    asked: list[str] = []

    def now_and_then(request: Request) -> Response:
        asked.append(request.path)
        if request.path == "/slow" or (request.path == "/once" and asked.count("/once") == 1):
            time.sleep(0.8)
        return Response("ok")

    pages = [Endpoint(path=path) for path in ("/once", "/slow", "/fast")]
    for page in pages:
        threaded.expect_request(page.path).respond_with_handler(now_and_then)
    once, slow, fast = (
        look.to_answer() for look in client.fetch_all(threaded.url_for("/"), pages, 10.0, again=0.7)
    )
    assert once.took_s < 0.7 <= slow.took_s and once.healthy and slow.healthy and fast.healthy
    assert (asked.count("/once"), asked.count("/slow")) == (2, 2)


def test_the_machines_proxy_is_not_asked_for_loopback(
    httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy in the environment does not come between us and this machine."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    httpserver.expect_request("/").respond_with_data("ok")
    assert client.probe(httpserver.url_for("/"), Endpoint(path="/")).healthy


@pytest.mark.parametrize("base", ["example.org", "ftp://example.org", "http://", ""])
def test_a_bad_address_is_a_configuration_error(base: str) -> None:
    """An address without scheme or host is refused before anything is asked."""
    with pytest.raises(ConfigError, match="http://"):
        client.probe(base, Endpoint(path="/"))


def test_a_bad_expectation_is_a_configuration_error() -> None:
    """What is no JMESPath is refused by name."""
    with pytest.raises(ConfigError, match="JMESPath"):
        client.probe("http://127.0.0.1:9", Endpoint(path="/", expect={"a b[": 1}))


def test_an_endpoint_has_its_own_method_host_and_headers(httpserver: HTTPServer) -> None:
    """They are sent, and the answer names the request by them."""
    httpserver.expect_request(
        "/pages", method="HEAD", headers={"host": "admin.test", "x-probe": "1"}
    ).respond_with_data("")
    asked = Endpoint(path="/pages", method="HEAD", host="admin.test", headers={"x-probe": "1"})
    answer = client.probe(httpserver.url_for(""), asked)
    assert answer.healthy and answer.path == "HEAD admin.test/pages"
    plain = client.probe(httpserver.url_for(""), Endpoint(path="/pages"))
    assert not plain.healthy and plain.path == "/pages"


def test_own_headers_are_not_sent_to_another_address(httpserver: HTTPServer) -> None:
    """A redirect to another host name gets neither the headers nor the host of the endpoint."""
    port = httpserver.port
    away = f"http://localhost:{port}/other"
    httpserver.expect_request("/from").respond_with_data("", 302, headers={"location": away})
    httpserver.expect_request("/other").respond_with_handler(
        lambda request: Response("leaked" if "x-probe" in request.headers else "clean")
    )
    asked = Endpoint(path="/from", headers={"x-probe": "1"}, text="clean")
    answer = client.probe(f"http://127.0.0.1:{port}", asked)
    assert answer.healthy, answer.problem
