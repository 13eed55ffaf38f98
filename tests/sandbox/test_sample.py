"""The sample platform: its checkout, and its services as real processes before a real database."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import psycopg
import pytest

from ops.sandbox.contracts import Paths
from ops.sandbox.database import Server, purge
from ops.sandbox.sample import SECOND, SERVICES, SOURCES, export, git, make_checkout
from tests.factories import free_port


def ask(url: str) -> tuple[int, Any]:
    try:
        with urlopen(url, timeout=10) as answer:
            return answer.status, answer.read()
    except HTTPError as error:
        return error.code, error.read()


def started(service: str, **environment: str) -> tuple[subprocess.Popen[str], str]:
    """A service as the task would start it, and its URL, once it listens."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "server.py"],
        cwd=SOURCES / service,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={
            "PATH": os.environ["PATH"],
            "HOST": "127.0.0.1",
            "PORT": str(port),
            "PYTHONDONTWRITEBYTECODE": "1",
            **environment,
        },
    )
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["message"] == "listening"
    return process, f"http://127.0.0.1:{port}"


def ended(process: subprocess.Popen[str]) -> tuple[int, list[dict[str, Any]]]:
    """SIGTERM; the exit code, and the log lines since the start."""
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=15)
    return process.returncode, [json.loads(line) for line in said.splitlines()]


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    paths = Paths(tmp_path_factory.mktemp("sample") / ".sandbox")
    server = Server(paths, free_port())
    server.start()
    yield server
    server.stop()
    purge(paths)


def settings(server: Server) -> dict[str, str]:
    login = server.login
    return {
        "DB_HOST": login.host,
        "DB_PORT": str(login.port),
        "DB_NAME": login.database,
        "DB_USERNAME": login.username,
        "DB_PASSWORD": login.password,
    }


def test_a_client_that_leaves_is_no_error_of_ours() -> None:
    """Whoever gives up before the answer leaves no traceback in the log, where health looks for
    errors.
    """
    process, url = started("frontend")
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", int(url.rsplit(":", 1)[1]))) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            client.setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
            )  # closing resets
    assert ask(f"{url}/health")[0] == 200
    code, lines = ended(process)  # every line is JSON
    assert code == 0 and not [line for line in lines if line["level"] == "error"]


def test_the_backend_is_well_with_its_database(database: Server) -> None:
    """Health says ok, connected and the version; projects come from the table; SIGTERM ends it with
    0.
    """
    process, url = started("backend", APP_VERSION="abc1234", **settings(database))
    status, body = ask(f"{url}/api/health")
    health = json.loads(body)
    assert (status, health["status"], health["database"], health["version"]) == (
        200,
        "ok",
        "connected",
        "abc1234",
    )
    assert [project["title"] for project in json.loads(ask(f"{url}/api/projects")[1])] == [
        "DavidShaevel.com Platform"
    ]
    code, lines = ended(process)
    assert code == 0
    assert [line["message"] for line in lines] == ["request", "stopped"]
    assert lines[0]["path"] == "/api/projects"


def test_the_backend_notices_neither_a_migration_nor_an_ended_session(database: Server) -> None:
    """It keeps its connection; where that was ended, it takes another; where a table changed, it
    reads the new one: no request fails.
    """
    words: dict[str, Any] = {
        "host": database.admin.host,
        "port": database.admin.port,
        "dbname": database.admin.database,
    }
    mine = "FROM pg_stat_activity WHERE application_name = 'backend'"
    process, url = started("backend", **settings(database))
    with psycopg.connect(
        **words, user=database.admin.username, password=database.admin.password, autocommit=True
    ) as admin:
        assert {ask(f"{url}/api/projects")[0] for _ in range(12)} == {
            200
        }  # often enough for psycopg to prepare it
        assert admin.execute(f"SELECT count(*) {mine}").fetchone() == (1,)
        admin.execute("ALTER TABLE projects ADD COLUMN later text DEFAULT 'now'")
        assert json.loads(ask(f"{url}/api/projects")[1])[0]["later"] == "now"
        admin.execute("ALTER TABLE projects DROP COLUMN later")
        assert admin.execute(f"SELECT pg_terminate_backend(pid, 5000) {mine}").fetchall() == [
            (True,)
        ]
        assert ask(f"{url}/api/projects")[0] == 200
    code, lines = ended(process)
    assert code == 0 and not [line for line in lines if line["level"] == "error"], lines


