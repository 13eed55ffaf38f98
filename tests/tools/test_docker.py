"""The engine's door, against the sandbox's engine and registry, and against servers that fail in a
real engine's words.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ops.aws.ecr import Token
from ops.aws.facts import Repository
from ops.core.errors import ConfigError, OpsError, Refused, Unreachable
from ops.sandbox.contracts import EcrRepository
from ops.sandbox.engine.server import serve_engine
from ops.sandbox.registry.server import serve_registry
from ops.tools import docker as engine
from ops.tools import registry
from tests.factories import free_port
from tests.tools.engine_support import TOKEN, build, new_context


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

    def put_image(
        self, name: str, tag: str | None, digest: str, manifest: bytes, media_type: str, size: int
    ) -> None:
        self.digests.add(digest)
        if tag:
            self.tags[tag] = digest


@dataclass
class Place:
    engine: engine.Engine
    registry: str


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    root, port = tmp_path_factory.mktemp("images"), free_port()
    parts = [
        serve_engine(root / "engine", root / "engine.sock"),
        serve_registry(root / "registry", SmallEcr(), port),
    ]
    yield Place(engine.connect(f"unix://{root}/engine.sock"), f"127.0.0.1:{port}")
    for part in parts:
        part.stop()


@pytest.fixture
def context(tmp_path: Path) -> Path:
    return new_context(tmp_path)


def test_who_answers(place: Place) -> None:
    """Version, API version and architecture of the engine."""
    found = engine.info(place.engine)
    assert found.version and found.api and found.architecture


def test_build_tag_push_and_read_back(place: Place, context: Path) -> None:
    """An image built here is found by name with its commit, is pushed with progress, and the
    registry says the same digest.
    """
    said: list[str] = []
    made = build(place.engine, context, said=said)
    assert made.startswith("sha256:")
    assert any(line.startswith("Step 1/") for line in said)
    local = engine.image(place.engine, "web:local")
    assert local is not None and (local.id, local.revision, local.architecture, local.digests) == (
        made,
        "abc123",
        "amd64",
        {},
    )
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
        build(place.engine, context)
        engine.tag(place.engine, "web:local", uri, "fixed")
        if content == "one":
            engine.push(place.engine, uri, "fixed", TOKEN, lambda line: None)
    with pytest.raises(Refused, match="immutable") as error:
        engine.push(place.engine, uri, "fixed", TOKEN, lambda line: None)
    assert error.value.code == 3 and "fixed" in error.value.what


def test_a_repository_that_is_not_there_is_refused(place: Place, context: Path) -> None:
    """Unknown repositories are named, with the command that lists them."""
    build(place.engine, context)
    uri = f"{place.registry}/team/absent"
    engine.tag(place.engine, "web:local", uri, "v1")
    with pytest.raises(Refused, match="no such repository"):
        engine.push(place.engine, uri, "v1", TOKEN, lambda line: None)


def test_a_wrong_token_is_denied_and_not_shown(place: Place, context: Path) -> None:
    """Denied: unreachable, and the token is in no line."""
    build(place.engine, context)
    uri, lines = f"{place.registry}/team/web", list[str]()
    engine.tag(place.engine, "web:local", uri, "v9")
    with pytest.raises(Unreachable, match="denies the push") as error:
        engine.push(place.engine, uri, "v9", Token("AWS", "x", "HUSH-other"), lines.append)
    assert "HUSH" not in str(error.value) + "".join(lines)


def test_a_registry_that_is_away(place: Place, context: Path) -> None:
    """A push to nowhere ends with three lines."""
    build(place.engine, context)
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
        build(place.engine, context)
    assert "absent.txt" in error.value.why and error.value.code == 1


def test_a_dockerfile_that_is_none(place: Place, context: Path) -> None:
    """An unknown instruction is said as the engine says it."""
    (context / "Dockerfile").write_text("FROM scratch\nCOPPY a /\n")
    with pytest.raises(OpsError, match="COPPY"):
        build(place.engine, context)


def test_no_context_and_no_dockerfile(place: Place, tmp_path: Path) -> None:
    """Both are matters of configuration (exit 2), before anything is sent."""
    for folder in (tmp_path, tmp_path / "absent"):
        with pytest.raises(ConfigError, match="Dockerfile"):
            build(place.engine, folder)


def test_no_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A closed port, a missing socket and DOCKER_HOST to nowhere: three lines that name the
    address.
    """
    for address in (f"tcp://127.0.0.1:{free_port()}", f"unix://{tmp_path}/docker.sock"):
        with pytest.raises(Unreachable, match="not running") as error:
            engine.connect(address)
        assert address in error.value.what and "DOCKER_HOST" in error.value.next
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/other.sock")
    with pytest.raises(Unreachable, match=r"other\.sock"):
        engine.connect(None)
    with pytest.raises(Unreachable):
        engine.connect("nonsense://x y")
