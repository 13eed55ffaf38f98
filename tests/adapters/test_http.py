"""Pages as they answer: right, wrong, late, endless, in circles, or not at all. Real servers on loopback."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from ops.adapters import http
from ops.errors import ConfigError
from ops.settings import Endpoint

Served = Callable[[Callable[[socket.socket], None]], str]


def health(**expect: Any) -> Endpoint:
    return Endpoint(path="/api/health", content_type="application/json", expect=expect)


def test_a_right_answer(httpserver: HTTPServer) -> None:
    """Status, type and every expectation hold: healthy, no problem."""
    httpserver.expect_request("/api/health").respond_with_data(
        json.dumps({"status": "ok", "db": {"n": [1, 2]}}), content_type="Application/JSON; charset=utf-8"
    )
    found = http.probe(httpserver.url_for("/"), health(status="ok", **{"db.n[1]": 2, "type(@)": "object"}))
    assert (found.healthy, found.status, found.content_type, found.path) == (True, 200, "application/json", "/api/health")
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
def test_expectations_show_expected_and_actual(httpserver: HTTPServer, expect: dict[str, Any], said: str) -> None:
    """A wrong value is shown with the right one; a missing path never passes."""
    httpserver.expect_request("/api/health").respond_with_json({"status": "degraded", "ready": True})
    found = http.probe(httpserver.url_for("/"), health(**expect))
    assert found.status == 200 and not found.healthy
    assert found.problem.startswith(said)


def test_status_and_body_are_both_told(httpserver: HTTPServer) -> None:
    """A 503 still says what its body said."""
    httpserver.expect_request("/api/health").respond_with_json({"database": "error"}, status=503)
    found = http.probe(httpserver.url_for("/"), health(database="connected"))
    assert found.problem == 'status: 503, expected 200; database: "error", expected "connected"'


def test_json_served_as_html_is_a_problem(httpserver: HTTPServer) -> None:
    """Status 200 with the wrong type is not healthy (facts.md, incident 2)."""
    httpserver.expect_request("/api/health").respond_with_data("<html>an app</html>", content_type="text/html")
    found = http.probe(httpserver.url_for("/"), health(status="ok"))
    assert found.problem == "content type: text/html, expected application/json; body: no JSON, it starts with '<html>an app</html>'"


def test_text_must_be_there(httpserver: HTTPServer) -> None:
    """A page without its text is a problem, with it none; its charset is honoured."""
    httpserver.expect_request("/").respond_with_data("Grüße".encode("latin-1"), content_type="text/html; charset=iso-8859-1")
    assert http.probe(httpserver.url_for("/"), Endpoint(path="/", text="Grüße")).healthy
    assert http.probe(httpserver.url_for("/"), Endpoint(path="/", text="Hallo")).problem == "text: 'Hallo' is not in the body"


def test_an_empty_body_is_said(httpserver: HTTPServer) -> None:
    """Nothing where JSON was expected."""
    httpserver.expect_request("/api/health").respond_with_data("", content_type="application/json")
    assert http.probe(httpserver.url_for("/"), health(status="ok")).problem == "body: empty, expected JSON"


def test_a_redirect_is_followed_or_expected(httpserver: HTTPServer) -> None:
    """A redirect leads to the page, unless the redirect itself is what should come."""
    httpserver.expect_request("/old").respond_with_data("", status=301, headers={"location": "/new"})
    httpserver.expect_request("/new").respond_with_data("new", content_type="text/html")
    assert http.probe(httpserver.url_for("/"), Endpoint(path="/old", text="new")).healthy
    assert http.probe(httpserver.url_for("/"), Endpoint(path="/old", status=301)).healthy


def test_a_redirect_loop_is_named(httpserver: HTTPServer) -> None:
    """The ALB's redirect to itself is found at once and shown as a loop (facts.md, incident 1)."""
    httpserver.expect_request("/a").respond_with_data("", status=301, headers={"location": "/b"})
    httpserver.expect_request("/b").respond_with_data("", status=301, headers={"location": "/a"})
    found = http.probe(httpserver.url_for("/"), Endpoint(path="/a"))
    assert found.problem.startswith("redirect loop: http://") and found.problem.count("→") == 2
    assert found.status == 301


def test_redirects_without_end_are_bounded(httpserver: HTTPServer) -> None:
    """A chain that never repeats stops at five."""

    def onward(request: Request) -> Response:
        return Response("", 302, {"location": f"/{int(request.path[1:]) + 1}"})

    for number in range(9):
        httpserver.expect_request(f"/{number}").respond_with_handler(onward)
    assert http.probe(httpserver.url_for("/"), Endpoint(path="/0")).problem.startswith("more than 5 redirects: ")
    assert len(httpserver.log) == 6


def test_a_redirect_to_a_file_is_not_followed(httpserver: HTTPServer) -> None:
    """Only web pages are asked."""
    httpserver.expect_request("/").respond_with_data("", status=302, headers={"location": "file:///etc/passwd"})
    assert "no web page" in http.probe(httpserver.url_for("/"), Endpoint(path="/")).problem


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
    found = http.probe_all(threaded.url_for("/"), [Endpoint(path=f"/{number}") for number in range(5)])
    assert time.monotonic() - began < 1.5
    assert [item.path for item in found] == ["/0", "/1", "/2", "/3", "/4"]
    assert [item.healthy for item in found] == [True, True, False, True, True]
    assert http.probe_all(threaded.url_for("/"), []) == ()


def test_the_machines_proxy_is_not_asked_for_loopback(httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy in the environment does not come between us and this machine."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    httpserver.expect_request("/").respond_with_data("ok")
    assert http.probe(httpserver.url_for("/"), Endpoint(path="/")).healthy


@pytest.mark.parametrize("base", ["example.org", "ftp://example.org", "http://", ""])
def test_a_bad_address_is_a_configuration_error(base: str) -> None:
    """An address without scheme or host is refused before anything is asked."""
    with pytest.raises(ConfigError, match="http://"):
        http.probe(base, Endpoint(path="/"))


def test_a_bad_expectation_is_a_configuration_error() -> None:
    """What is no JMESPath is refused by name."""
    with pytest.raises(ConfigError, match="JMESPath"):
        http.probe("http://127.0.0.1:9", Endpoint(path="/", expect={"a b[": 1}))
