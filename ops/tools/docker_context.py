"""The address of the Docker engine, found as the docker program finds it.

In this order: `engine` in invoke.yaml, DOCKER_HOST, the context of DOCKER_CONTEXT or of
`docker context use` (currentContext in config.json), the default socket.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ops.core.errors import ConfigError

DEFAULT_SOCKET = "unix:///var/run/docker.sock"
_DEFAULT_CONTEXT = "default"
_DEFAULT_ORIGIN = "the default socket: no `engine`, DOCKER_HOST or docker context"
_OTHER_SOCKETS = (  # of engines that usually have a context; docker itself tries none of them
    "$XDG_RUNTIME_DIR/docker.sock",
    "$HOME/.docker/run/docker.sock",
    "$HOME/.docker/desktop/docker.sock",
    "$HOME/.colima/default/docker.sock",
    "$HOME/.rd/docker.sock",
    "$HOME/.orbstack/run/docker.sock",
    "$XDG_RUNTIME_DIR/podman/podman.sock",
)


@dataclass(frozen=True)
class EngineAddress:
    """Where the engine is, and which setting names it.

    `certificates` is the folder of a context's TLS files (ca.pem, cert.pem, key.pem).
    """

    url: str
    origin: str
    context: str | None = None
    certificates: Path | None = None
    verify: bool = True

    def __str__(self) -> str:
        return f"{self.url} ({self.origin})"

    @property
    def is_default(self) -> bool:
        return self.origin == _DEFAULT_ORIGIN

    @property
    def program_environment(self) -> dict[str, str]:
        """The variables with which the docker program uses the same engine."""
        if self.context:
            return {"DOCKER_CONTEXT": self.context}
        return {"DOCKER_HOST": self.url}


def find_engine(configured: str | None, environment: Mapping[str, str]) -> EngineAddress:
    """Find the engine's address; nothing is connected.

    Raises ConfigError for a context that does not exist or cannot be read.
    """
    if configured:
        return EngineAddress(configured, "`engine` in invoke.yaml")
    if host := environment.get("DOCKER_HOST"):
        return EngineAddress(host, "DOCKER_HOST")
    folder = config_folder(environment)
    name = environment.get("DOCKER_CONTEXT")
    origin = "DOCKER_CONTEXT"
    if not name:
        origin = f"currentContext in {folder / 'config.json'}"
        name = _current_context(folder / "config.json")
    if not name or name == _DEFAULT_CONTEXT:
        return EngineAddress(DEFAULT_SOCKET, _DEFAULT_ORIGIN)
    return _context(folder, name, origin)


def config_folder(environment: Mapping[str, str]) -> Path:
    """The folder of the docker program's configuration: DOCKER_CONFIG, or ~/.docker."""
    configured = environment.get("DOCKER_CONFIG")
    return Path(configured) if configured else Path(environment.get("HOME") or "~", ".docker")


def _current_context(file: Path) -> str:
    """The context in use; "" without a readable configuration, as docker goes on without it."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    name = found.get("currentContext") if isinstance(found, dict) else None
    return name if isinstance(name, str) else ""


def _context(folder: Path, name: str, origin: str) -> EngineAddress:
    identifier = hashlib.sha256(name.encode()).hexdigest()
    file = folder / "contexts" / "meta" / identifier / "meta.json"
    what = f"docker context {name} ({origin})"
    how = "docker context ls, then docker context use NAME, or set DOCKER_HOST"
    try:
        document: Any = json.loads(file.read_text(encoding="utf-8"))
        endpoint = document["Endpoints"]["docker"]
        host = endpoint.get("Host") or DEFAULT_SOCKET
        verify = not endpoint.get("SkipTLSVerify")
    except FileNotFoundError:
        raise ConfigError(what, f"there is no such context ({file} is missing)", how) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        why = f"{file} cannot be read ({type(error).__name__})"
        raise ConfigError(what, why, how) from None
    certificates = folder / "contexts" / "tls" / identifier / "docker"
    return EngineAddress(
        str(host),
        f"docker context {name}, from {origin}",
        name,
        certificates if certificates.is_dir() else None,
        verify,
    )


def other_sockets(environment: Mapping[str, str]) -> tuple[str, ...]:
    """The sockets of other engines on this machine, as addresses for DOCKER_HOST."""
    found = []
    for pattern in _OTHER_SOCKETS:
        variable, _, rest = pattern.removeprefix("$").partition("/")
        base = environment.get(variable)
        if base and (path := Path(base, rest)).is_socket():
            found.append(f"unix://{path}")
    return tuple(found)


def client_options(address: EngineAddress) -> dict[str, Any]:
    """The options of docker.APIClient for this address."""
    import docker

    if address.origin == "DOCKER_HOST":  # with DOCKER_TLS_VERIFY and DOCKER_CERT_PATH
        options: dict[str, Any] = docker.utils.kwargs_from_env(environment=dict(os.environ))
    else:
        options = {} if address.is_default else {"base_url": address.url}
    if address.certificates:
        options["tls"] = _tls(address.certificates, verify=address.verify)
    if address.url.startswith("ssh://"):
        options["use_ssh_client"] = True  # the ssh program reads all of ssh_config
    return options


def _tls(folder: Path, *, verify: bool) -> Any:
    import docker

    authority, certificate, key = (folder / f"{name}.pem" for name in ("ca", "cert", "key"))
    return docker.tls.TLSConfig(
        client_cert=(str(certificate), str(key)) if certificate.exists() else None,
        ca_cert=str(authority) if authority.exists() else None,
        verify=verify,
    )
