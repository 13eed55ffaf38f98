"""What a revision changes of its session ends with it, on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ops.core.config.database import Database
from ops.migrations.rules import statements
from ops.migrator.model import MigrateError, TargetDatabase
from ops.postgres import access, dump, facts
from ops.sandbox.database import Server
from tests.migrator.migrating import OUTSIDE, QUICK, Project

DUMP = """--
-- PostgreSQL database dump
--
SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET client_min_messages = warning;
SET row_security = off;

CREATE TABLE public.a (id integer NOT NULL);
"""


@pytest.fixture
def owner(server: Server, project: Project) -> Iterator[str]:
    """A role that owns a schema; the project's user is a member of it, but no superuser."""
    name = f"owner_{project.target.parameters['dbname']}"
    admin = server.admin
    words = {"user": admin.username, "password": admin.password}
    admins = Project(
        project.folder, replace(project.target, parameters={**project.target.parameters, **words})
    )
    admins.ask(f"CREATE ROLE {name}; GRANT {name} TO {project.target.parameters['user']}")
    admins.ask(f"CREATE SCHEMA owned AUTHORIZATION {name}")
    yield name
    admins.ask(f"DROP OWNED BY {name} CASCADE; DROP ROLE {name}")


def test_a_dump_works_as_the_first_revision(project: Project) -> None:
    """It empties the search path: the version row and the next revision still find theirs."""
    file = project.write(
        "0001",
        "    from pathlib import Path\n"
        "    driver = op.get_context().connection.connection.driver_connection\n"
        "    driver.execute(Path(__file__).with_suffix('.sql').read_bytes())",
        "DROP TABLE public.a",
    )
    file.with_suffix(".sql").write_text(DUMP)
    project.write("0002", "CREATE TABLE b (id int)", "DROP TABLE b")
    assert project.run().after == "0002"
    assert project.ask("SELECT to_regclass('public.a'), to_regclass('public.b')") == [("a", "b")]
    assert project.run("downgrade", "base").after is None


PATHS = {
    "in one run": [None],
    "in two runs": ["0001", None],
}


@pytest.mark.parametrize("goals", PATHS.values(), ids=PATHS)
def test_one_run_and_two_make_the_same_schema(project: Project, goals: list[str | None]) -> None:
    """A search_path ends with its revision, however the revisions are batched."""
    project.write(
        "0001", "CREATE SCHEMA appx; SET search_path = appx, public; CREATE TABLE x1 (id bigint)"
    )
    project.write("0002", "CREATE TABLE x2 (id bigint)")
    for goal in goals:
        project.run(to=goal)
    assert project.ask("SELECT to_regclass('appx.x1')::text, to_regclass('public.x2')::text") == [
        ("appx.x1", "x2")
    ]


SETTINGS = [
    ("client_encoding", "LATIN1"),
    ("check_function_bodies", "off"),
    ("row_security", "off"),
    ("timezone", "Asia/Tokyo"),
    ("standard_conforming_strings", "off"),
    ("default_transaction_read_only", "on"),
    ("quote_all_identifiers", "on"),
    ("app.tenant", "7"),
]


@pytest.mark.parametrize(("name", "value"), SETTINGS, ids=[name for name, _ in SETTINGS])
def test_a_setting_ends_with_its_revision(project: Project, name: str, value: str) -> None:
    """The next revision of the same run has the session's own value, and the run's limits."""
    project.write("0001", f"SET {name} = '{value}'; SET lock_timeout = 0")
    project.write(
        "0002",
        f"CREATE TABLE a AS SELECT current_setting('{name}', true) AS found, "
        "current_setting('lock_timeout') AS waits, "
        "current_setting('client_connection_check_interval') AS checks",
    )
    project.run()
    ((found, waits, checks),) = project.ask("SELECT found, waits, checks FROM a")
    assert found != value and (waits, checks) == ("300ms", "2s")


LEFTOVERS = {
    "a temporary table": ("CREATE TEMP TABLE b (id int)", "CREATE TABLE b (id int)"),
    "a prepared statement": ("PREPARE p AS SELECT 1", "PREPARE p AS SELECT 2"),
    "a cursor": (
        "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
        "DECLARE c CURSOR WITH HOLD FOR SELECT 2",
    ),
}


