"""The engine's door, against the sandbox's engine and registry, and against servers that fail in a real engine's words."""

from __future__ import annotations

import base64
import json
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from ops.adapters import engine, registry
from ops.adapters.ecr import Token
from ops.errors import ConfigError, OpsError, Refused, Unreachable
from ops.model import Repository
from ops.sandbox.contracts import EcrRepository
from ops.sandbox.images.engine.server import serve_engine
from ops.sandbox.images.registry import serve_registry

TOKEN = Token("AWS", "unused", "HUSH-password")
LABELS = {registry.REVISION: "abc123"}
DOCKERFILE = 'FROM scratch\nARG VERSION\nENV VERSION=$VERSION\nCOPY app.txt /app.txt\nCMD ["/app"]\n'


class SmallEcr:
    """ECR behind the registry front: one immutable repository, `team/web`."""

    def __init__(self) -> None:
        self.tags: dict[str, str] = {}
        self.digests: set[str] = set()

    def authorized(self, token: str) -> bool:
        return token == TOKEN.password

    def repository(self, name: str) -> EcrRepository | None:
        return EcrRepository(name, True) if name == "team/web" else None

    def digest(self, name: str, tag: str) -> str | None:
        return self.tags.get(tag)

    def has_image(self, name: str, digest: str) -> bool:
        return digest in self.digests

    def put_image(self, name: str, tag: str | None, digest: str, manifest: bytes, media_type: str, size: int) -> None:
        self.digests.add(digest)
        if tag:
            self.tags[tag] = digest


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@dataclass
class Place:
    engine: engine.Engine
    registry: str


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    root, (one, two) = tmp_path_factory.mktemp("images"), (free_port(), free_port())
    parts = [serve_engine(root / "engine", one), serve_registry(root / "registry", SmallEcr(), two)]
    yield Place(engine.connect(f"tcp://127.0.0.1:{one}"), f"127.0.0.1:{two}")
    for part in parts:
        part.stop()


@pytest.fixture
def context(tmp_path: Path) -> Path:
    (tmp_path / "Dockerfile").write_text(DOCKERFILE)
    (tmp_path / "app.txt").write_text("hello\n")
    return tmp_path


def built(place: Place, context: Path, name: str = "web:local", said: list[str] | None = None) -> str:
    progress = said.append if said is not None else lambda line: None
    return engine.build(
        place.engine,
        context,
        dockerfile="Dockerfile",
        name=name,
        labels=LABELS,
        build_args={"VERSION": "1"},
        platform="linux/amd64",
        progress=progress,
    )


def test_who_answers(place: Place) -> None:
    """Version, API version and architecture of the engine."""
    found = engine.info(place.engine)
    assert found.version and found.api and found.architecture


def test_build_tag_push_and_read_back(place: Place, context: Path) -> None:
    """An image built here is found by name with its commit, is pushed with progress, and the registry says the same digest."""
    said: list[str] = []
    made = built(place, context, said=said)
    assert made.startswith("sha256:")
    assert any(line.startswith("Step 1/") for line in said)
    local = engine.image(place.engine, "web:local")
    assert local is not None and (local.id, local.revision, local.architecture, local.digests) == (made, "abc123", "amd64", {})
    uri = f"{place.registry}/team/web"
    engine.tag(place.engine, "web:local", uri, "abc123")
    lines: list[str] = []
    digest = engine.push(place.engine, uri, "abc123", TOKEN, lines.append)
    assert any(line.endswith(": Pushed") for line in lines)
    assert len(lines) == len(set(lines)), "one line for each change of a layer's state"
    after = engine.image(place.engine, "web:local")
    assert after is not None and after.digests == {uri: digest}
    found = registry.configuration(Repository("team/web", uri, True), "abc123", TOKEN)
    assert found == registry.ImageConfiguration(digest, "abc123", "amd64")


def test_an_immutable_tag_is_refused(place: Place, context: Path) -> None:
    """A second push of other content to the same tag: exit 3, with the registry's reason."""
    uri = f"{place.registry}/team/web"
    for content in ("one", "two"):
        (context / "app.txt").write_text(content)
        built(place, context)
        engine.tag(place.engine, "web:local", uri, "fixed")
        if content == "one":
            engine.push(place.engine, uri, "fixed", TOKEN, lambda line: None)
    with pytest.raises(Refused, match="immutable") as error:
        engine.push(place.engine, uri, "fixed", TOKEN, lambda line: None)
    assert error.value.code == 3 and "fixed" in error.value.what


def test_a_repository_that_is_not_there_is_refused(place: Place, context: Path) -> None:
    """Unknown repositories are named, with the command that lists them."""
    built(place, context)
    uri = f"{place.registry}/team/absent"
    engine.tag(place.engine, "web:local", uri, "v1")
    with pytest.raises(Refused, match="no such repository"):
        engine.push(place.engine, uri, "v1", TOKEN, lambda line: None)


