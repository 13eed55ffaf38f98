"""ssh_config as OpenSSH reads it: what a plain `ssh bastion` reaches is reached here too."""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ops.core.errors import ConfigError, OpsError, Refused, Unreachable
from ops.ssh import client_config, connection
from tests.real import ssh_server
from tests.real.ssh_server import SshServer

pytestmark = pytest.mark.timeout(60)
USER = getpass.getuser()
ROOT = Path(__file__).resolve().parents[2]
# the bastion by its name alone; everything else is in ssh_config
BY_NAME: dict[str, Any] = {"host": "bastion", "port": None, "user": None, "identity_file": None}


@pytest.fixture
def server(require: Any, tmp_path: Path) -> Iterator[SshServer]:
    require("sshd")
    require("ssh")
    authority = f"TrustedUserCAKeys {tmp_path}/authority.pub"
    ssh_server.make_key(tmp_path / "authority")
    with ssh_server.running(tmp_path, authority) as made:
        yield made


def write(server: SshServer, *lines: str, before: str = "", after: str = "") -> None:
    words = ("HostName 127.0.0.1", f"Port {server.port}", *lines)
    text = "\n  ".join(["Host bastion", *words])
    (server.folder / "ssh_config").write_text(f"{before}\n{text}\n{after}\n")


def reached(server: SshServer, **other: Any) -> str:
    with connection.connect(server.settings(**{**BY_NAME, **other})) as host:
        assert host.run("echo reached").out == b"reached\n"
        return host.where


def test_an_include_is_followed(server: SshServer) -> None:
    """The host, its user and port are in an included file; a Match below applies too."""
    write(server, f"IdentityFile {server.folder}/identity")
    included = server.folder / "included"
    (server.folder / "ssh_config").rename(included)
    config = f"Include {included}\nMatch originalhost bastion exec true\n  User {USER}\n"
    (server.folder / "ssh_config").write_text(config)
    assert reached(server) == f"{USER}@127.0.0.1:{server.port}"


def test_proxyjump_none_means_no_gateway(server: SshServer) -> None:
    """A later `Host *` names a jump host for all others."""
    write(
        server,
        f"IdentityFile {server.folder}/identity",
        "ProxyJump none",
        after="Host *\n  ProxyJump jump.invalid",
    )
    reached(server)


def test_a_jump_host_is_looked_up_itself(server: SshServer) -> None:
    """Its name, port and key are those of its own entry."""
    write(
        server,
        f"IdentityFile {server.folder}/identity",
        "ProxyJump door",
        after=f"Host door\n  HostName 127.0.0.1\n  Port {server.port}\n"
        f"  IdentityFile {server.folder}/identity",
    )
    reached(server)
    with pytest.raises(ConfigError, match="again and again"):
        write(server, "ProxyJump bastion")
        reached(server)


def test_a_certificate_with_a_name_of_its_own(server: SshServer) -> None:
    """CertificateFile: the server trusts the authority, and does not know the key."""
    key, name = server.folder / "short", "certificate of today.pub"
    ssh_server.make_key(key)
    words = ["ssh-keygen", "-q", "-s", "authority", "-I", "x", "-n", USER, "short.pub"]
    subprocess.run(words, cwd=server.folder, check=True, capture_output=True)
    (server.folder / "short-cert.pub").rename(server.folder / name)
    write(server, f"IdentityFile {key}")
    with pytest.raises(Unreachable, match="does not let us in"):
        reached(server)
    write(server, f"IdentityFile {key}", f'CertificateFile "{server.folder}/{name}"')
    reached(server)