def test_the_backend_is_unwell_without_its_database(database: Server) -> None:
    """With nobody on the database's port, health is 503 `disconnected` and the log says why,
    without the password.
    """
    process, url = started("backend", **{**settings(database), "DB_PORT": str(free_port())})
    status, body = ask(f"{url}/api/health")
    assert (status, json.loads(body)["status"], json.loads(body)["database"]) == (
        503,
        "error",
        "disconnected",
    )
    assert ask(f"{url}/api/projects")[0] == 500
    code, lines = ended(process)
    assert code == 0
    assert "Connection refused" in lines[0]["error"]
    assert database.login.password not in json.dumps(lines)


def test_the_backend_finishes_a_request_after_sigterm() -> None:
    """A request that is in flight when SIGTERM comes gets its answer: here one whose database takes
    its two seconds to be given up.
    """
    with socket.create_server(("127.0.0.1", 0)) as silent:
        process, url = started("backend", DB_PORT=str(silent.getsockname()[1]))
        answer: list[tuple[int, Any]] = []
        client = threading.Thread(target=lambda: answer.append(ask(f"{url}/api/health")))
        client.start()
        time.sleep(0.3)
        code, lines = ended(process)
        client.join()
    assert code == 0
    assert answer[0][0] == 503
    assert lines[-1] == {**lines[-1], "message": "stopped", "finished": True}
    with pytest.raises(URLError):
        ask(f"{url}/api/health")


def test_the_frontends_pages_carry_the_version() -> None:
    """Each page is HTML with the version; health is JSON; an unknown page is 404."""
    process, url = started("frontend", APP_VERSION="abc1234")
    for path in ("/", "/about", "/projects", "/contact", "/health"):
        status, body = ask(url + path)
        assert (status, b"abc1234" in body) == (200, True)
    assert ask(f"{url}/nothing")[0] == 404
    assert ended(process)[0] == 0


@pytest.mark.parametrize("service", SERVICES)
def test_the_services_own_tests_pass_quickly(service: str) -> None:
    """The `tests:` command of preflight passes in about a second, with the machine's own Python."""
    before = time.monotonic()
    done = subprocess.run(
        ["python3", "-m", "unittest", "-q"],
        cwd=SOURCES / service,
        capture_output=True,
        text=True,
        env={"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert (done.returncode, "OK" in done.stderr) == (0, True), done.stderr
    assert time.monotonic() - before < 5


def test_the_checkout_is_committed_and_pushed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clean checkout on main whose HEAD its origin has, though git knows no author here and GIT_*
    variables point elsewhere.
    """
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.delenv("HOME", raising=False)
    paths = Paths(tmp_path / "with space" / ".sandbox")
    paths.root.mkdir(parents=True)
    commit = make_checkout(paths)
    assert git(paths.platform, "status", "--porcelain", "--branch") == "## main...origin/main"
    assert git(paths.origin, "rev-parse", "--short", "main~1") == commit.short
    assert (paths.platform / "backend" / "Dockerfile").is_file()


def test_the_second_commit_changes_both_services_and_keeps_them_well(tmp_path: Path) -> None:
    """What waits to be deployed differs from version 1 in each service, and its own tests pass;
    version 1 can be had from its commit.
    """
    paths = Paths(tmp_path)
    commit = make_checkout(paths)
    changed = git(paths.platform, "diff", "--name-only", commit.full, "HEAD").splitlines()
    assert changed == ["backend/server.py", "frontend/server.py"]
    for service in SERVICES:
        done = subprocess.run(
            ["python3", "-m", "unittest", "-q"],
            cwd=paths.platform / service,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
    assert git(paths.platform, "status", "--porcelain") == ""
    export(paths, commit, "backend", tmp_path)
    assert (tmp_path / "backend" / "server.py").read_bytes() == (
        SOURCES / "backend" / "server.py"
    ).read_bytes()


def test_a_second_call_keeps_commits_and_mends_the_origin(tmp_path: Path) -> None:
    """What the user committed stays, and a lost origin comes back with it."""
    paths = Paths(tmp_path)
    make_checkout(paths)
    (paths.platform / "backend" / "note.txt").write_text("mine\n")
    git(paths.platform, "add", "--all")
    git(paths.platform, "commit", "--quiet", "--message=Mine")
    shutil.rmtree(paths.origin)
    make_checkout(paths)
    assert git(paths.platform, "log", "-1", "--format=%s") == "Mine"
    assert git(paths.origin, "rev-parse", "main") == git(paths.platform, "rev-parse", "HEAD")


@pytest.mark.parametrize(("name", "before", "after"), SECOND)
def test_the_second_commit_changes_the_sources(name: str, before: str, after: str) -> None:
    """Each replacement finds its text, also after the sources were formatted."""
    source = (SOURCES / name).read_text(encoding="utf-8")
    assert source.count(before) == 1 and after not in source
