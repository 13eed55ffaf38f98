"""What the registry says of an image: the OCI distribution API from a real HTTP server, S3's
redirect included.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from ops.aws.ecr import Token
from ops.aws.facts import Repository
from ops.core.errors import ConfigError, OpsError, Refused, Unreachable
from ops.tools import registry

TOKEN = Token("AWS", "unused", "HUSH-password")
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"


def digest_of(raw: bytes) -> str:
    return "sha256:" + hashlib.sha256(raw).hexdigest()


def image(httpserver: HTTPServer, architecture: str, labels: dict[str, str] | None) -> bytes:
    """Serve one image's configuration; its manifest."""
    config = json.dumps(
        {"architecture": architecture, "os": "linux", "config": {"Labels": labels}}
    ).encode()
    httpserver.expect_request(f"/v2/team/web/blobs/{digest_of(config)}").respond_with_data(config)
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {"digest": digest_of(config)},
            "layers": [],
        }
    ).encode()
    httpserver.expect_request(f"/v2/team/web/manifests/{digest_of(manifest)}").respond_with_data(
        manifest, content_type=MANIFEST
    )
    return manifest


def tagged(httpserver: HTTPServer, raw: bytes, tag: str = "v1") -> None:
    httpserver.expect_request(f"/v2/team/web/manifests/{tag}").respond_with_data(
        raw, headers={"docker-content-digest": digest_of(raw)}
    )


def repository(httpserver: HTTPServer) -> Repository:
    return Repository("team/web", f"127.0.0.1:{httpserver.port}/team/web", True)


@pytest.fixture(scope="session")
def httpserver_listen_address() -> tuple[str, int]:
    return ("127.0.0.1", 0)


def test_an_image_by_its_tag(httpserver: HTTPServer) -> None:
    """Digest, commit and architecture; the token goes along as Basic."""
    manifest = image(httpserver, "arm64", {registry.REVISION: "abc123", "other": "x"})
    tagged(httpserver, manifest)
    found = registry.configuration(repository(httpserver), "v1", TOKEN)
    assert found == registry.ImageConfiguration(digest_of(manifest), "abc123", "arm64")
    logins = [request.authorization for request, _ in httpserver.log]
    assert all(login is not None and login.password == TOKEN.password for login in logins)
    assert INDEX in httpserver.log[0][0].headers["accept"]


def test_without_labels_there_is_no_commit(httpserver: HTTPServer) -> None:
    """An image that somebody built by hand has no revision."""
    tagged(httpserver, image(httpserver, "amd64", None))
    assert registry.configuration(repository(httpserver), "v1", TOKEN).revision is None


def test_of_an_index_linux_amd64_is_read(httpserver: HTTPServer) -> None:
    """The digest is the index's, the rest is the chosen image's; without amd64, the first one's."""
    arm, amd = (
        image(httpserver, "arm64", {registry.REVISION: "arm"}),
        image(httpserver, "amd64", {registry.REVISION: "amd"}),
    )
    entries = [
        {"digest": digest_of(arm), "platform": {"os": "linux", "architecture": "arm64"}},
        {"digest": digest_of(amd), "platform": {"os": "linux", "architecture": "amd64"}},
    ]
    both, one = (
        json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": part}).encode()
        for part in (entries, entries[:1])
    )
    tagged(httpserver, both, "both")
    tagged(httpserver, one, "one")
    assert registry.configuration(
        repository(httpserver), "both", TOKEN
    ) == registry.ImageConfiguration(digest_of(both), "amd", "amd64", ("arm64", "amd64"))
    assert registry.configuration(repository(httpserver), "one", TOKEN).architecture == "arm64"


def test_attestations_are_no_images(httpserver: HTTPServer) -> None:
    """buildx adds an attestation to each image of an index, with the platform unknown/unknown."""
    arm = image(httpserver, "arm64", {registry.REVISION: "abc"})
    unknown = {"os": "unknown", "architecture": "unknown"}
    entries = [
        {"digest": "sha256:" + "0" * 64, "platform": unknown},
        {"digest": digest_of(arm), "platform": {"os": "linux", "architecture": "arm64"}},
    ]
    index = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}).encode()
    tagged(httpserver, index)
    found = registry.configuration(repository(httpserver), "v1", TOKEN)
    assert (found.revision, found.architecture, found.architectures) == ("abc", "arm64", ("arm64",))


