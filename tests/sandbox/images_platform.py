"""A registry, an engine and a runtime on free ports, driven through the real docker client: what
the image tests stand on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker

from ops.sandbox.contracts import Component, ContainerSpec, Paths
from ops.sandbox.engine.server import serve_engine
from ops.sandbox.registry.server import serve_registry
from ops.sandbox.registry.upstream import Upstream
from ops.sandbox.runtime.processes import ProcessContainer
from ops.sandbox.runtime.runtime import ProcessRuntime
from tests.factories import free_port
from tests.sandbox.images_support import MUTABLE, TOKEN, SmallEcr, context
from tests.waiting import until

LOGIN = {"username": "AWS", "password": TOKEN}


@dataclass
class ImagePlatform:
    """Everything about images that a sandbox has, below one folder."""

    root: Path
    ecr: SmallEcr = field(default_factory=SmallEcr)
    registry_port: int = field(default_factory=free_port)
    parts: list[Component] = field(default_factory=list)
    clients: list[Any] = field(default_factory=list)
    upstream: str | None = None  # a real registry behind the front, `host:port`

    @property
    def paths(self) -> Paths:
        return Paths(self.root)

    @property
    def socket(self) -> Path:
        return self.root / "engine.sock"

    @property
    def registry(self) -> str:
        return f"127.0.0.1:{self.registry_port}"

    def up(self) -> ImagePlatform:
        upstream = Upstream.at(self.upstream) if self.upstream else None
        self.parts.append(
            serve_registry(self.paths.images / "registry", self.ecr, self.registry_port, upstream)
        )
        self.parts.append(serve_engine(self.paths.images / "engine", self.socket))
        return self

    def down(self) -> None:
        for client in self.clients:
            client.close()
        for part in self.parts:
            part.stop()
        self.parts.clear()
        self.clients.clear()

    def client(self) -> Any:
        self.clients.append(docker.DockerClient(base_url=f"unix://{self.socket}"))
        return self.clients[-1]

    def runtime(self) -> ProcessRuntime:
        return ProcessRuntime(self.paths, self.ecr, self.registry)

    def shipped(
        self,
        dockerfile: str,
        files: dict[str, str],
        tag: str,
        repository: str = MUTABLE,
        **wishes: Any,
    ) -> str:
        """Build and push; the reference that a task definition would name."""
        client, image = self.client(), f"{self.registry}/{repository}:{tag}"
        build(client, dockerfile, files, tag=image, **wishes)
        lines = push(client, f"{self.registry}/{repository}", tag)
        assert "error" not in lines[-1], lines[-1]
        return image


def build(
    client: Any, source: str, files: dict[str, str] | None = None, **wishes: Any
) -> list[dict[str, Any]]:
    """The builder's lines."""
    return list(
        client.api.build(
            fileobj=context(source, files), custom_context=True, decode=True, rm=True, **wishes
        )
    )


def push(
    client: Any, repository: str, tag: str | None, login: dict[str, str] | None = LOGIN
) -> list[dict[str, Any]]:
    """The engine's lines of a push."""
    return list(client.api.push(repository, tag, stream=True, decode=True, auth_config=login))


def spec(image: str, log: Callable[[str], None], **changes: Any) -> ContainerSpec:
    """A container of a task, on a loopback address."""
    given: dict[str, Any] = {
        "task_id": "a1",
        "name": "backend",
        "address": "127.0.0.1",
        "environment": {},
        **changes,
    }
    return ContainerSpec(image=image, log=log, **given)


def ended(container: ProcessContainer | Any, within: float = 10.0) -> int:
    """The exit code, once there is one."""
    until(lambda: container.poll() is not None, within)
    code = container.poll()
    assert code is not None
    return code
