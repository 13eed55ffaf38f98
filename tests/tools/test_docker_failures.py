"""The engine's door, before servers that answer and fail in a real engine's and ECR's own words."""

from __future__ import annotations

import base64
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response
from werkzeug.serving import WSGIRequestHandler

from ops.core.errors import OpsError, Refused, Unreachable
from ops.tools import docker
from tests.tools.engine_support import TOKEN, build, new_context


@pytest.fixture
def context(tmp_path: Path) -> Path:
    return new_context(tmp_path)


class FakeEngine:
    """A server that greets as an engine does, then answers build and push with what a test says."""

    def __init__(self, server: HTTPServer) -> None:
        self.server = server
        server.expect_request("/version").respond_with_json(
            {"Version": "20.10", "ApiVersion": "1.41", "Arch": "amd64"}
        )

    def connect(self) -> docker.Engine:
        return docker.connect(f"tcp://127.0.0.1:{self.server.port}")

    def answers(self, path: str, *events: Any, status: int = 200) -> None:
        if status != 200:
            self.server.expect_request(path, method="POST").respond_with_json(
                events[0], status=status
            )
            return
        lines = [json.dumps(event).encode() + b"\r\n" for event in events]
        # chunked, as an engine streams: werkzeug does so with HTTP/1.1, which any threaded server
        # of it turns on for the whole process
        WSGIRequestHandler.protocol_version = "HTTP/1.1"
        self.server.expect_request(path, method="POST").respond_with_handler(
            lambda _: Response(iter(lines), 200, content_type="application/json")
        )


@pytest.fixture(scope="session")
def httpserver_listen_address() -> tuple[str, int]:
    return ("127.0.0.1", 0)


@pytest.fixture
def fake(httpserver: HTTPServer) -> FakeEngine:
    return FakeEngine(httpserver)


PUSH = "/v1.41/images/registry.example/web/push"


@pytest.mark.parametrize(
    ("said", "kind", "why"),
    [
        ("no basic auth credentials", Unreachable, "denies"),
        (
            "denied: Your authorization token has expired. Reauthenticate and try again.",
            Unreachable,
            "denies",
        ),
        ("unauthorized: authentication required", Unreachable, "denies"),
        (
            "tag invalid: The image tag 'v1' already exists in the 'web' repository and "
            "cannot be overwritten because the tag is immutable",
            Refused,
            "immutable",
        ),
        (
            "name unknown: The repository with name 'web' does not exist in the registry "
            "with id '1'",
            Refused,
            "no such repository",
        ),
        (
            "Get https://registry.example/v2/: dial tcp: lookup registry.example: no such host",
            Unreachable,
            "cannot be resolved",
        ),
        (
            "write tcp 10.0.0.1:1->10.0.0.2:443: write: connection reset by peer",
            Unreachable,
            "broke off",
        ),
        ("open /var/lib/docker/tmp/x: no space left on device", OpsError, "disk is full"),
        (
            f"oops https://b.s3.amazonaws.com/?X-Amz-Signature=HUSH {TOKEN.password}",
            Unreachable,
            "broke off",
        ),
    ],
)
def test_a_push_that_fails_in_a_real_engines_words(
    fake: FakeEngine, said: str, kind: type[OpsError], why: str
) -> None:
    """Docker's and ECR's own texts become the right error, without secrets."""
    fake.answers(
        PUSH, {"status": "Preparing", "id": "a"}, {"errorDetail": {"message": said}, "error": said}
    )
    with pytest.raises(kind) as error:
        docker.push(fake.connect(), "registry.example/web", "v1", TOKEN, lambda line: None)
    assert type(error.value) is kind and why in error.value.why and error.value.next
    assert "HUSH" not in str(error.value)


def test_layers_are_one_line_for_each_state(fake: FakeEngine) -> None:
    """A hundred percentages are one line."""
    events = [
        {"status": "Pushing", "id": "a", "progressDetail": {"current": number, "total": 100}}
        for number in range(100)
    ]
    fake.answers(
        PUSH,
        {"status": "The push refers to x"},
        *events,
        {"status": "Pushed", "id": "a"},
        {"aux": {"Tag": "v1", "Digest": "sha256:d", "Size": 1}},
    )
    lines: list[str] = []
    assert (
        docker.push(fake.connect(), "registry.example/web", "v1", TOKEN, lines.append) == "sha256:d"
    )
    assert lines == ["The push refers to x", "a: Pushing", "a: Pushed"]


