"""Tests against the real parts. A part that is missing here is skipped by name, or a failure where
OPS_REQUIRE_REAL names it.

OPS_REQUIRE_REAL=docker,registry,sshd,postgres,terraform: what the caller (`.ci/run`) has installed
itself and therefore wants proved."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest

Require = Callable[[str], Any]


def _docker() -> Any:
    """A client of the engine at DOCKER_HOST or the machine's own socket."""
    import docker

    client = docker.from_env()
    client.ping()
    return client


def _program(name: str) -> Callable[[], str]:
    def find() -> str:
        found = shutil.which(name)
        if found is None:
            raise FileNotFoundError(f"there is no {name} in PATH")
        return found

    return find


def _network_namespaces() -> str:
    """The `ip` that makes them; a kernel or a user that may not is a missing part too."""
    ip = _program("ip")()
    name = f"ops-probe-{os.getpid()}"
    for verb in ("add", "del"):
        done = subprocess.run(
            [ip, "netns", verb, name], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise PermissionError(f"ip netns {verb}: {done.stderr.strip()}")
    return ip


# What each part is found by: a client or a path, or an exception that says why not.
PARTS: dict[str, Callable[[], Any]] = {
    "docker": _docker,
    "registry": _program("docker-registry"),
    "skopeo": _program("skopeo"),
    "sshd": _program("sshd"),
    "netns": _network_namespaces,
    "postgres": _program("postgres"),
    "pgbouncer": _program("pgbouncer"),
    "terraform": _program("terraform"),
    "bash": _program("bash"),
    "zsh": _program("zsh"),
    "fish": _program("fish"),
    "tcsh": _program("tcsh"),
    "ssh": _program("ssh"),
    "dash": _program("dash"),
}


@pytest.fixture(scope="session")
def require() -> Iterator[Require]:
    """`require("docker")` gives the part, or skips the test by the part's name, or fails where the
    part was required.
    """
    found: dict[str, Any] = {}

    def look(part: str) -> Any:
        if part not in found:
            try:
                found[part] = PARTS[part]()
            except Exception as error:  # whatever keeps the part away is the reason that is shown
                _absent(part, error)
        return found[part]

    yield look
    for each in found.values():
        if hasattr(each, "close"):
            each.close()


@pytest.fixture(scope="session")
def real(require: Require) -> Any:
    """The real engine's client."""
    client = require("docker")
    if client.info()["OperatingSystem"].startswith("ops sandbox engine"):
        pytest.skip("no docker here: DOCKER_HOST names the sandbox's own engine")
    return client


def _absent(part: str, error: Exception) -> None:
    wanted = {each.strip() for each in os.environ.get("OPS_REQUIRE_REAL", "").split(",")}
    if part in wanted:
        pytest.fail(f"{part} is required (OPS_REQUIRE_REAL) and not here: {error}")
    pytest.skip(f"no {part} here: {error}")
