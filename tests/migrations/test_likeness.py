"""A scratch server that is like the environment's: no false drift, no false failure."""

from __future__ import annotations

import pytest

from ops.core.config.settings import Settings
from ops.core.errors import Refused
from ops.migrations import drift, verify
from ops.migrations.authoring import new_revision
from ops.postgres import access
from ops.postgres.server import likeness, scratch
from tests.migrations.project import PLACE, Here, here, server

__all__ = ["here", "server"]  # fixtures

NAMES = [
    ("ALTER ROLE rw SET statement_timeout = '15s'", {"rw"}, set()),
    ("ALTER ROLE rw IN DATABASE app3 SET search_path = x", {"rw"}, {"app3"}),
    ("ALTER DATABASE app3 SET timezone = 'UTC'", set(), {"app3"}),
    ("GRANT CONNECT ON DATABASE app3 TO rw", {"rw"}, {"app3"}),
    ("COMMENT ON DATABASE app3 IS 'x'", set(), {"app3"}),
    ("SET ROLE owner", {"owner"}, set()),
    ("GRANT reporting TO rw", {"reporting", "rw"}, set()),
    ("ALTER TABLE a OWNER TO rw", {"rw"}, set()),
    ("CREATE SCHEMA s AUTHORIZATION rw", {"rw"}, set()),
    ("ALTER DEFAULT PRIVILEGES FOR ROLE rw GRANT SELECT ON TABLES TO PUBLIC", {"rw"}, set()),
    ("CREATE POLICY p ON a TO rw USING (true)", {"rw"}, set()),
]


@pytest.mark.parametrize(("sql", "roles", "databases"), NAMES, ids=[sql for sql, _, _ in NAMES])
def test_the_names_in_revisions(sql: str, roles: set[str], databases: set[str]) -> None:
    found = likeness.names_in([sql, "no SQL at all"])
    assert (found.roles, found.databases) == (roles, databases)


def settings(here: Here) -> Settings:
    return here.target.settings.model_copy(update={"root": here.project.folder.parent})


def test_names_that_live_in_the_cluster_are_verified(here: Here) -> None:
    """The database and the role exist on the scratch server, by their names."""
    here.project.write("0001", "ALTER DATABASE app3 SET timezone = 'UTC'")
    here.project.write("0002", "ALTER ROLE app3rw SET statement_timeout = '15s'")
    report = verify.verify(settings(here), None, lambda line: None)
    assert report.ok, report.document


def test_a_missing_extension_is_no_failure_of_the_revision(here: Here) -> None:
    """It is named with --on-server, and no failed result is stored."""
    here.project.write("0001", "CREATE EXTENSION no_such_extension")
    with pytest.raises(Refused, match="extension no_such_extension is not installed") as error:
        verify.verify(settings(here), None, lambda line: None)
    assert "--on-server" in error.value.next
    assert not list(here.project.folder.parent.glob(".ops/verified/*"))


PATHS = {
    "for the role": "ALTER ROLE {user} IN DATABASE {dbname} SET search_path = app",
    "for the database": "ALTER DATABASE {dbname} SET search_path = app, public",
    "the user's own": 'ALTER DATABASE {dbname} SET search_path = "$user", public',
}


@pytest.mark.parametrize("case", PATHS)
@pytest.mark.parametrize("own", [False, True], ids=["", "made by a revision"])
def test_the_search_path_of_the_session_is_that_of_the_replay(
    here: Here, case: str, own: bool
) -> None:
    """A database that is exactly what the revisions made has no drift."""
    known = here.project.target.parameters
    schema = known["user"] if "user" in case else "app"
    if not own:
        here.project.ask(f"CREATE SCHEMA {schema}")
        here.project.ask(PATHS[case].format(**known))
    made = f"CREATE SCHEMA {schema}; " if own else ""
    here.project.write("0001", f"{made}CREATE TABLE {f'{schema}.' if own else ''}x1 (id int)")
    here.go()
    if own:  # set since: alembic_version is no longer found by a path without public
        here.project.ask(PATHS[case].format(**known))
    found = drift.read_drift(here.target, "0001")
    assert (found.differences, found.why) == ((), "")


def test_a_schema_called_as_the_user_is_the_first_one_of_the_replay(here: Here) -> None:
    """By PostgreSQL's own search_path ("$user", public), which nobody had to set."""
    user = here.project.target.parameters["user"]
    here.project.ask(f'CREATE SCHEMA "{user}"')
    here.project.write("0001", "CREATE TABLE x1 (id int)")
    here.go()
    assert here.project.ask("SELECT schemaname::text FROM pg_tables WHERE tablename = 'x1'") == [
        (user,)
    ]
    found = drift.read_drift(here.target, "0001")
    assert (found.differences, found.why) == ((), "")


