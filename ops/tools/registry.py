"""Read an image's configuration from its registry, by the OCI distribution API.

Uses GET manifests and GET blobs. ECR stores blobs in S3: that redirect is followed without the
Authorization header, which S3 would reject and must not see.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from ops.aws.ecr import Token
from ops.aws.facts import Repository
from ops.core.errors import ConfigError, OpsError, Refused, Unreachable
from ops.http import errors

_INDEXES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_MANIFESTS = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
_REFERENCE = re.compile(
    r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}|sha256:[0-9a-f]{64}"
)  # OCI distribution spec: a tag or a digest
REVISION = "org.opencontainers.image.revision"
_SIZE_LIMIT = 4 * 1024 * 1024  # bytes of a manifest or configuration
_REDIRECTS = 3
_TIMEOUT = 20.0  # seconds, for each read


@dataclass(frozen=True)
class ImageConfiguration:
    """An image's configuration. `digest` is that of the reference, which may name an index.

    `architectures`: of all images of an index, without attestations; empty for a single image.
    """

    digest: str
    revision: str | None
    architecture: str
    architectures: tuple[str, ...] = ()


@dataclass(frozen=True)
class _RegistryClient:
    """One repository of one registry, with the credentials for that registry alone."""

    client: Any
    address: str
    auth: tuple[str, str]
    what: str

    def get(self, path: str, accept: tuple[str, ...] = ()) -> tuple[bytes, Mapping[str, str]]:
        """Fetch a small document and its headers, following redirects without the credentials.

        Raises Unreachable and Refused.
        """
        import httpx

        url = self.address + path
        auth: tuple[str, str] | None = self.auth
        try:
            for _ in range(_REDIRECTS + 1):
                with self.client.stream(
                    "GET", url, headers={"accept": ", ".join(accept)} if accept else {}, auth=auth
                ) as response:
                    if not response.is_redirect:
                        return self.body(response), response.headers
                    there = response.url.join(response.headers["location"])
                    if there.scheme != "https" and not errors.is_loopback(there.host):
                        raise Unreachable(
                            self.what,
                            f"the registry redirects to {there.host} without TLS",
                            "check the registry's address",
                        )
                    url, auth = str(there), None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Unreachable(
                self.what, errors.problem(error), "check network and VPN, then run it again"
            ) from None
        raise Unreachable(
            self.what, f"more than {_REDIRECTS} redirects", "check the registry's address"
        )

    def body(self, response: Any) -> bytes:
        if response.status_code != 200:
            raise self.status_error(response)
        found = bytearray()
        for chunk in response.iter_bytes():
            found += chunk
            if len(found) > _SIZE_LIMIT:
                raise Unreachable(
                    self.what,
                    "the registry's answer is larger than 4 MiB",
                    "check the registry's address",
                )
        return bytes(found)

    def status_error(self, response: Any) -> OpsError:
        status, host = response.status_code, response.url.host
        if status in (401, 403):
            return Unreachable(
                self.what,
                f"{host} denies access (HTTP {status})",
                "check the permissions ecr:BatchGetImage and ecr:GetDownloadUrlForLayer",
            )
        if status == 404:
            return Refused(
                self.what,
                f"{host} has no such image (HTTP 404)",
                "name a tag that the repository holds, or push it first",
            )
        return Unreachable(self.what, f"{host} answers HTTP {status}", "run it again in a minute")


def configuration(repository: Repository, reference: str, token: Token) -> ImageConfiguration:
    """Digest, commit and architecture of `reference` (a tag or digest) in `repository`.

    For an index, the linux/amd64 image is read, or else the first one. Raises Refused for a missing
    image, ConfigError for an invalid reference, or Unreachable.
    """
    if not _REFERENCE.fullmatch(reference):
        raise ConfigError(
            f"image reference {reference!r}",
            "a tag holds letters, digits, _ . and - only (at most 128)",
            "correct the tag",
        )
    with _client(repository, reference, token) as registry:
        return _read(registry, reference)


def platforms(repository: Repository, reference: str, token: Token) -> tuple[str, ...]:
    """The platforms ("linux/amd64") of an image: all of an index, or that of its configuration.

    Attestations, whose platform is unknown/unknown, are left out. Raises as `configuration`.
    """
    with _client(repository, reference, token) as registry:
        raw, _ = registry.get(f"/manifests/{reference}", (*_INDEXES, *_MANIFESTS))
        manifest = _parsed(registry, raw)
        if "manifests" not in manifest and "config" in manifest:
            digest = manifest["config"]["digest"]
            return (_platform(_document(registry, f"/blobs/{digest}", digest)),)
        found = [_platform(each.get("platform") or {}) for each in manifest.get("manifests", ())]
        return tuple(each for each in found if "unknown" not in each)


def _platform(found: Mapping[str, Any]) -> str:
    return f"{found.get('os') or 'unknown'}/{found.get('architecture') or 'unknown'}"


@contextlib.contextmanager
def _client(repository: Repository, reference: str, token: Token) -> Iterator[_RegistryClient]:
    import httpx

    host, _, name = repository.uri.partition("/")
    local = errors.is_loopback(urlsplit(f"//{host}").hostname or "")
    with httpx.Client(timeout=_TIMEOUT, trust_env=not local, follow_redirects=False) as client:
        address = f"{'http' if local else 'https'}://{host}/v2/{name}"
        yield _RegistryClient(
            client,
            address,
            (token.username, token.password),
            f"image {name}:{reference} in the registry",
        )


def _read(registry: _RegistryClient, reference: str) -> ImageConfiguration:
    raw, headers = registry.get(f"/manifests/{reference}", (*_INDEXES, *_MANIFESTS))
    digest = headers.get("docker-content-digest") or _sha256(raw)
    manifest = _parsed(registry, raw)
    images = _images(manifest)
    if images:
        chosen = _choose_manifest(images)["digest"]
        manifest = _document(registry, f"/manifests/{chosen}", chosen, _MANIFESTS)
    if "config" not in manifest:
        raise Unreachable(
            registry.what, "the registry's answer is no image manifest", "push the image again"
        )
    found = _document(
        registry, f"/blobs/{manifest['config']['digest']}", manifest["config"]["digest"]
    )
    labels = (found.get("config") or {}).get("Labels") or {}
    architectures = [str(_platform_of(each).get("architecture") or "") for each in images]
    return ImageConfiguration(
        digest,
        labels.get(REVISION) or None,
        found.get("architecture", ""),
        tuple(dict.fromkeys(filter(None, architectures))),
    )


def _images(manifest: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    """The Linux images of an index; empty for a single image's manifest.

    Build attestations, whose platform is unknown/unknown, are no images.
    """
    every = manifest.get("manifests") or ()
    return tuple(each for each in every if _platform_of(each).get("os", "linux") == "linux")


def _platform_of(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    return entry.get("platform") or {}


def _choose_manifest(images: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The linux/amd64 image, or else the first one; all have the same labels."""
    wanted = [each for each in images if _platform_of(each).get("architecture") == "amd64"]
    return (wanted or images)[0]


def _document(
    registry: _RegistryClient, path: str, digest: str, accept: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Fetch a document and verify its digest."""
    raw, _ = registry.get(path, accept)
    if _sha256(raw) != digest:
        raise Unreachable(
            registry.what,
            f"what the registry sent is not {digest}",
            "run it again; if it stays so, push the image again",
        )
    return _parsed(registry, raw)


def _parsed(registry: _RegistryClient, raw: bytes) -> dict[str, Any]:
    try:
        found = json.loads(raw)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise Unreachable(
            registry.what,
            "the registry's answer is no JSON document",
            "check the registry's address",
        )
    return found


def _sha256(raw: bytes) -> str:
    return f"sha256:{hashlib.sha256(raw).hexdigest()}"