def test_a_wrong_token_is_denied_and_not_shown(place: Place, context: Path) -> None:
    """Denied: unreachable, and the token is in no line."""
    built(place, context)
    uri, lines = f"{place.registry}/team/web", list[str]()
    engine.tag(place.engine, "web:local", uri, "v9")
    with pytest.raises(Unreachable, match="denies the push") as error:
        engine.push(place.engine, uri, "v9", Token("AWS", "x", "HUSH-other"), lines.append)
    assert "HUSH" not in str(error.value) + "".join(lines)


def test_a_registry_that_is_away(place: Place, context: Path) -> None:
    """A push to nowhere ends with three lines."""
    built(place, context)
    uri = f"127.0.0.1:{free_port()}/team/web"
    engine.tag(place.engine, "web:local", uri, "v1")
    with pytest.raises(Unreachable) as error:
        engine.push(place.engine, uri, "v1", TOKEN, lambda line: None)
    assert len(str(error.value).splitlines()) == 3


def test_a_missing_image_is_none(place: Place) -> None:
    """What was never built is not there."""
    assert engine.image(place.engine, "never:built") is None


def test_a_failing_build_shows_its_own_lines(place: Place, context: Path) -> None:
    """The step that failed and the build's own words are in the error (exit 1)."""
    (context / "Dockerfile").write_text("FROM scratch\nCOPY absent.txt /\n")
    with pytest.raises(OpsError, match=r"failed at Step 2/\d : COPY absent.txt") as error:
        built(place, context)
    assert "absent.txt" in error.value.why and error.value.code == 1


def test_a_dockerfile_that_is_none(place: Place, context: Path) -> None:
    """An unknown instruction is said as the engine says it."""
    (context / "Dockerfile").write_text("FROM scratch\nCOPPY a /\n")
    with pytest.raises(OpsError, match="COPPY"):
        built(place, context)


def test_no_context_and_no_dockerfile(place: Place, tmp_path: Path) -> None:
    """Both are matters of configuration (exit 2), before anything is sent."""
    for folder in (tmp_path, tmp_path / "absent"):
        with pytest.raises(ConfigError, match="Dockerfile"):
            built(place, folder)


