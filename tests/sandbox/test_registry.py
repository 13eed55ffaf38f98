"""The registry front over plain HTTP: what any client of the distribution API sees."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from ops.sandbox.registry import oci
from ops.sandbox.registry.server import tell_again
from tests.sandbox.images_platform import ImagePlatform
from tests.sandbox.images_support import IMMUTABLE, MUTABLE, TOKEN, SmallEcr
from tests.sandbox.registry_calls import digest, error, finish, manifest, pushed, put, upload


@pytest.fixture
def images(tmp_path: Path) -> Iterator[ImagePlatform]:
    here = ImagePlatform(tmp_path / "sandbox").up()
    yield here
    here.down()


@pytest.fixture
def http(images: ImagePlatform) -> Iterator[httpx.Client]:
    with httpx.Client(
        base_url=f"http://{images.registry}", auth=("AWS", TOKEN), trust_env=False
    ) as client:
        yield client


def test_without_a_login_the_registry_asks_for_basic(http: httpx.Client) -> None:
    """401 with ECR's challenge."""
    answer = http.get("/v2/", auth=httpx.NetRCAuth("/dev/null"))
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Basic realm=")
    assert 'service="ecr.amazonaws.com"' in answer.headers["WWW-Authenticate"]


@pytest.mark.parametrize("login", [("AWS", "old"), ("root", TOKEN), ("AWS", "")])
def test_another_login_is_told_that_it_expired(http: httpx.Client, login: tuple[str, str]) -> None:
    """ECR's words, whatever is wrong with the token."""
    answer = http.get("/v2/", auth=login)
    assert error(answer) == (
        403,
        "DENIED",
        "Your authorization token has expired. Reauthenticate and try again.",
    )


def test_a_login_that_is_no_base64_is_refused(http: httpx.Client) -> None:
    """A broken header is an answer, not a crash."""
    answer = http.get(
        "/v2/", auth=httpx.NetRCAuth("/dev/null"), headers={"Authorization": "Basic ***"}
    )
    assert answer.status_code == 403


def test_an_unknown_repository_is_refused_at_the_first_upload(http: httpx.Client) -> None:
    """Before a byte of a layer has been sent."""
    answer = http.post("/v2/no/such/blobs/uploads/")
    says = (
        "The repository with name 'no/such' does not exist in the registry with id '123456789012'"
    )
    assert error(answer) == (404, "NAME_UNKNOWN", says)


def test_a_blob_in_pieces_arrives_whole(http: httpx.Client) -> None:
    """POST, two PATCHes, PUT; how far it is can be asked in between."""
    place = http.post(f"/v2/{MUTABLE}/blobs/uploads/").headers["Location"]
    first = http.patch(place, content=iter([b"one ", b"two "]))
    assert (first.status_code, first.headers["Range"]) == (202, "0-7")
    now = http.get(first.headers["Location"])
    assert (now.status_code, now.headers["Range"]) == (204, "0-7")
    last = http.patch(now.headers["Location"], content=b"three", headers={"Content-Range": "8-12"})
    name = digest(b"one two three")
    assert finish(http, last.headers["Location"], name).status_code == 201
    assert http.get(f"/v2/{MUTABLE}/blobs/{name}").content == b"one two three"
    assert http.head(f"/v2/{MUTABLE}/blobs/{name}").headers["Content-Length"] == "13"


def test_a_piece_at_the_wrong_place_is_refused(http: httpx.Client) -> None:
    """With the place where the next one has to start; nothing of it was kept."""
    place = http.post(f"/v2/{MUTABLE}/blobs/uploads/").headers["Location"]
    wrong = http.patch(place, content=b"three", headers={"Content-Range": "99-103"})
    assert error(wrong) == (416, "BLOB_UPLOAD_INVALID", "the next chunk has to start at byte 0")
    assert finish(http, place, digest(b"one"), b"one").status_code == 201


def test_a_blob_in_one_request(http: httpx.Client) -> None:
    """POST with the digest and the bytes."""
    answer = http.post(
        f"/v2/{MUTABLE}/blobs/uploads/", params={"digest": digest(b"small")}, content=b"small"
    )
    assert answer.status_code == 201 and http.get(answer.headers["Location"]).content == b"small"


