"""The registry front beside ECR's own API (moto's, as the sandbox serves it): one image, asked for
at both doors, with one answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from botocore.exceptions import ClientError

from ops.sandbox.aws import serve
from ops.sandbox.registry import oci
from ops.sandbox.registry.server import serve_registry
from tests.factories import free_port
from tests.sandbox.aws_platform import QUICK, client_of, ports
from tests.sandbox.images_support import IMMUTABLE, MUTABLE
from tests.sandbox.registry_calls import digest, error, manifest, pushed, put, upload

CONFIG = b'{"os": "linux", "architecture": "amd64"}'


@pytest.fixture(scope="module")
def ecr() -> Iterator[Any]:
    """boto3 at the sandbox's AWS, with one immutable and one mutable repository; `ecr.cloud` is the
    door behind it.
    """
    aws = serve(ports(), QUICK)
    client = client_of(aws, "ecr")
    for name, tags in ((IMMUTABLE, "IMMUTABLE"), (MUTABLE, "MUTABLE")):
        client.create_repository(repositoryName=name, imageTagMutability=tags)
    client.ecr = aws.cloud.ecr
    yield client
    aws.stop()


@pytest.fixture
def http(ecr: Any, tmp_path: Path) -> Iterator[httpx.Client]:
    """The registry front, logged in with ECR's own token."""
    port = free_port()
    part = serve_registry(tmp_path, ecr.ecr, port)
    with httpx.Client(
        base_url=f"http://127.0.0.1:{port}", auth=login(ecr), trust_env=False
    ) as client:
        yield client
    part.stop()


def login(ecr: Any) -> httpx.BasicAuth:
    import base64

    token = ecr.get_authorization_token()["authorizationData"][0]["authorizationToken"]
    return httpx.BasicAuth(*base64.b64decode(token).decode().split(":"))


@contextmanager
def refused(code: str) -> Iterator[list[str]]:
    """The words of an ECR refusal of that code."""
    said: list[str] = []
    with pytest.raises(ClientError) as failed:
        yield said
    assert failed.value.response["Error"]["Code"] == code
    said.append(failed.value.response["Error"]["Message"])


def test_one_image_is_the_same_at_both_doors(ecr: Any, http: httpx.Client) -> None:
    """Digest, bytes, media type, size and tags of what was pushed at the front."""
    name = pushed(http, IMMUTABLE, "abc")
    front = http.get(f"/v2/{IMMUTABLE}/manifests/abc")
    [image] = ecr.batch_get_image(repositoryName=IMMUTABLE, imageIds=[{"imageTag": "abc"}])[
        "images"
    ]
    assert image["imageId"]["imageDigest"] == front.headers["Docker-Content-Digest"] == name
    assert image["imageManifest"].encode() == front.content
    [detail] = ecr.describe_images(repositoryName=IMMUTABLE, imageIds=[{"imageDigest": name}])[
        "imageDetails"
    ]
    found = front.json()
    assert detail["imageSizeInBytes"] == found["config"]["size"] + sum(
        layer["size"] for layer in found["layers"]
    )
    assert detail["imageManifestMediaType"] == front.headers["Content-Type"]
    listed = ecr.list_images(repositoryName=IMMUTABLE)["imageIds"]
    assert (
        [each["imageTag"] for each in listed]
        == http.get(f"/v2/{IMMUTABLE}/tags/list").json()["tags"]
        == ["abc"]
    )


def test_an_immutable_tag_is_refused_at_both_doors(ecr: Any, http: httpx.Client) -> None:
    """Whoever wrote it, and in the same words."""
    pushed(http, IMMUTABLE, "stands")
    upload(http, IMMUTABLE, CONFIG)
    other = manifest(CONFIG)
    with refused("ImageTagAlreadyExistsException") as said:
        ecr.put_image(
            repositoryName=IMMUTABLE,
            imageTag="stands",
            imageManifest=other.decode(),
            imageDigest=digest(other),
        )
    status, code, message = error(put(http, IMMUTABLE, "stands", other))
    assert (status, code, message) == (400, "TAG_INVALID", said[0])


def test_a_tag_that_was_put_by_the_api_stands_at_the_front(ecr: Any, http: httpx.Client) -> None:
    """PutImage retags what was pushed, as an operator's `latest` by the API; a moved tag leads to
    the new image at both doors.
    """
    first, second = pushed(http, MUTABLE, "one"), pushed(http, MUTABLE, "two", b"another")
    for name in (first, second):
        data = http.get(f"/v2/{MUTABLE}/manifests/{name}").text
        ecr.put_image(
            repositoryName=MUTABLE,
            imageTag="latest",
            imageManifest=data,
            imageManifestMediaType=oci.DOCKER_MANIFEST,
        )
        [detail] = ecr.describe_images(repositoryName=MUTABLE, imageIds=[{"imageTag": "latest"}])[
            "imageDetails"
        ]
        assert (
            http.head(f"/v2/{MUTABLE}/manifests/latest").headers["Docker-Content-Digest"]
            == detail["imageDigest"]
            == name
        )


def test_what_is_unknown_is_unknown_at_both_doors(ecr: Any, http: httpx.Client) -> None:
    """A repository, a tag, a digest, and an image that BatchDeleteImage took away."""
    with refused("RepositoryNotFoundException") as said:
        ecr.describe_images(repositoryName="no/such")
    assert error(http.get("/v2/no/such/manifests/1")) == (404, "NAME_UNKNOWN", said[0])
    name = pushed(http, MUTABLE, "gone", b"an image of its own")
    ecr.batch_delete_image(repositoryName=MUTABLE, imageIds=[{"imageTag": "gone"}])
    for reference, key in (
        (name, "imageDigest"),
        ("gone", "imageTag"),
        ("never", "imageTag"),
        (digest(b"nobody"), "imageDigest"),
    ):
        with refused("ImageNotFoundException"):
            ecr.describe_images(repositoryName=MUTABLE, imageIds=[{key: reference}])
        assert error(http.get(f"/v2/{MUTABLE}/manifests/{reference}"))[:2] == (
            404,
            "MANIFEST_UNKNOWN",
        )


def test_a_repository_made_or_deleted_by_the_api_counts_at_once(
    ecr: Any, http: httpx.Client
) -> None:
    """The front keeps no list of its own."""
    assert http.post("/v2/brand/new/blobs/uploads/").status_code == 404
    ecr.create_repository(repositoryName="brand/new")
    assert pushed(http, "brand/new", "1")
    ecr.delete_repository(repositoryName="brand/new", force=True)
    assert error(http.get("/v2/brand/new/manifests/1"))[:2] == (404, "NAME_UNKNOWN")
