"""An OpenSSH server on loopback for one test, with lines of its own in sshd_config.

The account is the user who runs the tests. Another login shell is a ForceCommand that runs it as
sshd does: `SHELL -c COMMAND`.
"""

from __future__ import annotations

import getpass
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ops.core.config.database import Bastion
from tests.factories import free_port
from tests.waiting import until

_CONFIG = """
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host
AuthorizedKeysFile {folder}/authorized_keys
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin yes
"""


@dataclass(frozen=True)
class SshServer:
    """A running sshd; `folder` has its keys, the client's `identity`, and `known_hosts`."""

    folder: Path
    port: int

    def settings(self, **other: Any) -> Any:
        """Settings of an environment whose bastion this is."""
        words: dict[str, Any] = {
            "host": "127.0.0.1",
            "port": self.port,
            "user": getpass.getuser(),
            "identity_file": str(self.folder / "identity"),
            "known_hosts": str(self.folder / "known_hosts"),
            "ssh_config": str(self.folder / "ssh_config"),
            "connect_timeout": 5,
        }
        bastion = Bastion(**{**words, **other})
        environment = SimpleNamespace(bastion=bastion, database_run="remote")
        return SimpleNamespace(name="here", root=Path("/"), environment=environment)


@contextmanager
def running(folder: Path, *lines: str) -> Iterator[SshServer]:
    """An sshd with these lines in its configuration."""
    for name in ("host", "identity"):
        if not (folder / name).exists():
            make_key(folder / name)
    port = free_port()
    shutil.copy(folder / "identity.pub", folder / "authorized_keys")
    (folder / "known_hosts").write_text(
        f"[127.0.0.1]:{port} {(folder / 'host.pub').read_text()}", encoding="utf-8"
    )
    (folder / "ssh_config").touch()
    config = "\n".join([_CONFIG.format(port=port, folder=folder), *lines, ""])
    (folder / "sshd_config").write_text(config, encoding="utf-8")
    Path("/run/sshd").mkdir(exist_ok=True)
    sshd = shutil.which("sshd") or "sshd"
    with (folder / "sshd.log").open("ab") as log:
        process = subprocess.Popen(
            [sshd, "-D", "-e", "-f", folder / "sshd_config"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        until(lambda: _answers(port))
        yield SshServer(folder, port)
    finally:
        process.terminate()
        process.wait(10)


def make_key(file: Path, passphrase: str = "") -> None:
    """A new key pair, as ssh-keygen writes it."""
    words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-f", str(file)]
    subprocess.run(words, check=True, capture_output=True)


def login_shell(program: str, environment: Mapping[str, str] | None = None) -> str:
    """The line of sshd_config that runs commands as this login shell would get them."""
    variables = "".join(f"{name}={value} " for name, value in (environment or {}).items())
    return f'ForceCommand {variables}{program} -c "$SSH_ORIGINAL_COMMAND"'


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True