def test_bytes_with_another_digest_are_refused(http: httpx.Client) -> None:
    """The upload is over and nothing was kept."""
    place = http.post(f"/v2/{MUTABLE}/blobs/uploads/").headers["Location"]
    answer = finish(http, place, digest(b"right"), b"wrong")
    assert error(answer)[:2] == (400, "DIGEST_INVALID")
    assert http.get(place).status_code == 404
    assert http.get(f"/v2/{MUTABLE}/blobs/{digest(b'wrong')}").status_code == 404


def test_blobs_belong_to_their_repository(http: httpx.Client) -> None:
    """What one repository holds another does not; a mount falls back to an upload."""
    name = upload(http, MUTABLE, b"shared")
    assert http.head(f"/v2/{IMMUTABLE}/blobs/{name}").status_code == 404
    assert (
        http.post(
            f"/v2/{IMMUTABLE}/blobs/uploads/", params={"mount": name, "from": MUTABLE}
        ).status_code
        == 202
    )


def test_a_push_is_recorded_in_ecr(images: ImagePlatform, http: httpx.Client) -> None:
    """Digest, tag and size (configuration and layers) are told to ECR, and the manifest is served
    byte for byte.
    """
    name = pushed(http, IMMUTABLE, "abc")
    assert images.ecr.tags[IMMUTABLE, "abc"] == name
    assert images.ecr.images[IMMUTABLE, name] == len(b"layer") + len(
        '{"os": "linux", "architecture": "amd64", "of": "layer"}'
    )
    by_tag, by_digest = (
        http.get(f"/v2/{IMMUTABLE}/manifests/abc"),
        http.get(f"/v2/{IMMUTABLE}/manifests/{name}"),
    )
    assert digest(by_tag.content) == by_tag.headers["Docker-Content-Digest"] == name
    assert by_digest.content == by_tag.content
    assert by_tag.headers["Content-Type"] == oci.DOCKER_MANIFEST
    assert http.head(f"/v2/{IMMUTABLE}/manifests/abc").headers["Docker-Content-Digest"] == name
    assert http.get(f"/v2/{IMMUTABLE}/tags/list").json() == {"name": IMMUTABLE, "tags": ["abc"]}


@pytest.mark.parametrize("text", [b"layer", b"another"])
def test_an_immutable_tag_is_never_written_again(http: httpx.Client, text: bytes) -> None:
    """Not with another digest, and not with its own either, as ECR."""
    pushed(http, IMMUTABLE, "abc")
    config = json.dumps({"os": "linux", "architecture": "amd64", "of": text.decode()}).encode()
    for blob in (config, text):
        upload(http, IMMUTABLE, blob)
    says = (
        f"The image tag 'abc' already exists in the '{IMMUTABLE}' repository and cannot be "
        f"overwritten because the tag is immutable."
    )
    assert error(put(http, IMMUTABLE, "abc", manifest(config, text))) == (400, "TAG_INVALID", says)


def test_a_mutable_tag_moves(images: ImagePlatform, http: httpx.Client) -> None:
    """The same digest again is no change; another digest takes the tag, and the first stays by
    digest.
    """
    first = pushed(http, MUTABLE, "latest")
    assert pushed(http, MUTABLE, "latest") == first
    second = pushed(http, MUTABLE, "latest", b"another")
    assert images.ecr.tags[MUTABLE, "latest"] == second != first
    assert http.get(f"/v2/{MUTABLE}/manifests/{first}").status_code == 200


def test_an_image_that_ecr_deleted_is_gone(images: ImagePlatform, http: httpx.Client) -> None:
    """By tag, by digest and from the list, though the blobs are still there; it can be pushed
    again.
    """
    name = pushed(http, IMMUTABLE, "abc")
    images.ecr.delete(IMMUTABLE, "abc")
    for reference in ("abc", name):
        assert error(http.get(f"/v2/{IMMUTABLE}/manifests/{reference}")) == (
            404,
            "MANIFEST_UNKNOWN",
            "Requested image not found",
        )
    assert http.get(f"/v2/{IMMUTABLE}/tags/list").json()["tags"] == []
    assert pushed(http, IMMUTABLE, "abc") == name