DEPENDS = """
DO $$ BEGIN
    ASSERT current_database() = '{dbname}', current_database();
    ASSERT current_setting('TimeZone') = 'Asia/Tokyo';
    ASSERT current_setting('check_function_bodies') = 'off';
END $$;
CREATE FUNCTION later() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM not_yet';
CREATE TABLE x1 (id int);
ALTER TABLE app.x1 ADD c int
"""


@pytest.fixture
def set_for_sessions(here: Here, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The environment of a database with settings by ALTER DATABASE and ALTER ROLE."""
    known = here.project.target.parameters
    for statement in (
        "CREATE SCHEMA app",
        "ALTER DATABASE {dbname} SET check_function_bodies = off",
        "ALTER DATABASE {dbname} SET timezone = 'UTC'",
        "ALTER ROLE {user} IN DATABASE {dbname} SET timezone = 'Asia/Tokyo'",
        "ALTER ROLE {user} IN DATABASE {dbname} SET search_path = app, public",
    ):
        here.project.ask(statement.format(**known))
    monkeypatch.setenv("PGUSER", known["user"])
    monkeypatch.setenv("PGPASSWORD", known["password"])
    database = {
        "host": known["host"],
        "port": known["port"],
        "name": known["dbname"],
        "sslmode": "disable",
        "run": "local",
        "metadata": "models_of_likeness:metadata",
    }
    root = here.project.folder.parent
    return Settings(name="here", root=root, environment={**PLACE, "database": database})


def test_revisions_are_verified_with_the_settings_of_the_environment(
    here: Here, set_for_sessions: Settings
) -> None:
    """The database's name, its settings, the role's, and the application's own, on a scratch server
    and beside the database; a revision of its own sets what it sets.
    """
    known = here.project.target.parameters
    back = "DROP TABLE app.x1; DROP FUNCTION app.later"
    here.project.write("0001", DEPENDS.format(**known), back)
    here.project.write("0002", "ALTER DATABASE {dbname} SET bytea_output = 'hex'".format(**known))
    report = verify.verify(set_for_sessions, None, lambda line: None)
    assert report.ok, report.document
    here.project.write(
        "0001", DEPENDS.replace("ASSERT current_database", "--").format(**known), back
    )
    beside = verify.verify_on_server(here.target, lambda line: None)
    assert beside.ok, beside.document


def test_a_database_that_cannot_be_read_is_no_reason_not_to_verify(
    here: Here, set_for_sessions: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That its settings are unknown is printed; its name counts."""
    lines: list[str] = []
    known = here.project.target.parameters
    here.project.write("0001", f"ALTER DATABASE {known['dbname']} SET bytea_output = 'hex'")
    monkeypatch.setenv("PGPASSWORD", "wrong")
    assert verify.verify(set_for_sessions, None, lines.append).ok
    assert "PostgreSQL's defaults count" in lines[0] and "unknown" in lines[0]


def test_a_draft_is_compared_in_the_schema_of_the_environment(
    here: Here, set_for_sessions: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A table without a schema is the one in the first schema of search_path."""
    here.project.write("0001", "CREATE TABLE app.people (id int)", "DROP TABLE app.people")
    models = "import sqlalchemy as sa\nmetadata = sa.MetaData()\n"
    models += 'sa.Table("people", metadata, sa.Column("id", sa.Integer))\n'
    (set_for_sessions.root / "models_of_likeness.py").write_text(models)
    found = new_revision.write_revision(set_for_sessions, "Nothing", autogenerate=True)
    assert found.files == ()


def test_settings_of_an_application_and_an_empty_path(here: Here) -> None:
    """A setting with a dot in its name, and a path by which nothing is found but public later."""
    live = likeness.SessionSettings(
        "postgres", "app", (("app.tenant", "it's 7"), ("search_path", '""')), ()
    )
    here.project.write("0001", "CREATE TABLE x1 (id int)")
    with scratch.cluster(here.project.folder) as own:
        door = scratch.prepare(own, live)
        with access.read_session(door) as opened:
            found = opened.execute(
                "SELECT current_setting('app.tenant'), current_schemas(false)::text[]"
            ).fetchone()
    assert found == ("it's 7", ["public"])
