"""A scratch server that is like the environment's: no false drift, no false failure."""

from __future__ import annotations

import pytest

from ops.core.config.settings import Settings
from ops.core.errors import Refused
from ops.migrations import drift, verify
from ops.postgres.server import likeness
from tests.migrations.project import Here, here, server

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
