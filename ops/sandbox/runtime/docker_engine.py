"""A real Docker engine, as the sandbox needs it: reached, found fit, and asked whether it still
answers.

The containers share the machine's network (docker_runtime.py), so the engine must run on this
machine itself: not elsewhere, not in a virtual machine, not rootless. What does not fit is refused
by name before anything is started."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import docker
from docker.errors import DockerException

SOCKET = "unix:///var/run/docker.sock"
TIMEOUT = 120  # seconds without a word during a build, push or pull
PING = 2  # seconds; also the age at which an answer is asked anew
OURS = "ops sandbox engine"  # how the sandbox's own endpoint calls itself in /info


class NoEngineError(Exception):
    """There is no engine that can carry the sandbox; the text says why."""


def address() -> str:
    """Where the machine's engine is: DOCKER_HOST, or its own socket."""
    return os.environ.get("DOCKER_HOST") or SOCKET


def connect(where: str, timeout: float = TIMEOUT) -> Any:
    """A client of the engine at `where`, which has answered. Raises NoEngineError."""
    if not _near(where):
        raise NoEngineError(f"{where} is another machine, and the tasks need this one's loopback")
    try:
        client = docker.DockerClient(base_url=where, timeout=timeout)
        client.ping()
    except (DockerException, OSError, ValueError) as error:
        raise NoEngineError(_worded(where, str(error))) from error
    client.api._set_auth_headers = lambda headers: (
        None
    )  # the logins of ~/.docker/config.json are nobody's business here
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
    """Why an engine that says this of itself (GET /info) can't carry the sandbox; None where it
    can.
    """
    system, architecture = str(info.get("OperatingSystem", "")), str(info.get("Architecture", ""))
    if system.startswith(OURS):
        return "DOCKER_HOST names the sandbox's own engine endpoint, which is no real one"
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
    """Whether the engine still answers, asked every other second at most."""

    def __init__(self, where: str) -> None:
        self._where, self._client = where, connect(where, PING)
        self._asked, self._answered = time.monotonic(), True

    def beats(self) -> bool:
        if time.monotonic() - self._asked >= PING:
            try:
                self._answered = bool(self._client.ping())
            except (DockerException, OSError):
                self._answered = False
            self._asked = time.monotonic()
        return self._answered

    def stop(self) -> None:
        self._client.close()