def test_no_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A closed port, a missing socket and DOCKER_HOST to nowhere: three lines that name the address."""
    for address in (f"tcp://127.0.0.1:{free_port()}", f"unix://{tmp_path}/docker.sock"):
        with pytest.raises(Unreachable, match="not running") as error:
            engine.connect(address)
        assert address in error.value.what and "DOCKER_HOST" in error.value.next
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/other.sock")
    with pytest.raises(Unreachable, match=r"other\.sock"):
        engine.connect(None)
    with pytest.raises(Unreachable):
        engine.connect("nonsense://x y")


class FakeEngine:
    """A server that greets as an engine does, then answers build and push with what a test says."""

    def __init__(self, server: HTTPServer) -> None:
        self.server = server
        server.expect_request("/version").respond_with_json({"Version": "20.10", "ApiVersion": "1.41", "Arch": "amd64"})

    def connect(self) -> engine.Engine:
        return engine.connect(f"tcp://127.0.0.1:{self.server.port}")

    def answers(self, path: str, *events: dict[str, Any], status: int = 200) -> None:
        if status != 200:
            self.server.expect_request(path, method="POST").respond_with_json(*events, status=status)
            return
        lines = [json.dumps(event).encode() + b"\r\n" for event in events]
        body = b"".join(b"%x\r\n%s\r\n" % (len(line), line) for line in lines) + b"0\r\n\r\n"  # chunked, as an engine streams
        headers = {"transfer-encoding": "chunked"}
        self.server.expect_request(path, method="POST").respond_with_handler(
            lambda _: Response(iter([body]), 200, headers, content_type="application/json")
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
        ("denied: Your authorization token has expired. Reauthenticate and try again.", Unreachable, "denies"),
        ("unauthorized: authentication required", Unreachable, "denies"),
        (
            "tag invalid: The image tag 'v1' already exists in the 'web' repository and cannot be overwritten because the tag is immutable.",
            Refused,
            "immutable",
        ),
        ("name unknown: The repository with name 'web' does not exist in the registry with id '1'", Refused, "no such repository"),
        ("Get https://registry.example/v2/: dial tcp: lookup registry.example: no such host", Unreachable, "cannot be resolved"),
        ("write tcp 10.0.0.1:1->10.0.0.2:443: write: connection reset by peer", Unreachable, "broke off"),
        ("open /var/lib/docker/tmp/x: no space left on device", OpsError, "disk is full"),
        (f"oops https://b.s3.amazonaws.com/?X-Amz-Signature=HUSH {TOKEN.password}", Unreachable, "broke off"),
    ],
)
def test_a_push_that_fails_in_a_real_engines_words(fake: FakeEngine, said: str, kind: type[OpsError], why: str) -> None:
    """Docker's and ECR's own texts become the right error, without secrets."""
    fake.answers(PUSH, {"status": "Preparing", "id": "a"}, {"errorDetail": {"message": said}, "error": said})
    with pytest.raises(kind) as error:
        engine.push(fake.connect(), "registry.example/web", "v1", TOKEN, lambda line: None)
    assert type(error.value) is kind and why in error.value.why and error.value.next
    assert "HUSH" not in str(error.value)


def test_layers_are_one_line_for_each_state(fake: FakeEngine) -> None:
    """A hundred percentages are one line."""
    events = [{"status": "Pushing", "id": "a", "progressDetail": {"current": number, "total": 100}} for number in range(100)]
    fake.answers(
        PUSH,
        {"status": "The push refers to x"},
        *events,
        {"status": "Pushed", "id": "a"},
        {"aux": {"Tag": "v1", "Digest": "sha256:d", "Size": 1}},
    )
    lines: list[str] = []
    assert engine.push(fake.connect(), "registry.example/web", "v1", TOKEN, lines.append) == "sha256:d"
    assert lines == ["The push refers to x", "a: Pushing", "a: Pushed"]


def test_a_push_that_ends_without_a_digest_is_not_done(fake: FakeEngine) -> None:
    """An engine that dies in the middle has not pushed."""
    fake.answers(PUSH, {"status": "Pushing", "id": "a"})
    with pytest.raises(Unreachable, match="broke off"):
        engine.push(fake.connect(), "registry.example/web", "v1", TOKEN, lambda line: None)


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
        built(Place(fake.connect(), ""), context)
    assert len(str(error.value).splitlines()) == 3


def test_a_full_disk_is_said(fake: FakeEngine, context: Path) -> None:
    """No space left in the engine, during the build or as its answer."""
    full = "failed to copy: write /var/lib/docker/x: no space left on device"
    fake.answers("/v1.41/build", {"stream": "Step 1/1 : FROM scratch\n"}, {"errorDetail": {"message": full}, "error": full})
    with pytest.raises(OpsError, match="disk is full"):
        built(Place(fake.connect(), ""), context)
    fake.server.clear()
    again = FakeEngine(fake.server)
    fake.answers("/v1.41/build", {"message": full}, status=500)
    with pytest.raises(OpsError, match="disk is full"):
        built(Place(again.connect(), ""), context)


def test_a_failing_run_shows_its_output(fake: FakeEngine, context: Path) -> None:
    """What the command printed before it failed is the error's reason, and secrets in it are struck out."""
    error_text = "The command '/bin/sh -c npm ci' returned a non-zero code: 1"
    fake.answers(
        "/v1.41/build",
        {"stream": "Step 1/2 : FROM node\n"},
        {"stream": "Step 2/2 : RUN npm ci\n"},
        {"stream": "npm ERR! missing: left-pad\nnpm ERR! password=HUSH\n"},
        {"errorDetail": {"code": 1, "message": error_text}, "error": error_text},
    )
    with pytest.raises(OpsError) as error:
        built(Place(fake.connect(), ""), context)
    assert error.value.what == "build of web:local failed at Step 2/2 : RUN npm ci"
    assert "npm ERR! missing: left-pad" in error.value.why and "returned a non-zero code: 1" in error.value.why
    assert "HUSH" not in str(error.value) and "FROM node" not in error.value.why


def test_no_other_login_leaves_this_machine(fake: FakeEngine, context: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """~/.docker/config.json is neither sent nor written; the push carries the given token alone; no HOME is needed."""
    settings = tmp_path / "docker" / "config.json"
    settings.parent.mkdir()
    settings.write_text(
        json.dumps({"auths": {"registry.example": {"auth": base64.b64encode(b"me:MINE").decode()}, "other": {"auth": "eDp5"}}})
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
    assert built(Place(there, ""), context) == "sha256:i"
    engine.push(there, "registry.example/web", "v1", TOKEN, lambda line: None)
    sent = {request.path: request.headers for request, _ in fake.server.log}
    assert "X-Registry-Config" not in sent["/v1.41/build"]
    login = json.loads(base64.urlsafe_b64decode(sent[PUSH]["X-Registry-Auth"]))
    assert login == {"username": "AWS", "password": TOKEN.password, "serveraddress": "registry.example"}
    assert settings.read_bytes() == before and os.listdir(settings.parent) == ["config.json"]
