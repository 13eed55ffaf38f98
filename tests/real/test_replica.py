"""A real streaming replica: every command names it, and nothing is asked or written."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg
import pytest

from ops.core.errors import Refused
from ops.health.rules import database as health_rules
from ops.migrations import drift, status
from ops.migrations import plan as flow
from ops.migrator.model import MigrateError
from ops.postgres import facts
from ops.postgres.server import account as accounts
from ops.postgres.server import binaries, cluster
from ops.sandbox.database import Server
from tests.factories import free_port
from tests.migrations.project import Here, here, server
from tests.migrator.migrating import Project
from tests.real.conftest import Require
from tests.waiting import until

__all__ = ["here", "server"]  # fixtures

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def replica(require: Require, server: Server, here: Here) -> Iterator[Here]:
    """The test's database as a replica has it, streamed from the primary."""
    require("postgres")
    account = accounts.choose()
    with TemporaryDirectory(prefix="ops-replica-") as name:
        folder, port = Path(name), free_port()
        folder.chmod(0o711)
        found = binaries.find(account, None, folder)
        program = found.folder / "pg_basebackup"
        if not program.exists():
            pytest.skip("no pg_basebackup")
        data = folder / "data"
        data.mkdir(mode=0o700)
        account.own(data)
        admin = server.admin
        known = here.project.target.parameters
        hba = _hba_file(server, known)
        before = hba.read_text()
        hba.write_text(f"{before}host replication {admin.username} 127.0.0.1/32 scram-sha-256\n")
        _reload(server, known)
        words: list[str | Path] = [
            program,
            "-D",
            data,
            "-R",
            "-X",
            "stream",
            "--checkpoint=fast",
            "--no-sync",
        ]
        words += ["-h", admin.host, "-p", str(admin.port), "-U", admin.username]
        environment = {"PATH": "/usr/bin:/bin", "PGPASSWORD": admin.password}
        subprocess.run(
            words, env=environment, cwd=folder, check=True, timeout=60, **account.identity()
        )
        options = {"listen_addresses": "127.0.0.1", "unix_socket_directories": ""}
        options |= {"port": str(port), "fsync": "off", "max_prepared_transactions": "5"}
        process = cluster.launch(found.postgres, data, options, account, folder / "log")
        target = replace(here.project.target, parameters={**known, "port": port})
        there = Here(
            Project(here.project.folder, target),
            replace(here.target, database=replace(here.target.database, target=target)),
        )
        try:
            assert cluster.wait_until_ready(process, data, time.monotonic() + 30), (
                folder / "log"
            ).read_text()
            yield there
        finally:
            cluster.stop(process)
            hba.write_text(before)
            _reload(server, known)


def _as_admin(server: Server, known: Any) -> psycopg.Connection[Any]:
    words = {"user": server.admin.username, "password": server.admin.password}
    return psycopg.connect(autocommit=True, **{**known, **words})


def _hba_file(server: Server, known: Any) -> Path:
    with _as_admin(server, known) as opened:
        row = opened.execute("SHOW hba_file").fetchone()
    assert row is not None
    return Path(row[0])


def _reload(server: Server, known: Any) -> None:
    with _as_admin(server, known) as opened:
        opened.execute("SELECT pg_reload_conf()")


def test_a_replica_is_named_and_refused_before_the_question(here: Here, replica: Here) -> None:
    """The plan and the engine refuse; db.ping, db.current and health name it; the primary goes on,
    and the replica follows.
    """
    here.project.write("0001", "CREATE TABLE a (id int)")
    with pytest.raises(Refused, match=r"read-only\n.*it is a replica") as refused:
        flow.plan_migration(replica.target, "upgrade", None)
    assert "the writer's endpoint" in refused.value.next
    with pytest.raises(MigrateError, match="it is a replica") as error:
        replica.project.run()
    assert error.value.kind == "refused"
    answer = status.ping(replica.target)
    assert "read-only: it is a replica" in answer.text
    assert "it is a replica" in answer.document["read_only"]
    assert here.go()["to"] == "0001"
    until(lambda: replica.project.ask("SELECT to_regclass('a') IS NOT NULL") == [(True,)])
    until(lambda: replica.project.ask("SELECT to_regclass('alembic_version') IS NOT NULL")[0][0])
    current = drift.current(replica.target)
    assert current.drift.differences == () and current.exit_code == 0
    assert "it is a replica" in current.document["read_only"] and "read-only: " in current.text
    vitals = facts.read_vitals(replica.target.database.target.parameters)
    connected = health_rules.Connected(vitals.server, None, 1, 50, 0.1, vitals.read_only)
    check = health_rules.connected(connected)
    assert (check.status, check.value) == ("ok", "read-only") and "a replica" in check.detail
    assert drift.current(here.target).document["read_only"] is None
    assert status.ping(here.target).document["read_only"] is None
