"""The engine is found as the docker program finds it, and the error names what was tried."""

from __future__ import annotations

import hashlib
import json
import socket
from pathlib import Path

import pytest

from ops.core.errors import ConfigError, Unreachable
from ops.tools import docker
from ops.tools.docker_context import DEFAULT_SOCKET, find_engine, other_sockets

COLIMA = "unix:///home/me/.colima/default/docker.sock"


def new_context(folder: Path, name: str, host: str, *, use: bool = False) -> str:
    """Write a context as `docker context create` does; `use`: and make it the current one."""
    identifier = hashlib.sha256(name.encode()).hexdigest()
    meta = folder / "contexts" / "meta" / identifier
    meta.mkdir(parents=True)
    endpoint = {"Host": host, "SkipTLSVerify": False}
    document = {"Name": name, "Metadata": {}, "Endpoints": {"docker": endpoint}}
    (meta / "meta.json").write_text(json.dumps(document))
    if use:
        (folder / "config.json").write_text(json.dumps({"currentContext": name}))
    return identifier


@pytest.mark.parametrize(
    ("configured", "variables", "url", "origin"),
    [
        ("tcp://build:2375", {"DOCKER_HOST": "tcp://x:1"}, "tcp://build:2375", "invoke.yaml"),
        (None, {"DOCKER_HOST": "tcp://x:1", "DOCKER_CONTEXT": "lima"}, "tcp://x:1", "DOCKER_HOST"),
        (None, {"DOCKER_CONTEXT": "lima"}, "ssh://me@lima", "context lima, from DOCKER_CONTEXT"),
        (None, {"DOCKER_CONTEXT": "default"}, DEFAULT_SOCKET, "default socket"),
        (None, {"DOCKER_CONTEXT": ""}, COLIMA, "context colima, from currentContext in"),
        (None, {}, COLIMA, "context colima, from currentContext in"),
    ],
)
def test_the_first_setting_wins(
    tmp_path: Path, configured: str | None, variables: dict[str, str], url: str, origin: str
) -> None:
    """`engine`, DOCKER_HOST, DOCKER_CONTEXT, currentContext: docker's own order."""
    new_context(tmp_path / ".docker", "colima", COLIMA, use=True)
    new_context(tmp_path / ".docker", "lima", "ssh://me@lima")
    found = find_engine(configured, {"HOME": str(tmp_path), **variables})
    assert found.url == url and origin in found.origin


def test_docker_config_moves_the_contexts(tmp_path: Path) -> None:
    """DOCKER_CONFIG is the folder of config.json and of the contexts, also without config.json."""
    new_context(tmp_path / "other", "colima", COLIMA)
    variables = {"DOCKER_CONFIG": str(tmp_path / "other"), "DOCKER_CONTEXT": "colima"}
    assert find_engine(None, variables).url == COLIMA


@pytest.mark.parametrize("content", ["", "[]", "{", '{"currentContext": 3}', '{"auths": {}}'])
def test_no_context_is_the_default_socket(tmp_path: Path, content: str) -> None:
    """A configuration without a context, or one that docker itself could not read."""
    (tmp_path / "config.json").write_text(content)
    found = find_engine(None, {"DOCKER_CONFIG": str(tmp_path)})
    assert found.url == DEFAULT_SOCKET and found.is_default


@pytest.mark.parametrize("content", [None, "{", "[]", '{"Endpoints": {"docker": "x"}}'])
def test_a_context_that_cannot_be_read(tmp_path: Path, content: str | None) -> None:
    """Exit code 2, naming the context and where its name comes from."""
    identifier = new_context(tmp_path, "colima", COLIMA, use=True)
    file = tmp_path / "contexts" / "meta" / identifier / "meta.json"
    file.unlink() if content is None else file.write_text(content)
    with pytest.raises(ConfigError, match=r"docker context colima \(currentContext in") as error:
        find_engine(None, {"DOCKER_CONFIG": str(tmp_path)})
    assert error.value.code == 2 and "docker context ls" in error.value.next


def test_certificates_of_a_context(tmp_path: Path) -> None:
    """A context's TLS files are found beside it."""
    identifier = new_context(tmp_path, "far", "tcp://far:2376", use=True)
    folder = tmp_path / "contexts" / "tls" / identifier / "docker"
    folder.mkdir(parents=True)
    found = find_engine(None, {"DOCKER_CONFIG": str(tmp_path)})
    assert found.certificates == folder and found.verify
    assert found.program_environment == {"DOCKER_CONTEXT": "far"}


def test_the_error_names_the_context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine of a context that does not run is named with its context and address."""
    new_context(tmp_path, "colima", f"unix://{tmp_path}/none.sock", use=True)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.delenv("DOCKER_CONTEXT", raising=False)
    with pytest.raises(Unreachable, match="not running") as error:
        docker.connect(None)
    assert f"{tmp_path}/none.sock" in error.value.what
    assert "docker context colima, from currentContext" in error.value.what


def test_other_sockets_are_offered(tmp_path: Path) -> None:
    """A rootless engine's socket that exists is offered; docker without a context uses none."""
    variables = {"XDG_RUNTIME_DIR": str(tmp_path), "HOME": str(tmp_path / "home")}
    assert other_sockets(variables) == ()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "docker.sock"))
        assert other_sockets(variables) == (f"unix://{tmp_path}/docker.sock",)
    assert find_engine(None, variables).is_default
