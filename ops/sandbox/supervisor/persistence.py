"""What a new world remembers of the last one: pushed images, and which image each service ran
healthily (services.json).

AWS keeps its state; the sandbox's AWS lives in memory. After a stop or a crash the world is made
anew: images come back from the disk, services start on the image that their last completed
deployment had, everything else (revisions, events, logs) begins again."""

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
    """Service → `repository:tag` (or `repository@digest`) as last written; empty when there is
    nothing to read.
    """
    with contextlib.suppress(OSError, ValueError, AttributeError):
        found = json.loads(_file(paths).read_text())
        return {str(name): str(image) for name, image in found.items()}
    return {}


def running(cloud: Cloud) -> dict[str, str]:
    """Service → image of its last completed deployment, without the registry's address."""
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
    """Of a task definition; none of one that was deleted (DeleteTaskDefinitions)."""
    try:
        return lookups.launch_spec(revision).containers
    except ServiceException:
        return ()


def remember(paths: Paths, images: dict[str, str]) -> None:
    write_private(_file(paths), json.dumps(images, indent=2) + "\n")


def restore_images(images: Path, cloud: Cloud, upstream: Upstream | None) -> int:
    """Tell the new ECR of every image in the registry's folder, or noted there and still in the
    registry behind it; how many.
    """

    def put(name: str, tag: str, digest: str, manifest: bytes, media_type: str, size: int) -> None:
        if cloud.ecr.repository(name) is not None:
            cloud.ecr.put_image(name, tag, digest, manifest, media_type, size)

    return tell_again(images, put, upstream)


def to_start(cloud: Cloud, last: dict[str, str], first: dict[str, str]) -> dict[str, str]:
    """Service → image to start: the remembered one where ECR has it, else version 1 (`first`)."""
    return {
        name: last[name] if name in last and _exists(cloud, last[name]) else first[name]
        for name in first
    }


def _exists(cloud: Cloud, image: str) -> bool:
    if "@" in image:
        return cloud.ecr.has_image(*image.split("@", 1))
    repository, _, tag = image.rpartition(":")
    return cloud.ecr.digest(repository, tag) is not None
