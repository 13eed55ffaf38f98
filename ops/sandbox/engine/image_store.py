"""The engine's images: configurations, layers and names, stored on disk."""

from __future__ import annotations

import json
import threading
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ops.sandbox.engine.layers import Layer
from ops.sandbox.registry import oci, reference
from ops.sandbox.registry.store import Blobs, write_aside


class NoImageError(Exception):
    """There is no image of that name; the text is dockerd's."""


class ConflictError(Exception):
    """The image is in use under another name; the text is dockerd's."""


@dataclass(frozen=True)
class Image:
    """One image; `id` is the digest of its configuration.

    `key` identifies what it was built from, without the time.
    """

    id: str
    layers: tuple[Layer, ...]
    key: str = ""
    digests: tuple[str, ...] = ()  # name@sha256:… of the registries that took it or gave it

    @property
    def short(self) -> str:
        return self.id.removeprefix("sha256:")[:12]

    @property
    def size(self) -> int:
        return sum(layer.content for layer in self.layers)


class ImageStore:
    """All images, by id and by tag. `root` is the engine's folder (Paths.images / "engine")."""

    def __init__(self, root: Path) -> None:
        self.blobs = Blobs(root)
        self._images = root / "images"
        self._tags = root / "tags.json"
        self._guard = threading.RLock()
        self._images.mkdir(parents=True, exist_ok=True)
        self.blobs.drop_damaged()
        self._drop_damaged()

    def _drop_damaged(self) -> None:
        """Remove truncated images and their names, so that they are built again."""
        for path in self._images.glob("*.json"):
            if not self._is_whole(path):
                path.unlink()
        names = self.names()
        left = {name: identity for name, identity in names.items() if self._path(identity).exists()}
        if left != names:
            self._write_names(left)

    def _is_whole(self, path: Path) -> bool:
        try:
            image = _read(path)
        except (OSError, ValueError, KeyError, TypeError):
            return False
        checked = [self.blobs.check(each.digest, each.size) for each in image.layers]
        return self.blobs.has(image.id) and all(checked)

    def names(self) -> dict[str, str]:
        """Return the mapping of name:tag to id."""
        try:
            found: dict[str, str] = json.loads(self._tags.read_text())
        except (FileNotFoundError, ValueError):
            return {}
        return found

    def every(self) -> list[Image]:
        files = (path for path in sorted(self._images.iterdir()) if path.suffix == ".json")
        return [_read(path) for path in files]

    def config(self, image: Image) -> dict[str, Any]:
        """Return the image configuration (OCI image-spec config.md)."""
        found: dict[str, Any] = json.loads(self.blobs.read(image.id))
        return found

    def keep(
        self,
        config: dict[str, Any],
        layers: tuple[Layer, ...],
        key: str = "",
        digests: tuple[str, ...] = (),
    ) -> Image:
        """Store an image built here."""
        return self.keep_raw(
            json.dumps(config, separators=(",", ":"), sort_keys=True).encode(), layers, key, digests
        )

    def keep_raw(
        self, config: bytes, layers: tuple[Layer, ...], key: str = "", digests: tuple[str, ...] = ()
    ) -> Image:
        """Store a pulled image with the exact bytes of its configuration."""
        with self._guard:
            identity = self.blobs.put(config)
            path = self._path(identity)
            known = _read(path).digests if path.exists() else ()
            image = Image(identity, layers, key, tuple(dict.fromkeys((*known, *digests))))
            write_aside(path, json.dumps(asdict(image)).encode())
            return image

    def built_from(self, key: str) -> Image | None:
        """Return an image built from the same instructions, files and base."""
        return next((image for image in self.every() if image.key == key), None)

    def tag(self, image: Image, name: str) -> None:
        """Tag the image as `name:tag`, moving an existing tag."""
        with self._guard:
            self._write_names({**self.names(), name: image.id})

    def add_digest(self, image: Image, digest: str) -> None:
        """Record `name@sha256:…` after a push or pull."""
        with self._guard:
            changed = replace(image, digests=tuple(dict.fromkeys((*image.digests, digest))))
            write_aside(self._path(image.id), json.dumps(asdict(changed)).encode())

    def find(self, name: str) -> Image:
        """Find an image by tag, digest, id or id prefix.

        Raises NoImageError, and ValueError for an invalid reference.
        """
        with self._guard:
            identity = name.removeprefix("sha256:")
            matching = [
                image
                for image in self.every()
                if identity and image.id.removeprefix("sha256:").startswith(identity)
            ]
            if len(matching) == 1:
                return matching[0]
            wanted = reference.parse(name) if not name.startswith("sha256:") else None
            if wanted and wanted.digest:
                by_digest = [
                    image
                    for image in self.every()
                    if f"{wanted.name}@{wanted.digest}" in image.digests
                ]
                if by_digest:
                    return by_digest[0]
            found = self.names().get(wanted.tagged) if wanted else None
            if found is None:
                raise NoImageError(f"No such image: {name}")
            return _read(self._path(found))

    def remove(self, name: str, force: bool) -> list[dict[str, str]]:
        """Untag an image and delete it if it has no other name (DELETE /images/{name}).

        Raises NoImageError, ConflictError.
        """
        with self._guard:
            image = self.find(name)
            names = self.names()
            held = [tag for tag, identity in names.items() if identity == image.id]
            by_name = "" if name.startswith("sha256:") else reference.parse(name).tagged
            gone = [by_name] if by_name in held else held
            if gone == held and by_name not in held and len(held) > 1 and not force:
                raise ConflictError(
                    f"conflict: unable to delete {image.short} (must be forced) - image is "
                    f"referenced in multiple repositories"
                )
            self._write_names({tag: identity for tag, identity in names.items() if tag not in gone})
            answer = [
                {"Untagged": each}
                for each in (*gone, *self._drop_digests(image, set(held) - set(gone), gone))
            ]
            if set(held) <= set(gone):
                self._path(image.id).unlink(missing_ok=True)
                answer.append({"Deleted": image.id})
            return answer

    def _drop_digests(self, image: Image, left: set[str], gone: list[str]) -> list[str]:
        """Drop and return the digests of repositories in which the image has no tag left."""
        emptied = {tag.rpartition(":")[0] for tag in gone} - {
            tag.rpartition(":")[0] for tag in left
        }
        dropped = [digest for digest in image.digests if digest.partition("@")[0] in emptied]
        kept = tuple(digest for digest in image.digests if digest not in dropped)
        write_aside(self._path(image.id), json.dumps(asdict(replace(image, digests=kept))).encode())
        return dropped

    def _path(self, identity: str) -> Path:
        return self._images / (identity.removeprefix("sha256:") + ".json")

    def _write_names(self, names: dict[str, str]) -> None:
        write_aside(self._tags, json.dumps(names, indent=1, sort_keys=True).encode())


def _read(path: Path) -> Image:
    record = json.loads(path.read_text())
    layers = tuple(Layer(**layer) for layer in record["layers"])
    return Image(record["id"], layers, record["key"], tuple(record["digests"]))


def manifest_of(library: ImageStore, image: Image) -> bytes:
    """Return the Docker schema 2 manifest for a push of this image."""
    config = {
        "mediaType": oci.DOCKER_CONFIG,
        "size": library.blobs.size(image.id),
        "digest": image.id,
    }
    layers = [
        {"mediaType": oci.DOCKER_LAYER, "size": layer.size, "digest": layer.digest}
        for layer in image.layers
    ]
    document = {
        "schemaVersion": 2,
        "mediaType": oci.DOCKER_MANIFEST,
        "config": config,
        "layers": layers,
    }
    return json.dumps(document, indent=3).encode()