def test_the_host_key_of_an_alias(server: SshServer) -> None:
    """HostKeyAlias: known_hosts has the key under that name only, and refuses under no other."""
    key = (server.folder / "host.pub").read_text()
    (server.folder / "known_hosts").write_text(f"the-alias {key}")
    write(server, f"IdentityFile {server.folder}/identity", "HostKeyAlias the-alias")
    reached(server)
    write(server, f"IdentityFile {server.folder}/identity", "HostKeyAlias another")
    with pytest.raises(Refused, match="is not in"):
        reached(server)
    write(server, f"IdentityFile {server.folder}/identity")
    with pytest.raises(Refused, match="is not in"):
        reached(server)


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[str]:
    """An empty ssh-agent, by the path of its socket."""
    path = str(tmp_path / "agent")
    process = subprocess.Popen(["ssh-agent", "-D", "-a", path], stdout=subprocess.DEVNULL)
    while not os.path.exists(path):  # noqa: PTH110 - a socket
        assert process.poll() is None
    yield path
    process.terminate()
    process.wait(10)


def test_an_encrypted_key_is_used_through_the_agent(
    server: SshServer, agent: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """bastion.identity_file names it, the agent holds it among others; without it, `ssh-add`."""
    key = tmp_path / "encrypted"
    ssh_server.make_key(key, "a passphrase")
    shutil.copy(f"{key}.pub", tmp_path / "authorized_keys")
    (tmp_path / "encrypted.pub").unlink()
    write(server)
    monkeypatch.setenv("SSH_AUTH_SOCK", agent)
    with pytest.raises(Unreachable, match="the private key is encrypted") as refused:
        reached(server, identity_file=str(key))
    assert "ssh-add" in refused.value.next
    for number in range(7):  # more than sshd's MaxAuthTries: only the named one may be offered
        ssh_server.make_key(tmp_path / f"other{number}")
        add(agent, tmp_path / f"other{number}")
    ask = tmp_path / "ask"
    ask.write_text("#!/bin/sh\necho a passphrase\n")
    ask.chmod(0o700)
    add(agent, key, SSH_ASKPASS=str(ask), SSH_ASKPASS_REQUIRE="force", DISPLAY="none")
    reached(server, identity_file=str(key))
    monkeypatch.delenv("SSH_AUTH_SOCK")
    write(server, f"IdentityAgent {agent}", f"IdentityFile {key}", "IdentitiesOnly yes")
    reached(server)
    write(server, "IdentityAgent none", f"IdentityFile {key}")
    with pytest.raises(Unreachable):
        reached(server)


def add(agent: str, key: Path, **more: str) -> None:
    environment = {**os.environ, "SSH_AUTH_SOCK": agent, **more}
    subprocess.run(["ssh-add", key], env=environment, check=True, capture_output=True)


def test_a_file_that_ssh_refuses_is_refused(server: SshServer) -> None:
    """The file and its line are named."""
    write(server, "NoSuchWord 1")
    with pytest.raises(ConfigError, match="line 5"):
        reached(server)
    with pytest.raises(ConfigError):
        reached(server, ssh_config=str(server.folder / "missing"))


@pytest.mark.parametrize(
    ("text", "hops"),
    [
        ("jump", [("jump", None, None)]),
        ("a@one:2200,two", [("one", "a", 2200), ("two", None, None)]),
        ("ssh://a@[fe80::1]:22/", [("fe80::1", "a", 22)]),
    ],
)
def test_the_hops_of_proxyjump(text: str, hops: list[tuple[str, str | None, int | None]]) -> None:
    assert client_config.jumps(text) == hops


@pytest.mark.parametrize("text", ["", "a,,b", "host:port"])
def test_a_gateway_that_is_no_host(text: str) -> None:
    with pytest.raises(OpsError, match=r"\[user@\]host"):
        client_config.jumps(text)


def test_a_user_without_an_account(require: Any) -> None:
    """In a container with a number for a user ssh does not run: paramiko reads the file."""
    require("ssh")
    if os.getuid():
        pytest.skip("only root can become another user")
    code = (
        "import os; from ops.ssh import client_config; os.setuid(54321); "
        "print(client_config.read('x', None, None, None))"
    )
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout == "None\n", done.stderr
