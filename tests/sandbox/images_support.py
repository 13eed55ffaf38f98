"""What the image tests share: a small ECR behind the registry front, ports, and build contexts."""

from __future__ import annotations

import io
import tarfile
from dataclasses import dataclass, field

from ops.sandbox.contracts import EcrRepository

TOKEN = "a-token"
IMMUTABLE = "davidshaevel/backend"
MUTABLE = "davidshaevel/frontend"


@dataclass
class SmallEcr:
    """An EcrBackend over plain dictionaries: what moto's ECR does behind the real front."""

    repositories: dict[str, EcrRepository] = field(
        default_factory=lambda: {
            IMMUTABLE: EcrRepository(IMMUTABLE, True),
            MUTABLE: EcrRepository(MUTABLE, False),
        }
    )
    images: dict[tuple[str, str], int] = field(default_factory=dict)
    tags: dict[tuple[str, str], str] = field(default_factory=dict)
    token: str = TOKEN

    def authorized(self, token: str) -> bool:
        return token == self.token

    def repository(self, name: str) -> EcrRepository | None:
        return self.repositories.get(name)

    def digest(self, name: str, tag: str) -> str | None:
        return self.tags.get((name, tag))

    def has_image(self, name: str, digest: str) -> bool:
        return (name, digest) in self.images

    def put_image(
        self, name: str, tag: str | None, digest: str, manifest: bytes, media_type: str, size: int
    ) -> None:
        self.images[name, digest] = size
        if tag:
            self.tags[name, tag] = digest

    def delete(self, name: str, tag: str) -> None:
        """BatchDeleteImage."""
        del self.images[name, self.tags.pop((name, tag))]


def context(dockerfile: str, files: dict[str, str] | None = None, mode: int = 0o644) -> io.BytesIO:
    """A build context as the docker client sends it: a tar with a Dockerfile and files."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, text in {"Dockerfile": dockerfile, **(files or {})}.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(text.encode()), mode
            archive.addfile(info, io.BytesIO(text.encode()))
    out.seek(0)
    return out
