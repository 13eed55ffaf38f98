"""A real pgbouncer in front of PostgreSQL: what shares server processes is refused."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from ops.core.errors import Refused
from ops.migrations import plan as flow
from ops.migrator.model import MigrateError
from ops.postgres import access
from ops.sandbox.database import Server
from tests.factories import free_port
from tests.migrations.project import Here, here, server
from tests.migrator.migrating import Project
from tests.real.conftest import Require
from tests.waiting import until

__all__ = ["here", "server"]  # fixtures

CONFIG = """[databases]
* = host=127.0.0.1 port={server}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = plain
auth_file = {folder}/users.txt
pool_mode = {mode}
ignore_startup_parameters = extra_float_digits
default_pool_size = 5
logfile = {folder}/log
"""


@pytest.fixture(params=["transaction", "statement", "session"])
def pooled(
    request: pytest.FixtureRequest, require: Require, server: Server, here: Here, tmp_path: Path
) -> Iterator[tuple[str, Here]]:
    """The test's database through a pooler of this mode."""
    program, port, known = require("pgbouncer"), free_port(), here.project.target.parameters
    folder = tmp_path / "pooler"
    folder.mkdir()
    tmp_path.chmod(0o755)
    (folder / "users.txt").write_text(f'"{known["user"]}" "{known["password"]}"\n')
    (folder / "ini").write_text(
        CONFIG.format(server=known["port"], port=port, folder=folder, mode=request.param)
    )
    account = None if os.geteuid() else _account(folder)
    process = subprocess.Popen([program, "-q", str(folder / "ini")], user=account)
    target = replace(here.project.target, parameters={**known, "port": port})
    through = Here(
        Project(here.project.folder, target),
        replace(here.target, database=replace(here.target.database, target=target)),
    )
    try:
        until(lambda: _answers(through))
        yield request.param, through
    finally:
        process.terminate()
        process.wait(10)


def _account(folder: Path) -> int:
    """Give the folder to another account, since pgbouncer does not run as root."""
    found = pwd.getpwnam("nobody")
    shutil.chown(folder, found.pw_uid)
    for path in (folder, *folder.parents):
        if path.owner() == "root" and path != Path("/"):
            path.chmod(path.stat().st_mode | 0o011)
    for path in folder.iterdir():
        shutil.chown(path, found.pw_uid)
    return found.pw_uid


def _answers(here: Here) -> bool:
    try:
        return bool(here.project.ask("SELECT 1"))
    except psycopg.OperationalError:
        return False


def test_shared_server_processes_are_refused_and_left_as_they_were(
    pooled: tuple[str, Here],
) -> None:
    """Before the question and by the engine; a pool of sessions is as good as none."""
    mode, here = pooled
    here.project.write("0001", "CREATE TABLE a (id int)")
    if mode == "session":
        assert here.go()["to"] == "0001"
    else:
        with pytest.raises(Refused, match="pooler in transaction mode") as refused:
            flow.plan_migration(here.target, "upgrade", None)
        assert "connect past the pooler" in refused.value.next
        with pytest.raises(MigrateError, match="pooler"):
            here.project.run()
    access.current(here.target.database)
    settings = "SELECT current_setting('lock_timeout'), current_setting('statement_timeout')"
    assert here.project.ask(settings) == [("0", "0")]
    assert here.project.ask("SELECT 1 FROM pg_locks WHERE locktype = 'advisory'") == []
