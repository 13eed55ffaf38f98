"""A real Docker engine for the sandbox: connection, suitability and liveness.

The containers share the machine's network (containers.py), so the engine must run on this machine
itself: not remotely, not in a virtual machine, not rootless. Unsuitable engines are rejected before
anything is started.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import docker
from docker.errors import DockerException

_SOCKET = "unix:///var/run/docker.sock"
_TIMEOUT = 120  # seconds without a word during a build, push or pull
_PING = 2  # seconds; also the maximum age of an answer
_OURS = "ops sandbox engine"  # how the sandbox's own endpoint calls itself in /info


class NoEngineError(Exception):
    """There is no suitable engine; the text is the reason."""


def address() -> str:
    """Return the machine's engine: DOCKER_HOST, or the default socket."""
    return os.environ.get("DOCKER_HOST") or _SOCKET


def connect(where: str, timeout: float = _TIMEOUT) -> Any:
    """Return a client of a responding engine at `where`. Raises NoEngineError."""
    if not _near(where):
        raise NoEngineError(f"{where} is another machine, and the tasks need this one's loopback")
    try:
        client = docker.DockerClient(base_url=where, timeout=timeout)
        client.ping()
    except (DockerException, OSError, ValueError) as error:
        raise NoEngineError(_worded(where, str(error))) from error
    client.api._set_auth_headers = lambda headers: (
        None
    )  # do not use the logins of ~/.docker/config.json
    return client


def _near(where: str) -> bool:
    there = urlsplit(where)
    host = there.hostname or ""
    return there.scheme == "unix" or (
        there.scheme in ("tcp", "http") and (host == "localhost" or host.startswith("127."))
    )


def _worded(where: str, text: str) -> str:
    if "Permission denied" in text or "PermissionError" in text:
        return f"this user may not use {where} (its group, mostly `docker`, may)"
    if "No such file" in text or "FileNotFoundError" in text:
        return f"it is not running: there is no {where}"
    if "refused" in text.lower():
        return f"it is not running: {where} refuses connections"
    return f"{where}: {text.removeprefix('Error while fetching server API version: ')}"


def unfit(info: Mapping[str, Any]) -> str | None:
    """Return why an engine with this GET /info is unsuitable, or None."""
    system, architecture = str(info.get("OperatingSystem", "")), str(info.get("Architecture", ""))
    if system.startswith(_OURS):
        return "DOCKER_HOST names the sandbox's own engine endpoint, not a real one"
    if info.get("OSType", "linux") != "linux":
        return f"it runs {info.get('OSType')} containers, and the images are for Linux"
    if "Docker Desktop" in system:
        return (
            "it is Docker Desktop: its containers run in a virtual machine, which has another "
            "loopback"
        )
    if any("rootless" in str(option) for option in info.get("SecurityOptions") or ()):
        return "it is rootless: its containers have a network of its own, with another loopback"
    if architecture not in ("x86_64", "amd64"):
        return f"it runs on {architecture}, and the sandbox's task definitions say linux/amd64"
    return None


class Pulse:
    """Liveness of the engine, checked at most every two seconds."""

    def __init__(self, where: str) -> None:
        self._where, self._client = where, connect(where, _PING)
        self._asked, self._answered = time.monotonic(), True

    def beats(self) -> bool:
        if time.monotonic() - self._asked >= _PING:
            try:
                self._answered = bool(self._client.ping())
            except (DockerException, OSError):
                self._answered = False
            self._asked = time.monotonic()
        return self._answered

    def stop(self) -> None:
        self._client.close()
