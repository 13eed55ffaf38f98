"""The door to a bastion, against real sshd-like servers in process: host keys, gateways, losses,
forwarding, and what is said of each.
"""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ops.core.config.database import Bastion as Configured
from ops.core.errors import ConfigError, OpsError, Refused, TimedOut, Unreachable
from ops.sandbox.bastion import Bastion
from ops.ssh import connection, errors
from ops.ssh.host_keys import HostKeyRefused, KeyProblem, load
from tests.factories import free_port, stop_listening

pytestmark = pytest.mark.timeout(60)
DATABASE = ("db.example", 5432)
PIPE = """
import os, socket, sys, threading
other = socket.create_connection((sys.argv[1], int(sys.argv[2])))

def back():
    while data := other.recv(65536):
        os.write(1, data)

threading.Thread(target=back, daemon=True).start()
while data := os.read(0, 65536):
    other.sendall(data)
"""


@pytest.fixture(scope="module")
def echo() -> Iterator[int]:
    """Something behind the bastion that answers."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with client:
                client.sendall(b"echo " + client.recv(100))

    threading.Thread(target=serve, daemon=True).start()
    yield listener.getsockname()[1]
    stop_listening(listener)


@pytest.fixture(scope="module")
def bastion(tmp_path_factory: pytest.TempPathFactory, echo: int) -> Iterator[Bastion]:
    made = Bastion(tmp_path_factory.mktemp("bastion"), free_port(), DATABASE, ("127.0.0.1", echo))
    part = made.start()
    yield made
    part.stop()


def settings(bastion: Bastion, **other: Any) -> Any:
    keys = bastion.keys
    words = {
        "host": "127.0.0.1",
        "port": bastion.port,
        "user": "operator",
        "identity_file": str(keys.identity),
        "known_hosts": str(keys.known_hosts),
        "ssh_config": str(keys.ssh_config),
        "connect_timeout": 5,
    }
    return SimpleNamespace(
        name="here",
        root=Path("/"),
        environment=SimpleNamespace(
            bastion=Configured(**{**words, **other}), database_run="tunnel"
        ),
    )


def test_a_command_gets_its_input_and_gives_its_output(bastion: Bastion) -> None:
    """Words are words, stdin is bytes, both outputs and the exit code come back; megabytes too."""
    with connection.connect(settings(bastion)) as host:
        ran = host.run(
            ["python3", "-c", "import sys; print(sys.argv[1], sys.stdin.read())", "it's $HOME"],
            b"given",
        )
        assert (ran.code, ran.out, ran.err, ran.lost) == (0, b"it's $HOME given\n", b"", False)
        assert host.run("echo out; echo err >&2; exit 7") == connection.CommandResult(
            7, b"out\n", b"err\n"
        )
        assert len(host.run("cat", b"x" * 3_000_000).out) == 3_000_000
        with pytest.raises(TimedOut, match="install site on the bastion"):
            host.run("umask 077; sleep 20", timeout_s=0.5, what="install site on the bastion")


def test_lines_come_as_they_are_said(bastion: Bastion) -> None:
    """Not at the end: the first line is there while the command still runs."""
    came: list[tuple[bytes, float]] = []
    with connection.connect(settings(bastion)) as host:
        assert (
            host.stream(
                "echo one; sleep 1; echo two",
                b"",
                lambda line: came.append((line, time.monotonic())),
            )
            == 0
        )
    assert [line for line, _ in came] == [b"one", b"two"] and came[1][1] - came[0][1] > 0.5


def test_an_unknown_key_is_refused_with_its_fingerprint(bastion: Bastion, tmp_path: Path) -> None:
    """And what to type; nothing was sent."""
    with pytest.raises(Refused) as refused:
        connection.connect(settings(bastion, known_hosts=str(tmp_path / "none")))
    assert (
        "SHA256:" in refused.value.why
        and f"ssh-keyscan -p {bastion.port} 127.0.0.1" in refused.value.next
    )


def public(bastion: Bastion) -> str:
    return " ".join(bastion.keys.known_hosts.read_text().split()[1:])


def another() -> str:
    import asyncssh

    text: str = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode().strip()
    return text


@pytest.mark.parametrize("how", ["changed", "revoked", "other lines"])
def test_known_hosts_is_obeyed(bastion: Bastion, tmp_path: Path, how: str) -> None:
    """A changed key is refused, a revoked one too, and lines that only OpenSSH understands do no
    harm.
    """
    name, file = f"[127.0.0.1]:{bastion.port}", tmp_path / "known_hosts"
    lines = {
        "changed": f"{name} {another()}\n",
        "revoked": f"{name} {public(bastion)}\n@revoked * {public(bastion)}\n",
        "other lines": f"@cert-authority *.example {another()}\nrubbish\n# comment\n{name} "
        f"{public(bastion)}\n",
    }
    file.write_text(lines[how])
    if how == "other lines":
        connection.connect(settings(bastion, known_hosts=str(file))).close()
        return
    with pytest.raises(Refused) as refused:
        connection.connect(settings(bastion, known_hosts=str(file)))
    assert ("is not the one in" if how == "changed" else "is revoked in") in refused.value.why
    if how == "changed":  # the advice removes the line, which names the port too
        advice = refused.value.next.split("then: ")[1].split(", and")[0]
        subprocess.run(shlex.split(advice), check=True, capture_output=True)
        assert file.read_text() == ""


def test_the_advice_on_a_host_key_has_the_alias(tmp_path: Path) -> None:
    """HostKeyAlias is the name in known_hosts, but no name to connect to."""
    import paramiko

    key, files = paramiko.ECDSAKey.generate(), [tmp_path / "first"]

    def advice(problem: KeyProblem, file: Path | None = None) -> str:
        refused = HostKeyRefused("vault", "[10.0.0.9]:2222", key, problem, file)
        return errors.translate_error(refused, "ops@10.0.0.9:2222", files, 5).next

    assert f"ssh-keygen -R vault -f {tmp_path}/second," in advice("changed", tmp_path / "second")
    assert advice("unknown").endswith(
        f"ssh-keyscan -p 2222 10.0.0.9 | sed 's/^[^ ]*/vault/' >> {tmp_path}/first"
    )


def test_hashed_names_are_known(bastion: Bastion, tmp_path: Path) -> None:
    """As `HashKnownHosts yes` writes them."""
    from paramiko.hostkeys import HostKeys

    file = tmp_path / "known_hosts"
    file.write_text(f"{HostKeys.hash_host(f'[127.0.0.1]:{bastion.port}')} {public(bastion)}\n")
    connection.connect(settings(bastion, known_hosts=str(file))).close()
    keys, revoked = load([file])
    assert keys.lookup(f"[127.0.0.1]:{bastion.port}") and not revoked


@pytest.mark.parametrize(
    ("other", "why"),
    [
        ({"host": "no-such-host.invalid"}, "does not resolve"),
        ({"port": 1}, "refused"),
        ({"user": "nobody", "identity_file": "/nonexistent/key"}, "No such file"),
        ({"gateway": "false %h %p"}, ""),
    ],
)
def test_what_stands_in_the_way_is_said(bastion: Bastion, other: dict[str, Any], why: str) -> None:
    """Three lines, with what to type; never a traceback."""
    with pytest.raises(Unreachable) as problem:
        connection.connect(settings(bastion, **other))
    assert why in problem.value.why and problem.value.next


def test_a_key_that_is_not_let_in(bastion: Bastion, tmp_path: Path) -> None:
    """The server's no is told from a network's."""
    import asyncssh

    file = tmp_path / "key"
    file.write_bytes(asyncssh.generate_private_key("ssh-ed25519").export_private_key())
    with pytest.raises(Unreachable, match="does not let us in"):
        connection.connect(settings(bastion, identity_file=str(file)))


def test_a_gateway_may_be_a_command(bastion: Bastion, tmp_path: Path) -> None:
    """As with `aws ssm start-session`: its stdin and stdout are the connection, %h and %p are
    filled in.
    """
    script = tmp_path / "pipe.py"
    script.write_text(PIPE)
    with connection.connect(settings(bastion, gateway=f"{sys.executable} {script} %h %p")) as host:
        assert host.run("echo through").out == b"through\n"


def test_a_gateway_from_ssh_config_has_its_key_checked_too(
    bastion: Bastion, tmp_path: Path
) -> None:
    """ProxyJump: the hop is named whose key is unknown, and it is the gateway's."""
    config, known = tmp_path / "config", tmp_path / "known_hosts"
    config.write_text(
        f"Host target\n  HostName 127.0.0.1\n  Port {bastion.port}\n  ProxyJump "
        f"operator@localhost:{bastion.port}\n"
    )
    known.write_text(f"[127.0.0.1]:{bastion.port} {public(bastion)}\n")
    with pytest.raises(Refused) as refused:
        connection.connect(
            settings(
                bastion, host="target", port=None, ssh_config=str(config), known_hosts=str(known)
            )
        )
    assert f"operator@localhost:{bastion.port}" in refused.value.what