def test_a_push_that_ends_without_a_digest_is_not_done(fake: FakeEngine) -> None:
    """An engine that dies in the middle has not pushed."""
    fake.answers(PUSH, {"status": "Pushing", "id": "a"})
    with pytest.raises(Unreachable, match="broke off"):
        docker.push(fake.connect(), "registry.example/web", "v1", TOKEN, lambda line: None)


def test_a_connection_that_drops(fake: FakeEngine, context: Path) -> None:
    """The engine goes away during a build: three lines."""

    def dies(request: Request) -> Response:
        def body() -> Iterator[bytes]:
            yield b'{"stream": "Step 1/2 : FROM scratch"}\r\n'
            request.environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
            yield b"x" * 100

        return Response(body(), content_type="application/json", headers={"content-length": "5000"})

    fake.server.expect_request("/v1.41/build", method="POST").respond_with_handler(dies)
    with pytest.raises(Unreachable) as error:
        build(fake.connect(), context)
    assert len(str(error.value).splitlines()) == 3


def test_a_full_disk_is_said(fake: FakeEngine, context: Path) -> None:
    """No space left in the engine, during the build or as its answer."""
    full = "failed to copy: write /var/lib/docker/x: no space left on device"
    fake.answers(
        "/v1.41/build",
        {"stream": "Step 1/1 : FROM scratch\n"},
        {"errorDetail": {"message": full}, "error": full},
    )
    with pytest.raises(OpsError, match="disk is full"):
        build(fake.connect(), context)
    fake.server.clear()
    again = FakeEngine(fake.server)
    fake.answers("/v1.41/build", {"message": full}, status=500)
    with pytest.raises(OpsError, match="disk is full"):
        build(again.connect(), context)


def test_a_failing_run_shows_its_output(fake: FakeEngine, context: Path) -> None:
    """What the command printed before it failed is the error's reason, and secrets in it are struck
    out.
    """
    error_text = "The command '/bin/sh -c npm ci' returned a non-zero code: 1"
    fake.answers(
        "/v1.41/build",
        {"stream": "Step 1/2 : FROM node\n"},
        {"stream": "Step 2/2 : RUN npm ci\n"},
        {"stream": "npm ERR! missing: left-pad\nnpm ERR! password=HUSH\n"},
        {"errorDetail": {"code": 1, "message": error_text}, "error": error_text},
    )
    with pytest.raises(OpsError) as error:
        build(fake.connect(), context)
    assert error.value.what == "build of web:local failed at Step 2/2 : RUN npm ci"
    assert (
        "npm ERR! missing: left-pad" in error.value.why
        and "returned a non-zero code: 1" in error.value.why
    )
    assert "HUSH" not in str(error.value) and "FROM node" not in error.value.why


def test_no_other_login_leaves_this_machine(
    fake: FakeEngine, context: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """~/.docker/config.json is neither sent nor written; the push carries the given token alone; no
    HOME is needed.
    """
    settings = tmp_path / "docker" / "config.json"
    settings.parent.mkdir()
    settings.write_text(
        json.dumps(
            {
                "auths": {
                    "registry.example": {"auth": base64.b64encode(b"me:MINE").decode()},
                    "other": {"auth": "eDp5"},
                }
            }
        )
    )
    before = settings.read_bytes()
    monkeypatch.setenv("DOCKER_CONFIG", str(settings.parent))
    monkeypatch.delenv("HOME", raising=False)
    fake.answers("/v1.41/build", {"stream": "ok"})
    fake.server.expect_request("/v1.41/images/web:local/json").respond_with_json(
        {"Id": "sha256:i", "Architecture": "amd64", "RepoDigests": None, "Config": None}
    )
    fake.answers(PUSH, {"aux": {"Digest": "sha256:d"}})
    there = fake.connect()
    assert build(there, context) == "sha256:i"
    docker.push(there, "registry.example/web", "v1", TOKEN, lambda line: None)
    sent = {request.path: request.headers for request, _ in fake.server.log}
    assert "X-Registry-Config" not in sent["/v1.41/build"]
    login = json.loads(base64.urlsafe_b64decode(sent[PUSH]["X-Registry-Auth"]))
    assert login == {
        "username": "AWS",
        "password": TOKEN.password,
        "serveraddress": "registry.example",
    }
    assert settings.read_bytes() == before and [
        file.name for file in settings.parent.iterdir()
    ] == ["config.json"]
