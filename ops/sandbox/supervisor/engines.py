"""What builds and runs: the sandbox's own engine with processes, or a real Docker engine with containers."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import docker
from docker.errors import DockerException

from ops.errors import OpsError
from ops.sandbox.aws import Cloud
from ops.sandbox.contracts import Part, Paths, Ports, Runtime


@dataclass(frozen=True)
class Engine:
    """`address` is what the operator's docker client connects to; `part` is None where the engine is not ours."""

    client: Any
    address: str
    runtime: Runtime
    part: Part | None


def own(paths: Paths, ports: Ports, cloud: Cloud) -> Engine:
    """The engine endpoint on its port, and tasks as processes; what a killed supervisor left running is ended."""
    from ops.sandbox.images.engine.server import serve_engine
    from ops.sandbox.images.runtime import ProcessRuntime

    runtime = ProcessRuntime(paths, cloud.ecr, f"127.0.0.1:{ports.registry}")
    runtime.sweep()
    part = serve_engine(paths.images / "engine", ports.engine)
    address = f"tcp://127.0.0.1:{ports.engine}"
    return Engine(docker.DockerClient(base_url=address, timeout=60), address, cast(Runtime, runtime), part)


def real(paths: Paths, token: Callable[[], str]) -> Engine:
    """The machine's Docker engine (DOCKER_HOST or its socket), with the base image made where it is missing. Raises OpsError."""
    from ops.sandbox.images.docker_base import NoBaseError, ensure_base
    from ops.sandbox.images.docker_runtime import DockerRuntime

    try:
        client = docker.from_env(timeout=120)
        client.ping()
        ensure_base(client)
    except (DockerException, NoBaseError) as exc:
        raise OpsError("no Docker engine for the sandbox", str(exc), "start Docker, or `inv sandbox.up` without --engine docker") from exc
    runtime = DockerRuntime(client, paths.root.resolve(), token)
    runtime.sweep()
    return Engine(client, os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock", cast(Runtime, runtime), None)
