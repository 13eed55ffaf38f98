"""Manifests, indexes and image configurations, parsed (OCI image-spec; Docker schema 2)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from ops.sandbox.registry.reference import is_digest

DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
_OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
MANIFESTS = (DOCKER_MANIFEST, _OCI_MANIFEST)
INDEXES = (_DOCKER_INDEX, OCI_INDEX)


@dataclass(frozen=True)
class Descriptor:
    """A reference to a blob or child manifest; `platform` only in an index (`linux/amd64`)."""

    digest: str
    size: int
    media_type: str
    platform: str | None = None
    foreign: bool = False


@dataclass(frozen=True)
class Manifest:
    """An image's manifest, or an index (with `children` instead of `config` and `layers`)."""

    media_type: str
    config: Descriptor | None
    layers: tuple[Descriptor, ...]
    children: tuple[Descriptor, ...]

    @property
    def size(self) -> int:
        """Return the bytes of configuration and layers, DescribeImages' imageSizeInBytes."""
        return (self.config.size if self.config else 0) + sum(layer.size for layer in self.layers)

    def child(self, platform: str) -> Descriptor | None:
        """Return the child of an index for `platform` (`linux/amd64`), or None."""
        return next((each for each in self.children if each.platform == platform), None)


def _descriptor(entry: Any) -> Descriptor:
    where = entry.get("platform") or {}
    platform = (
        f"{where['os']}/{where['architecture']}"
        if "os" in where and "architecture" in where
        else None
    )
    digest, size = entry["digest"], entry["size"]
    if not isinstance(size, int) or not is_digest(digest):
        raise ValueError("a descriptor needs a sha256 digest and a size")
    return Descriptor(
        digest, size, str(entry.get("mediaType", "")), platform, foreign=bool(entry.get("urls"))
    )


def parse_manifest(data: bytes, media_type: str) -> Manifest:
    """Parse a manifest or index. Raises ValueError with the reason."""
    try:
        document = json.loads(data)
        if media_type in INDEXES:
            return Manifest(
                media_type, None, (), tuple(_descriptor(each) for each in document["manifests"])
            )
        if media_type in MANIFESTS:
            layers = tuple(_descriptor(each) for each in document["layers"])
            return Manifest(media_type, _descriptor(document["config"]), layers, ())
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"manifest invalid: {error}") from error
    raise ValueError(f"manifest media type {media_type!r} is not supported")


def platform_of(config: bytes) -> str:
    """Return `os/architecture` of an image configuration. Raises ValueError for an invalid one."""
    try:
        document = json.loads(config)
        return f"{document['os']}/{document['architecture']}"
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"image configuration invalid: {error}") from error