def test_the_redirect_to_s3_gets_no_credentials(httpserver: HTTPServer) -> None:
    """The blob's signed URL is followed without the Authorization header."""
    config = json.dumps({"architecture": "amd64"}).encode()
    manifest = json.dumps({"config": {"digest": digest_of(config)}}).encode()
    tagged(httpserver, manifest)
    with HTTPServer() as s3:
        s3.expect_request("/bucket").respond_with_data(config)
        httpserver.expect_request(f"/v2/team/web/blobs/{digest_of(config)}").respond_with_data(
            "", status=307, headers={"location": s3.url_for("/bucket?X-Amz-Signature=HUSH")}
        )
        assert registry.configuration(repository(httpserver), "v1", TOKEN).architecture == "amd64"
        assert "authorization" not in s3.log[0][0].headers


@pytest.mark.parametrize(
    ("status", "kind", "why"),
    [
        (401, Unreachable, "denies access"),
        (403, Unreachable, "denies access"),
        (404, Refused, "no such image"),
        (500, Unreachable, "HTTP 500"),
        (429, Unreachable, "HTTP 429"),
    ],
)
def test_errors_of_the_registry(
    httpserver: HTTPServer, status: int, kind: type[OpsError], why: str
) -> None:
    """Each refusal has its three lines, and none holds the token."""
    httpserver.expect_request("/v2/team/web/manifests/v1").respond_with_data(
        f"no: {TOKEN.password}", status=status
    )
    with pytest.raises(kind) as error:
        registry.configuration(repository(httpserver), "v1", TOKEN)
    assert why in error.value.why and "team/web:v1" in error.value.what and error.value.next
    assert "HUSH" not in str(error.value)


def test_a_signed_url_is_in_no_error(httpserver: HTTPServer) -> None:
    """Redirects without end, and one to plain http elsewhere, do not show the signature."""

    def around(request: Request) -> Response:
        return Response("", 307, {"location": "/v2/team/web/manifests/v1?X-Amz-Signature=HUSH"})

    httpserver.expect_request("/v2/team/web/manifests/v1").respond_with_handler(around)
    httpserver.expect_request("/v2/team/web/manifests/v2").respond_with_data(
        "", status=307, headers={"location": "http://s3.example.org/x?X-Amz-Signature=HUSH"}
    )
    for tag, why in (("v1", "redirects"), ("v2", "without TLS")):
        with pytest.raises(Unreachable, match=why) as error:
            registry.configuration(repository(httpserver), tag, TOKEN)
        assert "HUSH" not in str(error.value)


@pytest.mark.parametrize(
    "raw", [b"<html>", b"[]", b'{"schemaVersion": 2}', b"x" * (5 * 1024 * 1024)]
)
def test_what_is_no_manifest_is_said(httpserver: HTTPServer, raw: bytes) -> None:
    """A web page, a list, an old manifest and a flood are errors of ours."""
    tagged(httpserver, raw)
    with pytest.raises(Unreachable):
        registry.configuration(repository(httpserver), "v1", TOKEN)


def test_a_blob_that_is_not_its_digest_is_refused(httpserver: HTTPServer) -> None:
    """What was tampered with or cut is not believed."""
    digest = "sha256:" + "0" * 64
    tagged(httpserver, json.dumps({"config": {"digest": digest}}).encode())
    httpserver.expect_request(f"/v2/team/web/blobs/{digest}").respond_with_data(b"{}")
    with pytest.raises(Unreachable, match="is not sha256:000"):
        registry.configuration(repository(httpserver), "v1", TOKEN)


@pytest.mark.parametrize(
    "reference", ["", "--flag", "a b", "../../x", "v1\n", "v1?x=y", "sha256:short", "x" * 129]
)
def test_a_hostile_reference_is_never_sent(httpserver: HTTPServer, reference: str) -> None:
    """A tag that is none is a configuration error."""
    with pytest.raises(ConfigError):
        registry.configuration(repository(httpserver), reference, TOKEN)
    assert not httpserver.log


def test_a_registry_that_is_away() -> None:
    """Nobody at the address: why, and what to do."""
    away: Any = Repository("team/web", "127.0.0.1:9/team/web", True)
    with pytest.raises(Unreachable, match="connection refused"):
        registry.configuration(away, "v1", TOKEN)
