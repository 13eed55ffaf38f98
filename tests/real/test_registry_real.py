"""The registry front beside real clients and a real registry."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from ops.sandbox.registry import oci
from tests.real.registry_ground import registry
from tests.sandbox.images_platform import ImagePlatform, build, push
from tests.sandbox.images_support import IMMUTABLE, MUTABLE, TOKEN


@pytest.fixture
def images(tmp_path: Path) -> Iterator[ImagePlatform]:
    here = ImagePlatform(tmp_path / "sandbox").up()
    yield here
    here.down()


@pytest.fixture
def plain(require: Callable[[str], Any], tmp_path: Path) -> Iterator[str]:
    """A real registry (docker-registry) without login; its host:port."""
    with registry(require("registry"), tmp_path) as place:
        yield place


def _skopeo(program: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program, *words], capture_output=True, text=True, check=False, timeout=60
    )


def test_our_engine_pushes_to_a_real_registry(images: ImagePlatform, plain: str) -> None:
    """A registry that is not ours takes the emulated engine's layers and manifest, and gives them
    back.
    """
    client, repository = images.client(), f"{plain}/some/app"
    build(
        client,
        "FROM sandbox/python:3\nCOPY app.py /\n",
        {"app.py": "x" * 3_000_000},
        tag=f"{repository}:1",
    )
    identity = client.images.get(f"{repository}:1").id
    aux = push(client, repository, "1")[-1]["aux"]
    answer = httpx.get(
        f"http://{plain}/v2/some/app/manifests/1",
        headers={"Accept": oci.DOCKER_MANIFEST},
        trust_env=False,
    )
    assert answer.headers["Docker-Content-Digest"] == aux["Digest"]
    client.images.remove(f"{repository}:1")
    assert client.images.pull(repository, tag="1").id == identity


@pytest.mark.parametrize("kind", ["v2s2", "oci"])
def test_skopeo_copies_through_the_front(
    require: Callable[[str], Any], images: ImagePlatform, plain: str, kind: str
) -> None:
    """A foreign client pushes either kind of manifest, reads it back, and is refused an immutable
    tag in ECR's words.
    """
    skopeo, client = require("skopeo"), images.client()
    build(client, "FROM sandbox/python:3\nCOPY app.py /\n", {"app.py": "1"}, tag=f"{plain}/app:1")
    push(client, f"{plain}/app", "1")
    login, insecure = f"AWS:{TOKEN}", ("--src-tls-verify=false", "--dest-tls-verify=false")
    words = ("copy", "-f", kind, *insecure, "--dest-creds", login, f"docker://{plain}/app:1")
    copied = _skopeo(skopeo, *words, f"docker://{images.registry}/{IMMUTABLE}:1")
    assert copied.returncode == 0, copied.stderr
    read = _skopeo(
        skopeo,
        "inspect",
        "--tls-verify=false",
        "--creds",
        login,
        f"docker://{images.registry}/{IMMUTABLE}:1",
    )
    assert images.ecr.tags[IMMUTABLE, "1"] in read.stdout
    assert (
        images.runtime().pull(f"{images.registry}/{IMMUTABLE}:1", "linux/amd64")
        == images.ecr.tags[IMMUTABLE, "1"]
    )
    build(client, "FROM sandbox/python:3\nCOPY app.py /\n", {"app.py": "2"}, tag=f"{plain}/app:1")
    push(client, f"{plain}/app", "1")
    again = _skopeo(skopeo, *words, f"docker://{images.registry}/{IMMUTABLE}:1")
    assert "cannot be overwritten because the tag is immutable" in again.stderr
    unknown = _skopeo(skopeo, *words, f"docker://{images.registry}/no/such:1")
    assert "does not exist in the registry with id" in unknown.stderr
    moved = _skopeo(skopeo, *words, f"docker://{images.registry}/{MUTABLE}:1")
    assert moved.returncode == 0, moved.stderr


def test_both_registries_answer_a_client_alike(images: ImagePlatform, plain: str) -> None:
    """Statuses of the upload dance, of a wrong digest and of unknown things agree with a real
    registry's.
    """
    found = []
    for host, auth in ((plain, None), (images.registry, ("AWS", TOKEN))):
        with httpx.Client(base_url=f"http://{host}", auth=auth, trust_env=False) as http:
            found.append(_dance(http))
    assert found[0] == found[1]


def _dance(http: httpx.Client) -> list[tuple[int, str]]:
    nothing = "sha256:" + "0" * 64
    place = http.post(f"/v2/{MUTABLE}/blobs/uploads/")
    patched = http.patch(place.headers["Location"], content=b"abc")
    wrong = http.put(
        patched.headers["Location"],
        params={**httpx.URL(patched.headers["Location"]).params, "digest": nothing},
    )
    answers = [
        http.get("/v2/"),
        place,
        patched,
        wrong,
        http.head(f"/v2/{MUTABLE}/blobs/{nothing}"),
        http.get(f"/v2/{MUTABLE}/blobs/{nothing}"),
        http.get(f"/v2/{MUTABLE}/manifests/none"),
        http.put(
            f"/v2/{MUTABLE}/manifests/1",
            content=b"rubbish",
            headers={"Content-Type": "application/json"},
        ),
    ]
    return [
        (each.status_code, each.json()["errors"][0]["code"] if b"errors" in each.content else "")
        for each in answers
    ]
