"""Containers that a killed supervisor left on a real engine."""

from __future__ import annotations

import contextlib

import docker
from docker.errors import DockerException

from ops.sandbox.contracts import Paths
from ops.sandbox.images.docker_runtime import DockerRuntime


def sweep_containers(paths: Paths) -> None:
    """Remove this sandbox's containers; an engine that is gone has none."""
    with contextlib.suppress(DockerException):
        DockerRuntime(docker.from_env(timeout=20), paths.root, lambda: "").sweep()
