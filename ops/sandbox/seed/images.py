"""Version 1 of both images, built and pushed with the `docker` client."""

from __future__ import annotations

import base64
import tempfile
from pathlib import Path
from typing import Any

from ops.core.errors import OpsError
from ops.sandbox.contracts import Paths
from ops.sandbox.sample import Commit, export
from ops.sandbox.seed.clients import Clients
from ops.sandbox.seed.names import ServiceSpec


def registry_token(clients: Clients) -> str:
    """Return the registry's current password, without its `AWS:`."""
    data = clients.ecr.get_authorization_token()["authorizationData"][0]
    return base64.b64decode(data["authorizationToken"]).decode().partition(":")[2]


def build_and_push(
    engine: Any, clients: Clients, paths: Paths, spec: ServiceSpec, image: str, commit: Commit
) -> None:
    """Build `image` (`host:port/repository:tag`) of `commit` and push it.

    Raises OpsError with the engine's message.
    """
    labels = {
        "org.opencontainers.image.revision": commit.full,
        "org.opencontainers.image.source": str(paths.origin),
        "org.opencontainers.image.created": commit.at,
    }
    with tempfile.TemporaryDirectory(prefix="sandbox-build-") as folder:
        export(paths, commit, spec.name, Path(folder))
        _follow(
            f"build of {image}",
            engine.api.build(
                path=f"{folder}/{spec.name}",
                tag=image,
                labels=labels,
                buildargs={"VERSION": commit.short},
                platform="linux/amd64",
                rm=True,
                decode=True,
            ),
        )
    login = {"username": "AWS", "password": registry_token(clients)}
    _follow(f"push of {image}", engine.api.push(image, stream=True, decode=True, auth_config=login))


def _follow(what: str, lines: Any) -> None:
    for line in lines:
        if "error" in line:
            raise OpsError(
                f"the sandbox's {what} failed",
                str(line["error"]).strip(),
                "see .sandbox/logs/supervisor.log",
            )