def test_a_port_leads_to_the_database_and_nowhere_else(bastion: Bastion) -> None:
    """The forwarder answers at once; what the bastion forbids is said before anybody waits."""
    with connection.connect(settings(bastion)) as host:
        with (
            host.forward(*DATABASE) as port,
            socket.create_connection(("127.0.0.1", port), 5) as client,
        ):
            client.sendall(b"hello")
            assert client.recv(100) == b"echo hello"
        with pytest.raises(Refused, match="forwarding is forbidden there"):
            host.forwarded("elsewhere.example", 80)


def test_a_lost_connection_is_noticed_at_once(tmp_path: Path, echo: int) -> None:
    """The bastion dies while a command runs: `Lost` within seconds, not a hang."""
    short = Bastion(tmp_path / "short", free_port(), DATABASE, ("127.0.0.1", echo))
    part = short.start()
    host = connection.connect(settings(short))
    threading.Timer(1.0, part.stop).start()
    began = time.monotonic()
    with pytest.raises(connection.ConnectionLost):
        host.stream("echo begun; sleep 30", b"", lambda line: None)
    assert time.monotonic() - began < 12
    host.close()


def test_without_a_bastion_it_says_which_key_is_missing(bastion: Bastion) -> None:
    """Exit 2."""
    nothing: Any = SimpleNamespace(
        name="dev", root=Path("/"), environment=SimpleNamespace(bastion=None)
    )
    with pytest.raises(ConfigError, match="environment dev has no bastion"):
        connection.connect(nothing)


def test_what_goes_by_stdin_is_in_no_argument(bastion: Bastion) -> None:
    """While the command runs, no process of this machine has it in its arguments or its
    environment.
    """
    secret = f"only-by-stdin-{os.getpid()}-{time.monotonic_ns()}"
    seen: list[Path] = []

    def look(line: bytes) -> None:
        for path in [*Path("/proc").glob("[0-9]*/cmdline"), *Path("/proc").glob("[0-9]*/environ")]:
            try:
                seen.extend([path] if secret.encode() in path.read_bytes() else [])
            except OSError:
                continue

    with connection.connect(settings(bastion)) as host:
        assert (
            host.stream(
                'read given; echo ready; sleep 0.5; test -n "$given"', secret.encode() + b"\n", look
            )
            == 0
        )
    assert seen == []


def test_errors_are_ours(bastion: Bastion) -> None:
    """Whatever paramiko raises while connecting leaves as an OpsError."""
    with pytest.raises(OpsError):
        connection.connect(settings(bastion, host="127.0.0.1", port=free_port()))