def test_a_manifest_must_be_whole(http: httpx.Client) -> None:
    """Missing layers, a wrong digest, rubbish, an unknown kind, a hostile tag and too many bytes
    are refused, each in its own words.
    """
    config = b"{}"
    upload(http, MUTABLE, config)
    whole = manifest(config, b"never uploaded")
    assert error(put(http, MUTABLE, "1", whole))[:2] == (400, "MANIFEST_BLOB_UNKNOWN")
    assert error(put(http, MUTABLE, digest(b"x"), manifest(config)))[:2] == (400, "DIGEST_INVALID")
    assert error(put(http, MUTABLE, "1", b"rubbish"))[:2] == (400, "MANIFEST_INVALID")
    assert error(put(http, MUTABLE, "1", b'{"layers": 3, "config": []}'))[:2] == (
        400,
        "MANIFEST_INVALID",
    )
    assert error(put(http, MUTABLE, "1", manifest(config), "text/plain"))[:2] == (
        400,
        "MANIFEST_INVALID",
    )
    assert error(put(http, MUTABLE, "--flag; rm", manifest(config)))[:2] == (400, "TAG_INVALID")
    assert error(put(http, MUTABLE, "1", b" " * (5 << 20)))[:2] == (413, "SIZE_INVALID")
    assert http.get(f"/v2/{MUTABLE}/tags/list").json()["tags"] == []


def test_an_index_names_images_that_are_there(http: httpx.Client) -> None:
    """A multi-platform index is taken when its children were pushed, and served as what it is."""
    child = pushed(http, MUTABLE, "amd64")
    entry = {
        "mediaType": oci.DOCKER_MANIFEST,
        "size": 1,
        "digest": child,
        "platform": {"os": "linux", "architecture": "amd64"},
    }
    index = json.dumps(
        {"schemaVersion": 2, "mediaType": oci.OCI_INDEX, "manifests": [entry]}
    ).encode()
    assert put(http, MUTABLE, "both", index, oci.OCI_INDEX).status_code == 201
    read = http.get(f"/v2/{MUTABLE}/manifests/both", headers={"Accept": oci.OCI_INDEX})
    assert (read.content, read.headers["Content-Type"]) == (index, oci.OCI_INDEX)
    missing = index.replace(child.encode(), digest(b"nobody").encode())
    assert error(put(http, MUTABLE, "broken", missing, oci.OCI_INDEX))[:2] == (
        400,
        "MANIFEST_BLOB_UNKNOWN",
    )


@pytest.mark.parametrize(
    "path",
    [
        "/v2/_catalog",
        "/v2/a/../../etc/passwd/blobs/x",
        "/v2/UPPER/manifests/1",
        "/v2/%2e%2e/manifests/1",
    ],
)
def test_strange_paths_are_answered(http: httpx.Client, path: str) -> None:
    """No path leads out of the store or to a crash."""
    assert http.get(path).status_code in (400, 404, 405)


def test_tags_are_listed_in_pages(http: httpx.Client) -> None:
    """n and last page through the tags."""
    for tag in ("a", "b", "c"):
        pushed(http, MUTABLE, tag)
    first = http.get(f"/v2/{MUTABLE}/tags/list", params={"n": 2})
    assert first.json()["tags"] == ["a", "b"]
    assert 'rel="next"' in first.headers["Link"]
    assert http.get(f"/v2/{MUTABLE}/tags/list", params={"n": 2, "last": "b"}).json()["tags"] == [
        "c"
    ]


def test_an_ecr_that_forgot_can_be_told_again(images: ImagePlatform, http: httpx.Client) -> None:
    """After a restart everything that was pushed can be put into a fresh ECR."""
    name = pushed(http, IMMUTABLE, "abc")
    fresh = SmallEcr()
    assert tell_again(images.paths.images / "registry", fresh.put_image) == 1
    assert fresh.tags == {(IMMUTABLE, "abc"): name}
    assert fresh.images == images.ecr.images


def test_an_upload_that_broke_off_leaves_nothing(images: ImagePlatform, http: httpx.Client) -> None:
    """What a killed registry left half-written is thrown away by the next."""
    place = http.post(f"/v2/{MUTABLE}/blobs/uploads/").headers["Location"]
    http.patch(place, content=b"half")
    unfinished = images.paths.images / "registry" / "unfinished"
    assert len(list(unfinished.iterdir())) == 1
    images.down()
    images.up()
    assert list(unfinished.iterdir()) == []
    assert finish(http, place, digest(b"half")).status_code == 404
