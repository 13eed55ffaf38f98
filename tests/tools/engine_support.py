"""What the engine's tests share: a token, a small build context, and a build of it."""

from __future__ import annotations

from pathlib import Path

from ops.aws.ecr import Token
from ops.tools import docker

TOKEN = Token("AWS", "unused", "HUSH-password")
LABELS = {docker.REVISION: "abc123"}
DOCKERFILE = (
    'FROM scratch\nARG VERSION\nENV VERSION=$VERSION\nCOPY app.txt /app.txt\nCMD ["/app"]\n'
)


def new_context(folder: Path) -> Path:
    (folder / "Dockerfile").write_text(DOCKERFILE)
    (folder / "app.txt").write_text("hello\n")
    return folder


def build(there: docker.Engine, context: Path, said: list[str] | None = None) -> str:
    """Build `context` as web:local."""
    tell = said.append if said is not None else lambda line: None
    return docker.build(
        there,
        context,
        dockerfile="Dockerfile",
        name="web:local",
        labels=LABELS,
        build_args={"VERSION": "1"},
        platform="linux/amd64",
        progress=tell,
    )
