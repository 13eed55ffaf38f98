"""The engine's endpoint itself: what it refuses, a socket that is taken, rubbish, and its end."""

from __future__ import annotations

import hashlib
import io
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from docker.errors import DockerException

from ops.sandbox.engine.server import serve_engine
from tests.sandbox.engine_calls import CONFIGURED, FILES, refused
from tests.sandbox.images_platform import ImagePlatform, build


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImagePlatform]:
    here = ImagePlatform(tmp_path_factory.mktemp("engine") / "sandbox").up()
    yield here
    here.down()


def test_containers_are_refused_by_a_sentence(shared: ImagePlatform) -> None:
    """Whoever tries to run a container here learns who does it."""
    assert refused(shared.client().api.containers).startswith(
        "501: the sandbox's own engine builds and pushes but runs no containers"
    )
    assert "does not offer GET /volumes" in refused(shared.client().api.volumes)


def test_a_context_that_is_no_tar_is_refused(shared: ImagePlatform) -> None:
    """Rubbish instead of a build context is an answer, not a hang."""
    said = refused(
        lambda: list(
            shared.client().api.build(fileobj=io.BytesIO(b"x" * 2000), custom_context=True)
        )
    )
    assert said.startswith("500: unable to read the build context")


def test_a_taken_socket_is_an_error(shared: ImagePlatform, tmp_path: Path) -> None:
    """A second engine on the same socket raises, and the first goes on; a socket that nobody
    listens on is replaced.
    """
    with pytest.raises(OSError, match="in use"):
        serve_engine(tmp_path, shared.socket)
    assert shared.client().ping() and stat.S_IMODE(shared.socket.stat().st_mode) == 0o600
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(tmp_path / "left.sock"))
    left.close()
    serve_engine(tmp_path, tmp_path / "left.sock").stop()
    assert not (tmp_path / "left.sock").exists()


def test_a_blob_is_what_its_digest_says(shared: ImagePlatform) -> None:
    """Every blob that the engine keeps has the sha256 that names it."""
    build(shared.client(), CONFIGURED, FILES, tag="t:1")
    blobs = list((shared.paths.images / "engine" / "blobs" / "sha256").iterdir())
    assert len(blobs) > 5
    assert all(hashlib.sha256(blob.read_bytes()).hexdigest() == blob.name for blob in blobs)


def test_an_unreachable_engine_is_an_error_of_the_client(tmp_path: Path) -> None:
    """A stopped engine answers nobody."""
    images = ImagePlatform(tmp_path).up()
    client = images.client()
    images.parts[1].stop()
    with pytest.raises((DockerException, OSError)):
        client.ping()
    assert not images.parts[1].alive()
    images.down()
