"""Content-addressed blobs and repository contents on disk, for the registry and the engine.

Files are written to a temporary name and renamed (os.replace), so `kill -9` leaves whole files or
none. Nothing is synced to disk: after a power cut the next `up` builds and pushes truncated images
again.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

_SMALL = 1 << 20  # bytes; larger blobs are checked by the size that their manifest names


def digest_of(data: bytes) -> str:
    """Return the sha256 digest of `data` in registry notation."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def write_aside(path: Path, data: bytes) -> None:
    """Write a file atomically: a temporary file next to it, then os.replace."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".new-")
    try:
        with os.fdopen(handle, "wb") as out:
            out.write(data)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


class Blobs:
    """Blobs by digest below `root`/blobs/sha256; unfinished ones below `root`/unfinished."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.unfinished = root / "unfinished"
        self._blobs = root / "blobs" / "sha256"
        self.unfinished.mkdir(parents=True, exist_ok=True)
        self._blobs.mkdir(parents=True, exist_ok=True)

    def path(self, digest: str) -> Path:
        """Return the path of the blob, whether it exists or not."""
        return self._blobs / digest.removeprefix("sha256:")

    def has(self, digest: str) -> bool:
        return self.path(digest).is_file()

    def size(self, digest: str) -> int:
        """Return the size in bytes. Raises FileNotFoundError."""
        return self.path(digest).stat().st_size

    def read(self, digest: str) -> bytes:
        """Return the whole blob. Raises FileNotFoundError."""
        return self.path(digest).read_bytes()

    def check(self, digest: str, size: int) -> bool:
        """Whether the blob exists with this size; a truncated one is removed."""
        path = self.path(digest)
        if path.is_file() and path.stat().st_size != size:
            path.unlink()
        return path.is_file()

    def drop_damaged(self) -> None:
        """Remove small blobs (manifests, configurations) that do not match their digests.

        Call it once, before serving.
        """
        for path in self._blobs.iterdir():
            if (
                path.stat().st_size <= _SMALL
                and digest_of(path.read_bytes()) != f"sha256:{path.name}"
            ):
                path.unlink()

    def put(self, data: bytes) -> str:
        """Store `data` and return its digest."""
        digest = digest_of(data)
        if not self.has(digest):
            write_aside(self.path(digest), data)
        return digest

    def adopt(self, finished: Path, digest: str) -> None:
        """Move a file with an already verified digest into the store."""
        finished.replace(self.path(digest))

    def forget_unfinished(self) -> None:
        """Delete uploads that an earlier process left unfinished; call it once, before serving."""
        shutil.rmtree(self.unfinished, ignore_errors=True)
        self.unfinished.mkdir(parents=True, exist_ok=True)


@dataclass(frozen=True)
class Pushed:
    """A manifest as pushed to a repository; `size` in bytes, config and layers."""

    digest: str
    media_type: str
    size: int


class Repositories:
    """The blobs, manifests and tags pushed to each repository.

    Whether an image still *exists* is up to ECR.
    """

    def __init__(self, root: Path) -> None:
        self._root = root / "repositories"

    def _folder(self, name: str, kind: str) -> Path:
        return self._root / name.replace("/", "!") / kind  # "!" is not allowed in repository names

    def link(self, name: str, digest: str) -> None:
        """Record that this repository has the blob, as registries scope blobs by repository."""
        write_aside(self._folder(name, "blobs") / digest.removeprefix("sha256:"), b"")

    def linked(self, name: str, digest: str) -> bool:
        return (self._folder(name, "blobs") / digest.removeprefix("sha256:")).exists()

    def record(self, name: str, pushed: Pushed, tag: str | None) -> None:
        """Record a pushed manifest and its tag."""
        hexa = pushed.digest.removeprefix("sha256:")
        write_aside(self._folder(name, "manifests") / hexa, json.dumps(asdict(pushed)).encode())
        if tag:
            write_aside(self._folder(name, "tags") / tag, pushed.digest.encode())

    def pushed(self, name: str, digest: str) -> Pushed | None:
        """Return the record of a manifest, or None if it was never pushed or is unreadable."""
        try:
            record = (self._folder(name, "manifests") / digest.removeprefix("sha256:")).read_text()
            return Pushed(**json.loads(record))
        except (OSError, ValueError, TypeError):
            return None

    def tags(self, name: str) -> tuple[str, ...]:
        """Return all tags ever pushed, sorted; ECR knows which of them still exist."""
        folder = self._folder(name, "tags")
        if not folder.is_dir():
            return ()
        return tuple(
            sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith(".new-"))
        )

    def every(self) -> Iterator[tuple[str, str, Pushed]]:
        """Yield (repository, tag, manifest) of every tag as last pushed, to restore ECR from."""
        folders = sorted(self._root.iterdir()) if self._root.is_dir() else []
        for folder in folders:
            name = folder.name.replace("!", "/")
            for tag in self.tags(name):
                found = self.pushed(name, (self._folder(name, "tags") / tag).read_text())
                if found:
                    yield name, tag, found
