"""The engines: the sandbox's own with processes, or a real Docker engine with containers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import docker
from docker.errors import DockerException

from ops.core.errors import OpsError
from ops.sandbox.aws import Cloud
from ops.sandbox.contracts import Component, Paths, Ports, Runtime


@dataclass(frozen=True)
class Engine:
    """An engine with its runtime.

    `address` is for the operator's docker client; `part` reports liveness (a real engine is never
    stopped).
    """

    client: Any
    address: str
    runtime: Runtime
    part: Component


def own(paths: Paths, ports: Ports, socket: Path, cloud: Cloud) -> Engine:
    """Start the engine endpoint and the process runtime, after cleaning up orphans."""
    from ops.sandbox.engine.server import serve_engine
    from ops.sandbox.runtime.runtime import ProcessRuntime

    runtime = ProcessRuntime(paths, cloud.ecr, f"127.0.0.1:{ports.registry}")
    runtime.sweep()
    part = serve_engine(paths.images / "engine", socket)
    address = f"unix://{socket}"
    return Engine(
        docker.DockerClient(base_url=address, timeout=60), address, cast(Runtime, runtime), part
    )


def real(paths: Paths, token: Callable[[], str], say: Callable[[str], None]) -> Engine:
    """Use the machine's Docker engine (DOCKER_HOST or its socket).

    Raises OpsError.

    The base image is created if missing.
    """
    from ops.sandbox.runtime import docker_engine
    from ops.sandbox.runtime.containers import DockerRuntime
    from ops.sandbox.runtime.docker_base import NoBaseError, ensure_base

    where = docker_engine.address()
    try:
        client = docker_engine.connect(where)
        if reason := docker_engine.unfit(client.info()):
            raise docker_engine.NoEngineError(reason)
        pulse = docker_engine.Pulse(where)
        runtime = DockerRuntime(client, paths.root.resolve(), token)
        runtime.sweep()
        ensure_base(client, say)
    except (docker_engine.NoEngineError, NoBaseError, DockerException, OSError) as exc:
        raise OpsError(
            "no Docker engine for the sandbox",
            str(exc),
            "start Docker, or `inv sandbox.up` without --engine docker",
        ) from exc
    return Engine(
        client, where, cast(Runtime, runtime), Component("docker", pulse.stop, pulse.beats)
    )
