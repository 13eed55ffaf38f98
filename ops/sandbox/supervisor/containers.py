"""Cleanup of a sandbox's containers in a real engine, and with `--purge` of its images."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from docker.errors import DockerException, ImageNotFound

from ops.sandbox.contracts import Paths
from ops.sandbox.runtime.containers import DockerRuntime
from ops.sandbox.runtime.docker_engine import NoEngineError, connect

_PATIENCE = 20  # seconds


def sweep_containers(paths: Paths, where: str) -> None:
    """Remove this sandbox's containers from the engine at `where`, if it is running."""
    with contextlib.suppress(NoEngineError, DockerException, OSError):
        DockerRuntime(connect(where, _PATIENCE), paths.root, lambda: "").sweep()


def forget_images(where: str, registry: str) -> None:
    """Remove the images named after this sandbox's registry (`host:port`); the base stays."""
    with contextlib.suppress(NoEngineError, DockerException, OSError):
        client = connect(where, _PATIENCE)
        for name in [
            name for image in client.api.images() for name in _names(image, f"{registry}/")
        ]:
            with contextlib.suppress(ImageNotFound):  # removed by another process
                client.images.remove(name)


def _names(image: Mapping[str, Any], prefix: str) -> list[str]:
    """Return the image's tags in the registry, or its digests if it has no tag."""
    tags = [tag for tag in image["RepoTags"] or () if tag.startswith(prefix)]
    return tags or [each for each in image["RepoDigests"] or () if each.startswith(prefix)]
