"""Commands on a bastion whose login shell is not a silent POSIX shell, by a real OpenSSH."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from ops.core.errors import Refused
from ops.migrations.remote import bastion
from ops.ssh import connection
from tests.real import ssh_server

pytestmark = pytest.mark.timeout(60)
TALKING = """unset BASH_ENV
echo 'Welcome! Unauthorised use is prohibited'
(for each in 1 2 3 4 5 6 7 8; do echo '"noise"'; sleep 0.1; done) &
"""


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "tcsh", "dash"])
def test_any_login_shell_runs_commands(require: Any, tmp_path: Path, shell: str) -> None:
    """Quotes, newlines, stdin, both outputs and the exit code are the same under every shell."""
    require("sshd")
    line = ssh_server.login_shell(require(shell))
    words = [
        sys.executable,
        "-c",
        "import sys\nprint(sys.argv[1:], sys.stdin.read())",
        "it's! $HOME\\",
    ]
    with (
        ssh_server.running(tmp_path, line) as server,
        connection.connect(server.settings()) as host,
    ):
        ran = host.run(words, b"given\n\x00bytes")
        assert ran.code == 0, ran.err
        assert ran.out == b"""["it's! $HOME\\\\"] given\n\x00bytes\n"""
        ran = host.run("umask 077; A=1 exec sh -c 'echo $A; echo bad >&2; exit 7'")
        assert (ran.code, ran.out) == (7, b"1\n") and ran.err.endswith(b"bad\n")
        assert host.run("cat", b"x" * 1_000_000).out == b"x" * 1_000_000
        found, folders = bastion.probe(host, sys.executable, str(tmp_path / "cache"), "here")
        assert found.version >= (3, 9) and folders[0].there == {"site": [], "code": []}


def test_what_the_login_shell_prints_is_not_taken_for_the_answer(
    require: Any, tmp_path: Path
) -> None:
    """A .bashrc that greets, and one whose background process goes on printing."""
    require("sshd")
    (tmp_path / "rc").write_text(TALKING)
    line = ssh_server.login_shell(require("bash"), {"BASH_ENV": str(tmp_path / "rc")})
    lines: list[bytes] = []
    with (
        ssh_server.running(tmp_path, line) as server,
        connection.connect(server.settings()) as host,
    ):
        assert host.run("echo mine").out.replace(b'"noise"\n', b"") == b"mine\n"
        host.stream("echo one; sleep 0.5; echo two", b"", lines.append)
        bastion.probe(host, sys.executable, str(tmp_path / "cache"), "here")
    assert [line for line in lines if line != b'"noise"'] == [b"one", b"two"]


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ('ForceCommand /usr/sbin/nologin -c "$SSH_ORIGINAL_COMMAND"', "not available"),
        ("ForceCommand echo This account is for tunnels only", "for tunnels only"),
        ("ForceCommand /bin/false", "exit code 1"),
        ('ForceCommand bash --restricted -c "$SSH_ORIGINAL_COMMAND"', "restricted"),
        ("ForceCommand internal-sftp", "runs no commands"),
    ],
)
def test_an_account_without_a_shell_is_refused(
    require: Any, tmp_path: Path, line: str, answer: str
) -> None:
    """The account's own answer is quoted, and the tunnel is named; exit 3."""
    require("sshd")
    with (
        ssh_server.running(tmp_path, line) as server,
        connection.connect(server.settings()) as host,
        pytest.raises(Refused) as refused,
    ):
        bastion.probe(host, sys.executable, str(tmp_path / "cache"), "here")
    assert answer in refused.value.why and "database.run: tunnel" in refused.value.next


def test_the_accounts_locale_does_not_count(require: Any, tmp_path: Path) -> None:
    """Messages are in English and Python prints UTF-8, whatever the profile sets."""
    require("sshd")
    (tmp_path / "rc").write_text(
        "unset BASH_ENV\nexport LANG=de_DE.UTF-8 LC_ALL=C PYTHONIOENCODING=latin-1\n"
    )
    line = ssh_server.login_shell(require("bash"), {"BASH_ENV": str(tmp_path / "rc")})
    with (
        ssh_server.running(tmp_path, line) as server,
        connection.connect(server.settings()) as host,
    ):
        assert host.run([sys.executable, "-c", "print('\\u2192')"]).out == "\u2192\n".encode()


def test_one_session_at_a_time_is_enough(require: Any, tmp_path: Path) -> None:
    """`MaxSessions 1`: a session that sshd has not yet counted as closed is waited for."""
    require("sshd")
    with (
        ssh_server.running(tmp_path, "MaxSessions 1") as server,
        connection.connect(server.settings()) as host,
    ):
        for number in range(15):
            assert host.run(f"echo {number}").out == b"%d\n" % number
        with pytest.raises(KeyboardInterrupt):
            host.stream("echo begun; sleep 2", b"", _interrupt)
        assert host.run("echo after").out == b"after\n"


def _interrupt(line: bytes) -> None:
    raise KeyboardInterrupt
