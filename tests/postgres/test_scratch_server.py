"""A scratch PostgreSQL: private, gone afterwards, and cleared up after a run that was killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psycopg
import pytest

from ops.postgres import access
from ops.postgres.server import likeness, scratch
from tests.migrator.migrating import ROOT

HOLDS = """
from pathlib import Path
from ops.postgres.server import likeness, scratch
with scratch.cluster(Path(".")) as own:
    print(own.door.target.parameters["host"], flush=True)
    input()
"""


def test_nobody_else_gets_in_and_nothing_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """No port, a password of its own, no variable of ours; afterwards neither folder nor
    process.
    """
    monkeypatch.setenv("PGPASSWORD", "mine")
    with scratch.cluster(ROOT / "alembic") as own:
        known = dict(own.door.target.parameters)
        home = Path(known["host"]).parent
        assert access.ping(own.door).user == "postgres"
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(**{**known, "password": "mine"})
        with psycopg.connect(**known) as opened:
            assert opened.execute("SHOW listen_addresses").fetchone() == ("",)
            pid = int((home / "data" / "postmaster.pid").read_text().splitlines()[0])
    assert not home.exists() and gone(pid)


def test_what_a_killed_run_left_is_ended_by_the_next_one() -> None:
    """kill -9 of the one who made it: the next run ends its server and removes its folder; one that
    is in use stays.
    """
    command = [sys.executable, "-c", HOLDS]
    killed, living = (
        subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    )
    try:
        homes = [
            Path(str(each.stdout and each.stdout.readline().strip())).parent
            for each in (killed, living)
        ]
        left = int((homes[0] / "data" / "postmaster.pid").read_text().splitlines()[0])
        killed.kill()
        killed.wait()
        scratch.remove_leftovers()
        assert not homes[0].exists() and homes[1].exists() and gone(left)
    finally:
        killed.kill()
        living.send_signal(signal.SIGINT)
        living.communicate("\n", timeout=30)
    assert not homes[1].exists() and homes[1].parent == Path(tempfile.gettempdir())


@pytest.mark.parametrize("pipe", ["held", "data/postmaster.pid"])
def test_what_another_user_put_there_is_left_alone(pipe: str) -> None:
    """A folder of that name with a FIFO in it, or a link: `db.verify` neither waits for it nor
    touches it; nor where it is our own.
    """
    with (
        tempfile.TemporaryDirectory(prefix=scratch.PREFIX) as name,
        tempfile.TemporaryDirectory() as elsewhere,
    ):
        folder, link = Path(name), Path(f"{name}-link")
        (folder / "data").mkdir()
        os.mkfifo(folder / pipe)
        (folder / "held").touch()
        (Path(elsewhere) / "held").touch()
        link.symlink_to(elsewhere)
        try:
            if os.geteuid() == 0:
                os.chown(folder, 65534, 65534)
                scratch.remove_leftovers()
                assert (folder / "held").exists()
                os.chown(folder, 0, 0)
            scratch.remove_leftovers()
            assert (Path(elsewhere) / "held").exists()
        finally:
            link.unlink()
            folder.mkdir(exist_ok=True)


def test_roles_are_read_by_postgresqls_own_parser() -> None:
    """Roles in grants, owners, policies and default privileges; not those that the revisions make,
    nor of SQL that can't be read.
    """
    found = likeness.names_in(
        (
            "GRANT SELECT ON t TO a, PUBLIC; ALTER TABLE t OWNER TO b; CREATE POLICY p ON t TO c",
            "ALTER DEFAULT PRIVILEGES FOR ROLE d GRANT SELECT ON TABLES TO e; CREATE ROLE "
            "f; GRANT g TO f",
            "no SQL at all",
        )
    )
    assert found.roles - found.made == {"a", "b", "c", "d", "e", "g"}


def gone(pid: int) -> bool:
    """Whether the process ends within a moment (a zombie that nobody waits for has ended)."""
    for _ in range(100):
        status = Path(f"/proc/{pid}/stat")
        if not status.exists() or status.read_text().rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.05)
    return False
