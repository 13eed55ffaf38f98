"""Two sandboxes on one Docker engine: an image that one of them removes while the other looks is
not the other's failure.
"""

from __future__ import annotations

from collections.abc import Iterator

import docker
import pytest
from pytest_httpserver import HTTPServer

from ops.sandbox.engine.base import NAME
from ops.sandbox.runtime import docker_base
from ops.sandbox.supervisor.containers import forget_images

BASE, GONE, OURS = ("sha256:" + letter * 64 for letter in "abc")
REGISTRY = "127.0.0.1:5000"


@pytest.fixture
def engine(httpserver: HTTPServer) -> Iterator[str]:
    """An engine that lists three images, of which one is removed as soon as it was listed: asked
    for by itself, it is not there.
    """
    rows = [
        {"Id": GONE, "RepoTags": [f"{REGISTRY}/backend:1"], "RepoDigests": None},
        {"Id": OURS, "RepoTags": [f"{REGISTRY}/backend:2"], "RepoDigests": None},
        {"Id": BASE, "RepoTags": [NAME], "RepoDigests": []},
        {"Id": "sha256:" + "d" * 64, "RepoTags": None, "RepoDigests": None},
    ]
    httpserver.expect_request("/version").respond_with_json(
        {"ApiVersion": "1.44", "MinAPIVersion": "1.24"}
    )
    httpserver.expect_request("/v1.44/_ping").respond_with_data("OK")
    httpserver.expect_request("/v1.44/images/json").respond_with_json(rows)
    httpserver.expect_request(f"/v1.44/images/{REGISTRY}/backend:1").respond_with_json(
        {"message": f"No such image: {GONE}"}, 404
    )
    httpserver.expect_request(f"/v1.44/images/{REGISTRY}/backend:2", "DELETE").respond_with_json(
        [{"Untagged": "backend:2"}]
    )
    yield f"tcp://127.0.0.1:{httpserver.port}"
    httpserver.check_assertions()


def test_the_base_is_found(engine: str) -> None:
    assert docker_base.ensure_base(docker.DockerClient(base_url=engine, version="auto")) == BASE


def test_the_other_images_are_removed(engine: str, httpserver: HTTPServer) -> None:
    forget_images(engine, REGISTRY)
    removed = [
        request.path.rsplit("/", 1)[1]
        for request, _ in httpserver.log
        if request.method == "DELETE"
    ]
    assert removed == ["backend:1", "backend:2"]
