"""`inv db.verify` on a real PostgreSQL, with real pg_dump."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from ops.adapters import postgres_dump
from ops.errors import Refused
from ops.flows import migrate_verify
from tests.flows.migrate_place import Here, here, protected, server

__all__ = ["here", "server"]   # fixtures

GOOD = "CREATE TYPE mood AS ENUM ('ok'); CREATE TABLE a (id serial, m mood)"
FORGETS = {
    "TYPE public.mood2 is left": ("CREATE TYPE mood2 AS ENUM ('ok')", "SELECT 1"),
    "FUNCTION public.f() is left": ("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'", "SELECT 1"),
    "SEQUENCE public.s is left": ("CREATE SEQUENCE s", "SELECT 1"),
    "ACL public.TABLE a is left": ("GRANT SELECT ON a TO pg_monitor", "SELECT 1"),
    "TABLE public.a differs: m public.mood became m public.mood NOT NULL": ("ALTER TABLE a ALTER COLUMN m SET NOT NULL", "SELECT 1"),
    "DEFAULT public.a id is missing": ("ALTER TABLE a ALTER COLUMN id SET DEFAULT 7", "ALTER TABLE a ALTER COLUMN id DROP DEFAULT"),
}


@pytest.mark.parametrize("problem", FORGETS)
def test_verify_names_what_a_downgrade_forgets(here: Here, problem: str) -> None:
    """An enum, a function, a sequence, a grant, a default: by name; the good revisions around it pass, and no scratch database stays."""
    here.project.write("0001", GOOD, "DROP TABLE a; DROP TYPE mood")
    up, undo = FORGETS[problem]
    here.project.write("0002", up, undo)
    here.project.write("0003", "CREATE TABLE c (id int)", "DROP TABLE c")
    found = migrate_verify.verify(here.place, here.project.said.append).as_document()
    assert [each["ok"] for each in found["revisions"]] == [True, False, True] and not found["verified"]
    assert any(problem in text for text in found["revisions"][1]["problems"])
    assert here.project.ask("SELECT datname FROM pg_database WHERE datname LIKE 'ops_verify%'") == []
    assert here.project.ask("SELECT to_regclass('a')") == [(None,)]


def test_verify_is_not_for_a_protected_environment(here: Here) -> None:
    """A production server is no place for experiments."""
    with pytest.raises(Refused, match="prod is protected"):
        migrate_verify.verify(protected(here))


def test_the_password_is_in_a_private_file_while_pg_dump_runs() -> None:
    """Neither argument nor environment; gone afterwards."""
    with postgres_dump.environment({"password": "a:b\\c"}) as variables:
        file = Path(variables["PGPASSFILE"])
        assert file.read_text() == "*:*:*:*:a\\:b\\\\c\n" and stat.S_IMODE(file.stat().st_mode) == 0o600
        assert not any("a:b" in text for text in variables.values())
    assert not file.exists()
