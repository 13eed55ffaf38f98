"""Bastions that forbid forwarding, or whose folders can't hold programs, by a real OpenSSH."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ops.core.errors import Refused
from ops.migrations.remote import bastion
from ops.migrations.remote.bundle import Bundle, _pack
from ops.migrations.remote.cache_folders import CacheFolder
from ops.ssh import connection
from ops.ssh.errors import BeyondBastion
from tests.factories import free_port, stop_listening
from tests.real import ssh_server

pytestmark = pytest.mark.timeout(90)
FORBIDDEN = "AllowTcpForwarding no"


def received(client: socket.socket) -> bytes:
    return b"".join(iter(lambda: client.recv(65536), b""))


@pytest.fixture
def doubler() -> Iterator[int]:
    """A server that answers everything twice, at the end of what it was sent."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with client:
                client.sendall(received(client) * 2)

    threading.Thread(target=serve, daemon=True).start()
    yield listener.getsockname()[1]
    stop_listening(listener)


@pytest.mark.parametrize("more", [(), ("MaxSessions 1",)])
def test_the_database_is_reached_without_forwarding(
    require: Any, tmp_path: Path, doubler: int, more: tuple[str, ...]
) -> None:
    """`run: remote` on a host with AllowTcpForwarding no: all bytes pass, also half-closed."""
    require("sshd")
    with (
        ssh_server.running(tmp_path, FORBIDDEN, *more) as server,
        connection.connect(server.settings(python=sys.executable)) as host,
        host.forward("127.0.0.1", doubler) as port,
    ):
        for data in (b"\x00\xff short\n", bytes(range(256)) * 8000):
            with socket.create_connection(("127.0.0.1", port), 10) as client:
                client.sendall(data)
                client.shutdown(socket.SHUT_WR)
                assert received(client) == data * 2


def test_without_forwarding_the_reason_is_named(require: Any, tmp_path: Path, doubler: int) -> None:
    """A closed port behind it, a host without Python, and a mode that needs the forwarding."""
    require("sshd")
    with ssh_server.running(tmp_path, FORBIDDEN) as server:
        settings = server.settings(python=sys.executable)
        with connection.connect(settings) as host, pytest.raises(BeyondBastion, match="refused"):
            host.forwarded("127.0.0.1", free_port())
        missing = server.settings(python="/nonexistent/python3")
        with connection.connect(missing) as host, pytest.raises(Refused, match="not found") as no:
            host.forwarded("127.0.0.1", doubler)
        assert "install Python" in no.value.next and "database.run" not in no.value.next
        with (
            connection.connect(settings, relay=False) as host,
            pytest.raises(Refused, match="forwarding is forbidden there"),
        ):
            host.forwarded("127.0.0.1", doubler)


@pytest.mark.parametrize("command", ["echo 'for tunnels only'; true", "false"])
def test_neither_forwarding_nor_commands(
    require: Any, tmp_path: Path, doubler: int, command: str
) -> None:
    """The account is named as the reason, not Python, and the mode in use is not advised."""
    require("sshd")
    with (
        ssh_server.running(tmp_path, FORBIDDEN, f"ForceCommand {command}") as server,
        connection.connect(server.settings()) as host,
        pytest.raises(Refused, match="the account runs no commands") as refused,
    ):
        host.forwarded("127.0.0.1", doubler)
    assert ("for tunnels only" in refused.value.why) == command.startswith("echo")
    assert refused.value.next == "allow it, or set bastion.user to an account with a shell"


@pytest.fixture
def mounted(require: Any, tmp_path: Path) -> Iterator[Path]:
    """A small file system that runs no programs."""
    require("netns")  # as root, with the kernel's permission
    folder = tmp_path / "mounted"
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "noexec,size=1m,mode=700", "none", str(folder)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no mount here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def bundle(tmp_path: Path, size: int) -> Bundle:
    (tmp_path / "file").write_bytes(bytes(range(256)) * (size // 256))
    return Bundle(f"made-{size}", _pack([("file", tmp_path / "file")]))


def test_another_folder_is_used(require: Any, tmp_path: Path, mounted: Path) -> None:
    """A cache on a noexec file system: it is named, and the next folder holds the bundles."""
    require("sshd")
    said: list[str] = []
    with (
        ssh_server.running(tmp_path) as server,
        connection.connect(server.settings()) as host,
    ):
        _, folders = bastion.probe(host, sys.executable, str(mounted / "cache"), "here")
        _, others = bastion.probe(host, sys.executable, str(tmp_path / "other"), "here")
        folders = [folders[0], others[0]]
        made = bundle(tmp_path, 2560)
        used = bastion.install_missing(
            host, sys.executable, "here", folders, made, made, said.append
        )
        assert used.paths.cache == str(tmp_path / "other")
        assert any("mounted/cache" in line and "noexec" in line for line in said)
        _, folders = bastion.probe(host, sys.executable, str(tmp_path / "other"), "here")
        found = bastion.installed_environment(sys.executable, "here", folders[:1], "unknown")
        assert found and found.paths == used.paths and found.code == made.name


def test_no_folder_can_hold_them(require: Any, tmp_path: Path, mounted: Path) -> None:
    """A full disk, found before and while it is written: all folders and the tunnel are named."""
    require("sshd")
    subprocess.run(["mount", "-o", "remount,exec", str(mounted)], check=True)
    with (
        ssh_server.running(tmp_path) as server,
        connection.connect(server.settings()) as host,
    ):
        _, folders = bastion.probe(host, sys.executable, str(mounted), "here")
        full = folders[0]
        assert "free" in full.problem_for("site") and full.free is not None
        roomy = CacheFolder(full.path, full.there)  # a quota that statvfs does not show
        made = bundle(tmp_path, 2_560_000)
        with pytest.raises(Refused, match="No space left") as refused:
            bastion.install_missing(host, sys.executable, "here", [roomy], made, made, print)
    assert "database.run: tunnel" in refused.value.next
    assert not list((mounted / "site").iterdir())


def test_a_folder_of_another_user_is_not_trusted(require: Any, tmp_path: Path) -> None:
    """A folder in /tmp to which others can write: they could place code there."""
    require("sshd")
    folder = tmp_path / "planted"
    folder.mkdir()
    folder.chmod(0o777)
    made = bundle(tmp_path, 2560)
    with (
        ssh_server.running(tmp_path) as server,
        connection.connect(server.settings()) as host,
    ):
        _, folders = bastion.probe(host, sys.executable, str(folder), "here")
        assert "others can write" in folders[0].problem
        later = CacheFolder(str(folder), folders[0].there)  # planted after the probe
        with pytest.raises(Refused, match="others can write"):
            bastion.install_missing(host, sys.executable, "here", [later], made, made, print)
    shutil.rmtree(folder)
