"""One SSH connection to the bastion for a whole task, however many of its parts need it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ops.ssh import connection
from ops.ssh.sharing import shared_connections
from tests.checkout import Checkout
from tests.real import ssh_server
from tests.real.conftest import Require
from tests.relay import before_bastion

pytestmark = pytest.mark.timeout(400)
REVISION = '''"""One table more."""

from alembic import op

revision = "9001"
down_revision = "0003"
phase = "expand"


def upgrade() -> None:
    op.execute("CREATE TABLE one (id bigint)")


def downgrade() -> None:
    op.execute("DROP TABLE one")
'''


def accepted(server: ssh_server.SshServer) -> int:
    return (server.folder / "sshd.log").read_text().count("Accepted publickey")


def test_sshd_accepts_one_connection_a_task(require: Require, tmp_path: Path) -> None:
    """Two users of it at a time, also with MaxSessions 1; a lost one is opened again; a task later
    has a connection of its own.
    """
    require("sshd")
    with ssh_server.running(tmp_path, "MaxSessions 1") as server:
        settings = server.settings()
        with shared_connections():
            first, second = connection.connect(settings), connection.connect(settings)
            with ThreadPoolExecutor(2) as threads:
                ran = list(
                    threads.map(lambda host: host.run("sleep 0.3; echo a").out, [first, second])
                )
            assert ran == [b"a\n", b"a\n"]
            first.close()
            assert second.run("echo b").out == b"b\n" and accepted(server) == 1
            second.transport.close()
            assert not second.is_alive()
            with connection.connect(settings) as third:
                assert third.run("echo c").out == b"c\n" and accepted(server) == 2
        assert not third.is_alive()
        with connection.connect(settings) as own:
            assert own.run("echo d").out == b"d\n" and accepted(server) == 3
        assert not own.is_alive()


def test_a_whole_task_opens_one_connection(new_checkout: Callable[[str], Checkout]) -> None:
    """Sweeps, preflight and migrations, with the sandbox's own SSH server behind a counter.

    In a sandbox of its own: the release that is made here is newer than the schema at the end.
    """
    checkout = new_checkout("one connection")
    try:
        up = checkout.inv("sandbox.up", "--rollout", "ecs", "db.upgrade", "--yes")
        assert up.returncode == 0, up.stdout + up.stderr
        (checkout.root / "alembic/versions/9001_one.py").write_text(REVISION)
        with before_bastion(checkout) as way:
            for words in (
                ("health.all",),
                ("db.upgrade", "--yes"),
                ("backend.deploy", "--yes"),
                ("db.downgrade", "--yes"),
            ):
                before = way.accepted
                done = checkout.inv(*words)
                assert done.returncode == 0, (words, done.stdout + done.stderr)
                assert way.accepted - before == 1, words
    finally:
        checkout.inv("sandbox.down", "--purge")
