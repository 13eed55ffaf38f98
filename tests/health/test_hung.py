"""`inv health.*` where AWS takes connections and never answers: the deadline holds, pages are
looked at, and Ctrl-C ends it.
"""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from pytest_httpserver import HTTPServer

from tests.checkout import Checkout
from tests.factories import inv_command
from tests.waiting import until

pytestmark = pytest.mark.timeout(120)
LONG = 60.0  # what it took until the deadline held; a loaded machine needs seconds


@pytest.fixture(scope="module")
def silent() -> Iterator[int]:
    """A port that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=200) as listening:
        yield listening.getsockname()[1]


@pytest.fixture
def hung(new_checkout: Callable[[str], Checkout], silent: int, httpserver: HTTPServer) -> Checkout:
    """A checkout whose only environment has that for AWS, a database secret (so that its users are
    asked for), and one page.
    """
    checkout = new_checkout("hung")
    httpserver.expect_request("/").respond_with_data("well", content_type="text/html")
    aws = {"endpoint": f"http://127.0.0.1:{silent}", "access_key": "a", "secret_key": "b"}
    (checkout.root / "overlay.yaml").write_text(
        yaml.safe_dump({"aws": aws, "site": httpserver.url_for("/").rstrip("/")})
    )
    service = {
        "ecs_service": "b",
        "container": "app",
        "repository": "r",
        "endpoints": [{"path": "/", "content_type": "text/html"}],
    }
    environment = {
        "account": "123456789012",
        "region": "us-east-1",
        "cluster": "c",
        "overlay": "overlay.yaml",
        "database": {"secret": "s", "instance": "i"},
        "services": {"backend": service, "frontend": service},
        "state": {"bucket": "x"},
        "health": {"deadline": "3s"},
    }
    (checkout.root / "invoke.yaml").write_text(
        yaml.safe_dump(
            {"tasks": {"dedupe": False}, "env": "dev", "environments": {"dev": environment}}
        )
    )
    return checkout


def test_the_deadline_holds_and_pages_are_looked_at(hung: Checkout) -> None:
    """What AWS would have told is unknown under its own names, and the page is green."""
    began = time.monotonic()
    done = hung.inv("health.all", "--json", "--only", "ecs,endpoints,db")
    assert time.monotonic() - began < LONG and done.returncode == 1, done.stderr
    found = json.loads(done.stdout)
    status = {check["name"]: check["status"] for check in found["checks"]}
    assert status["GET / via cdn"] == "ok"
    assert (
        status["backend image"]
        == status["connection"]
        == status["schema"]
        == status["account"]
        == "unknown"
    )
    assert found["took_s"] < 8  # 3 s, and what a loaded machine adds


def test_the_last_release_is_not_waited_for_longer(hung: Checkout) -> None:
    """S3 that does not answer is an error after the deadline, before anything is looked at."""
    began = time.monotonic()
    done = hung.inv("health.all", "--baseline", "last-release")
    assert time.monotonic() - began < LONG
    assert (
        done.returncode == 1
        and "--baseline last-release" in done.stderr
        and "no answer within 3 s" in done.stderr
    )


def test_an_interrupt_ends_it(hung: Checkout, tmp_path: Path) -> None:
    """Ctrl-C is how a watch ends: at once, exit code 0, and no error."""
    command = inv_command(hung.root, "health.ecs", "--watch", "1")
    with (
        (tmp_path / "out").open("w+") as out,
        subprocess.Popen(
            command, cwd=hung.root, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT
        ) as looking,
    ):
        until(lambda: "NOT HEALTHY" in (tmp_path / "out").read_text(), LONG)
        began = time.monotonic()
        looking.send_signal(signal.SIGINT)
        assert looking.wait(timeout=LONG) == 0, (tmp_path / "out").read_text()
    assert time.monotonic() - began < 20
    said = (tmp_path / "out").read_text()
    assert "error" not in said and "continues from the current state" not in said
    kept = [path.name for path in (hung.root / ".ops" / "health" / "dev").iterdir()]
    assert len(kept) == 1 and kept[0].endswith(".ecs.json")  # of a watch, the last sweep alone


def test_what_is_wrong_is_told_before_anything_is_asked(hung: Checkout) -> None:
    """A place where nothing can be saved, an expectation that is no JMESPath, another environment's
    run: exit code 2 and no waiting.
    """
    other = hung.root / "other.json"
    other.write_text(json.dumps({"at": "2026", "environment": "production", "checks": []}))
    odd = hung.root / "odd.json"
    odd.write_text('{"checks": [{}]}')
    for words, says in (
        (("--save", "/nowhere/x.json"), "there is no such folder"),
        (("--save", str(hung.root)), "it is a folder"),
        (("--baseline", str(other)), "environment production, and this is dev"),
        (("--baseline", str(odd)), "contains no health checks"),
    ):
        done = hung.inv("health.all", *words)
        assert done.returncode == 2 and says in done.stderr and words[0] in done.stderr, done.stderr
        assert done.stdout == ""
    file = hung.root / "invoke.yaml"
    values = yaml.safe_load(file.read_text())
    values["environments"]["dev"]["services"]["backend"]["endpoints"][0]["expect"] = {"a b[": 1}
    file.write_text(yaml.safe_dump(values))
    done = hung.inv("health.endpoints")
    assert done.returncode == 2 and "not a JMESPath" in done.stderr
