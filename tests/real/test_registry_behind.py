"""Same calls, same answers where a real registry stands behind the front: the tests of the front
alone, once more, and what is new then.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import tests.sandbox.test_registry as alone
from ops.sandbox.registry import oci
from ops.sandbox.registry.server import tell_again
from ops.sandbox.registry.upstream import NoRegistryError, Upstream
from tests.real.registry_ground import registry
from tests.sandbox.images_platform import ImagePlatform
from tests.sandbox.images_support import IMMUTABLE, TOKEN, SmallEcr
from tests.sandbox.registry_calls import digest, error, manifest, pushed, put, upload

# Where a real registry (distribution 2.8) goes its own way, and the front alone does as the
# specification, or ECR, says.
OTHERWISE = {
    "test_a_blob_in_one_request": "it answers 202 and waits for the PUT, as allowed",
    "test_a_piece_at_the_wrong_place_is_refused": "it does not look at Content-Range",
    "test_an_upload_that_broke_off_leaves_nothing": "unfinished uploads outlive the sandbox",
    "test_an_ecr_that_forgot_can_be_told_again": "it holds the blobs; its own test is below",
}
SAME = {
    name: each
    for name, each in vars(alone).items()
    if name.startswith("test_") and name not in OTHERWISE
}
globals().update(SAME)
http = alone.http


@pytest.fixture
def behind(require: Any, tmp_path: Path) -> Iterator[str]:
    with registry(require("registry"), tmp_path) as place:
        yield place


@pytest.fixture
def images(behind: str, tmp_path: Path) -> Iterator[ImagePlatform]:
    here = ImagePlatform(tmp_path / "sandbox", upstream=behind).up()
    yield here
    here.down()


def test_layers_and_manifests_lie_in_the_registry(
    behind: str, images: ImagePlatform, http: httpx.Client
) -> None:
    """They can be had there by digest, and the front has kept no layer."""
    name = pushed(http, IMMUTABLE, "abc", b"a layer of its own")
    with httpx.Client(base_url=f"http://{behind}", trust_env=False) as there:
        kept = there.get(f"/v2/{IMMUTABLE}/manifests/{name}", headers={"Accept": "*/*"})
        assert digest(kept.content) == name
        assert (
            there.get(f"/v2/{IMMUTABLE}/blobs/{digest(b'a layer of its own')}").content
            == b"a layer of its own"
        )
    assert [
        each.name for each in (images.paths.images / "registry" / "blobs" / "sha256").iterdir()
    ] == [name.removeprefix("sha256:")]


def test_what_ecr_refuses_never_reaches_the_registry(behind: str, http: httpx.Client) -> None:
    """Another login, an unknown repository, a tag that stands: refused in front of it, which would
    have taken them all.
    """
    kept = pushed(http, IMMUTABLE, "abc")
    assert http.post(f"/v2/{IMMUTABLE}/blobs/uploads/", auth=("AWS", "old")).status_code == 403
    assert http.post("/v2/no/such/blobs/uploads/").status_code == 404
    config = b'{"os": "linux", "architecture": "amd64"}'
    upload(http, IMMUTABLE, config)
    assert put(http, IMMUTABLE, "abc", manifest(config)).status_code == 400
    with httpx.Client(base_url=f"http://{behind}", trust_env=False) as there:
        standing = there.head(
            f"/v2/{IMMUTABLE}/manifests/abc", headers={"Accept": oci.DOCKER_MANIFEST}
        )
        assert standing.headers["Docker-Content-Digest"] == kept
        assert there.get("/v2/_catalog").json() == {"repositories": [IMMUTABLE]}


def test_what_the_registry_lost_is_not_told_to_a_new_ecr(
    behind: str, images: ImagePlatform, http: httpx.Client
) -> None:
    """A new world is told of what can be had, and builds the rest again."""
    kept, lost = pushed(http, IMMUTABLE, "kept"), pushed(http, IMMUTABLE, "lost", b"lost")
    fresh, folder = SmallEcr(), images.paths.images / "registry"
    missing = (
        images.root.parent
        / "registry/docker/registry/v2/repositories"
        / IMMUTABLE
        / "_manifests/revisions/sha256"
    )
    (missing / lost.removeprefix("sha256:") / "link").unlink()
    assert tell_again(folder, fresh.put_image, Upstream.at(behind)) == 1
    assert fresh.tags == {(IMMUTABLE, "kept"): kept}


def test_a_registry_that_is_gone_is_said(require: Any, tmp_path: Path) -> None:
    """500 with its address while it is away; the front goes on, and serves it again once it is
    back.
    """
    with registry(require("registry"), tmp_path) as place:
        here = ImagePlatform(tmp_path / "sandbox", upstream=place).up()
    try:
        with httpx.Client(
            base_url=f"http://{here.registry}", auth=("AWS", TOKEN), trust_env=False
        ) as http:
            status, code, message = error(http.post(f"/v2/{IMMUTABLE}/blobs/uploads/"))
            assert (status, code) == (
                500,
                "UNKNOWN",
            ) and f"the registry {place} does not answer" in message
            with registry(require("registry"), tmp_path, place):
                assert pushed(http, IMMUTABLE, "abc")
    finally:
        here.down()


@pytest.mark.parametrize(
    ("place", "why"),
    [
        ("registry.example.com:443", "a registry on this machine is named by its address"),
        ("http://127.0.0.1:5000", "a registry on this machine is named by its address"),
        ("127.0.0.1:1", "does not answer"),
    ],
)
def test_only_a_registry_on_this_machine_is_taken(place: str, why: str) -> None:
    """Nothing of a rehearsal is pushed to somebody's registry."""
    with pytest.raises(NoRegistryError, match=why):
        Upstream.at(place)


def test_what_listens_there_has_to_be_a_registry(images: ImagePlatform) -> None:
    """One that wants a login is none: the front itself does."""
    with pytest.raises(NoRegistryError, match="answers 401 to GET /v2/"):
        Upstream.at(images.registry)
