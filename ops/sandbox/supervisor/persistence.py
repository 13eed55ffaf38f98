"""State that outlives a supervisor: pushed images, and each service's last healthy image.

Real AWS keeps its state; the sandbox's AWS is in memory. After a stop or a crash it is created
again: images are restored from disk, services start on the image of their last completed deployment
(services.json), everything else (revisions, events, logs) starts empty.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

from moto.core.exceptions import ServiceException

from ops.postgres.server.cluster import write_private
from ops.sandbox.aws import Cloud, lookups
from ops.sandbox.contracts import Paths
from ops.sandbox.registry.server import tell_again
from ops.sandbox.registry.upstream import Upstream
from ops.sandbox.seed.names import CLUSTER, SERVICES


def _file(paths: Paths) -> Path:
    return paths.root / "services.json"


def remembered(paths: Paths) -> dict[str, str]:
    """Return service → `repository:tag` (or `repository@digest`) as last saved, or {}."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        found = json.loads(_file(paths).read_text())
        return {str(name): str(image) for name, image in found.items()}
    return {}


def running(cloud: Cloud) -> dict[str, str]:
    """Return service → image of its last completed deployment, without the registry."""
    found: dict[str, str] = {}
    with cloud.ecs.lock:
        for spec in SERVICES:
            service = cloud.ecs.service(CLUSTER, spec.service)
            if service is None or service.last_completed is None:
                continue
            containers = _containers(service.last_completed.task_definition)
            image = next((each["image"] for each in containers if each["name"] == spec.name), None)
            if image:
                found[spec.name] = str(image).partition("/")[2]
    return found


def _containers(revision: str) -> tuple[dict[str, Any], ...]:
    """Return a task definition's containers; none if it was deleted (DeleteTaskDefinitions)."""
    try:
        return lookups.launch_spec(revision).containers
    except ServiceException:
        return ()


def remember(paths: Paths, images: dict[str, str]) -> None:
    write_private(_file(paths), json.dumps(images, indent=2) + "\n")


def restore_images(images: Path, cloud: Cloud, upstream: Upstream | None) -> int:
    """Record every image of the registry in the new ECR; return how many.

    With an upstream registry, only images that it still holds.
    """

    def put(name: str, tag: str, digest: str, manifest: bytes, media_type: str, size: int) -> None:
        if cloud.ecr.repository(name) is not None:
            cloud.ecr.put_image(name, tag, digest, manifest, media_type, size)

    return tell_again(images, put, upstream)


def to_start(cloud: Cloud, last: dict[str, str], first: dict[str, str]) -> dict[str, str]:
    """Return service → image to start: the saved one if ECR has it, else version 1 (`first`)."""
    return {
        name: last[name] if name in last and _exists(cloud, last[name]) else first[name]
        for name in first
    }


def _exists(cloud: Cloud, image: str) -> bool:
    if "@" in image:
        return cloud.ecr.has_image(*image.split("@", 1))
    repository, _, tag = image.rpartition(":")
    return cloud.ecr.digest(repository, tag) is not None