@pytest.mark.parametrize("case", LEFTOVERS)
def test_what_outlives_a_transaction_ends_with_its_revision(project: Project, case: str) -> None:
    """As if each revision had a session of its own."""
    first, second = LEFTOVERS[case]
    project.write("0001", first)
    project.write("0002", second)
    project.write("0003", "CREATE TABLE a AS SELECT current_setting('lock_timeout') AS waits")
    assert project.run().after == "0003"
    assert project.ask("SELECT waits FROM public.a") == [("300ms",)]
    if case == "a temporary table":
        assert project.ask("SELECT to_regclass('public.b') IS NOT NULL") == [(True,)]


@pytest.mark.parametrize("local", ["LOCAL ", ""])
def test_a_revision_may_change_its_role(project: Project, owner: str, local: str) -> None:
    """Its objects are the role's; the version row and the audit are written by the user itself."""
    project.write(
        "0001",
        f"SET {local}ROLE {owner}; CREATE TABLE owned.t (id bigint)",
        f"SET {local}ROLE {owner}; DROP TABLE owned.t",
    )
    project.write("0002", "CREATE TABLE a (id int)", "DROP TABLE a")
    assert project.run().after == "0002"
    assert project.ask(
        "SELECT relname, pg_get_userbyid(relowner) FROM pg_class WHERE relname IN ('t', 'a')"
        " ORDER BY 1"
    ) == [("a", project.target.parameters["user"]), ("t", owner)]
    assert project.run("downgrade", "base").after is None


def test_a_role_that_lasts_beyond_an_autocommit_block_ends_with_its_revision(
    project: Project, owner: str
) -> None:
    project.write("0001", OUTSIDE.format(f"SET ROLE {owner}"))
    assert project.run().after == "0001"


def test_a_configured_role_is_that_of_every_session(project: Project, owner: str) -> None:
    """Objects, version table and audit are the role's, and pg_dump runs as it."""
    known = project.target.parameters
    project.ask(f"GRANT CREATE ON DATABASE {known['dbname']} TO {owner}")
    words = {"host": known["host"], "name": known["dbname"], "sslmode": "disable", "role": owner}
    secret = {"username": known["user"], "password": known["password"]}
    parameters = facts.connection_parameters(
        Database(**words, port=known["port"], migrations="none"), secret
    )
    parameters["options"] += " -c search_path=owned"
    as_owner = Project(project.folder, TargetDatabase(str(project.folder), parameters))
    as_owner.write("0001", "CREATE TABLE a (id int); RESET ROLE; CREATE TABLE b (id int)")
    assert as_owner.run().after == "0001"
    owners = "SELECT DISTINCT pg_get_userbyid(relowner) FROM pg_class WHERE relname IN"
    assert as_owner.ask(f"{owners} ('a', 'b', 'alembic_version', 'checksums')") == [(owner,)]
    door = access.DatabaseAccess(as_owner.target, QUICK)
    assert "CREATE TABLE owned.b" in dump.dump_schema(door, dump.find_pg_dump(15))


def test_a_role_that_may_not_be_set_is_named(project: Project, tmp_path: Path) -> None:
    parameters = {**project.target.parameters, "options": "-c role=postgres"}
    with pytest.raises(MigrateError, match="permission denied to set role") as error:
        Project(tmp_path, TargetDatabase(str(project.folder), parameters)).run()
    assert "database.role" in error.value.next


def test_a_failure_after_a_change_of_role_is_still_recorded(project: Project, owner: str) -> None:
    project.write("0001", f"SET ROLE {owner}; SELECT 1/0")
    with pytest.raises(MigrateError, match="22012"):
        project.run()
    assert project.ask("SELECT result FROM ops_migrations.steps") == [("failed",)]


def test_the_printed_sql_gives_the_session_back_too(project: Project) -> None:
    """What db.sql prints can be run by psql as it is; a revision without SET prints no RESET."""
    project.write("0001", "CREATE TABLE a (id int)")
    project.write("0002", "SELECT set_config('search_path', '', false)")
    scripts = access.DatabaseAccess(project.target, QUICK).scripts
    (first, second) = (text for _, text, _ in scripts.sql("upgrade", "0002", None))
    assert "RESET" not in first
    assert second.index("RESET ALL /* Alembic */;") < second.index("UPDATE alembic_version")
    (only,) = statements.parse(second)
    assert only.kind == "SelectStmt"
