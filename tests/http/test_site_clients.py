"""`site_ca`: every client of the site checks its certificate with the configured bundle."""

from __future__ import annotations

import ast
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme
from pytest_httpserver import HTTPServer

from ops.cdn import cloudfront, edge
from ops.core.config.settings import Endpoint
from ops.core.errors import OpsError
from ops.http import client, tls
from ops.http.headers import header_client, read_headers

ROOT = Path(__file__).parents[2] / "ops"
PAGE = Endpoint(path="/")
OTHER_HOSTS = {"tools/registry.py"}  # ECR's registry, whose certificate is a public one


def by_header_client(base: str, authority: str | None) -> str:
    with header_client(base, 5.0, authority) as opened:
        return read_headers(opened, base, "/").problem


def by_edge(base: str, authority: str | None) -> str:
    return "" if edge.read_copy(edge.Site(base, base, authority, 5.0), base, PAGE) else "none"


def by_cache_probe(base: str, authority: str | None) -> str:
    return "" if cloudfront.probe_cache(base, "/", 5.0, authority).status == 200 else "status"


CLIENTS: dict[str, Callable[[str, str | None], str]] = {
    "probe_all": lambda base, ca: client.probe_all(base, [PAGE], 5.0, authority=ca)[0].problem,
    "fetch_all": lambda base, ca: (
        client.fetch_all(base, [PAGE], 5.0, authority=ca)[0].to_answer().problem
    ),
    "header_client": by_header_client,
    "Site": by_edge,
    "probe_cache": by_cache_probe,
    "chain": lambda base, ca: tls.chain(base, 5.0, ca).problem,
}


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def bundle(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("authority") / "ca.pem"
    authority.cert_pem.write_to_path(str(file))
    return str(file)


@pytest.fixture(scope="module")
def site(authority: trustme.CA) -> Iterator[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    with HTTPServer(host="localhost", port=0, ssl_context=context) as server:
        server.expect_request("/").respond_with_data("hello", content_type="text/html")
        yield f"https://localhost:{server.port}"


@pytest.mark.parametrize("name", CLIENTS)
def test_a_client_trusts_the_configured_authority_alone(name: str, site: str, bundle: str) -> None:
    """With the bundle it reads the page; with the system's authorities it does not."""
    assert CLIENTS[name](site, bundle) == ""
    try:
        problem = CLIENTS[name](site, None)
    except OpsError as error:
        problem = error.why
    assert "authority" in problem


def _calls() -> Iterator[tuple[str, ast.Call]]:
    """Each call in the program, with its module; the sandbox is no client of the site."""
    for file in sorted(ROOT.rglob("*.py")):
        module = file.relative_to(ROOT).as_posix()
        if not module.startswith("sandbox/"):
            tree = ast.parse(file.read_text(encoding="utf-8"))
            yield from ((module, node) for node in ast.walk(tree) if isinstance(node, ast.Call))


def _name(call: ast.Call) -> str:
    called = call.func
    return called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")


def test_every_call_of_a_client_passes_an_authority() -> None:
    """A call without one would check the site with the system's authorities."""
    position = {"Site": 2, "chain": 2, "header_client": 2, "probe_cache": 3}
    found, without = set(), []
    for module, call in _calls():
        name = _name(call)
        if name not in CLIENTS or (name == "chain" and ast.unparse(call.func) != "tls.chain"):
            continue  # itertools.chain
        found.add(name)
        named = any(keyword.arg == "authority" for keyword in call.keywords)
        if not named and len(call.args) <= position.get(name, 99) and module != "http/client.py":
            without.append(f"{module}:{call.lineno} {name}")
    assert without == []
    assert found == set(CLIENTS)


def test_no_other_http_client_is_made() -> None:
    """A client of its own would need `verify`: those of the site have it, and no others exist."""
    made = {
        module: any(keyword.arg == "verify" for keyword in call.keywords)
        for module, call in _calls()
        if ast.unparse(call.func) in ("httpx.Client", "httpx.get", "httpx.request", "urlopen")
    }
    assert {module for module, verified in made.items() if not verified} == OTHER_HOSTS
    assert len(made) == 5


def test_every_function_that_takes_an_authority_is_tested() -> None:
    """A new client of the site belongs into the table above."""
    takes = set()
    for folder in ("http", "cdn"):
        for file in (ROOT / folder).glob("*.py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.FunctionDef) and "authority" in {
                    each.arg for each in (*node.args.args, *node.args.kwonlyargs)
                }:
                    takes.add(node.name)
    assert takes - {"context"} == set(CLIENTS) - {"Site"}
