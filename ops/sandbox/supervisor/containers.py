"""What a sandbox put into a real engine, taken out again: containers that a killed supervisor left,
and with `--purge` its images.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from docker.errors import DockerException, ImageNotFound

from ops.sandbox.contracts import Paths
from ops.sandbox.runtime.containers import DockerRuntime
from ops.sandbox.runtime.docker_engine import NoEngineError, connect

PATIENCE = 20  # seconds


def sweep_containers(paths: Paths, where: str) -> None:
    """Remove this sandbox's containers from the engine at `where`; an engine that is gone runs
    none.
    """
    with contextlib.suppress(NoEngineError, DockerException, OSError):
        DockerRuntime(connect(where, PATIENCE), paths.root, lambda: "").sweep()


def forget_images(where: str, registry: str) -> None:
    """Remove the images that are named after this sandbox's registry (`host:port`); the base is
    shared and stays.
    """
    with contextlib.suppress(NoEngineError, DockerException, OSError):
        client = connect(where, PATIENCE)
        for name in [
            name for image in client.api.images() for name in _names(image, f"{registry}/")
        ]:
            with contextlib.suppress(ImageNotFound):  # somebody else removed it first
                client.images.remove(name)


def _names(image: Mapping[str, Any], prefix: str) -> list[str]:
    """Its tags there; its digests there where it has no tag."""
    tags = [tag for tag in image["RepoTags"] or () if tag.startswith(prefix)]
    return tags or [each for each in image["RepoDigests"] or () if each.startswith(prefix)]
