"""`inv db.verify` on a real PostgreSQL, with real pg_dump."""

from __future__ import annotations

import json
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ops.core.config.settings import Settings
from ops.core.errors import ConfigError, Refused, Unreachable
from ops.migrations import plan, verify, verify_records
from ops.postgres import dump
from tests.migrations.project import PLACE, Here, here, protected, server

__all__ = ["here", "server"]  # fixtures

GOOD = "CREATE TYPE mood AS ENUM ('ok'); CREATE TABLE a (id serial, m mood)"
FORGETS = {
    "TYPE public.mood2 is left": ("CREATE TYPE mood2 AS ENUM ('ok')", "SELECT 1"),
    "FUNCTION public.f() is left": (
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "SELECT 1",
    ),
    "SEQUENCE public.s is left": ("CREATE SEQUENCE s", "SELECT 1"),
    "ACL public.TABLE a is left": ("GRANT SELECT ON a TO pg_monitor", "SELECT 1"),
    "TABLE public.a differs: m public.mood became m public.mood NOT NULL": (
        "ALTER TABLE a ALTER COLUMN m SET NOT NULL",
        "SELECT 1",
    ),
    "DEFAULT public.a id is missing": (
        "ALTER TABLE a ALTER COLUMN id SET DEFAULT 7",
        "ALTER TABLE a ALTER COLUMN id DROP DEFAULT",
    ),
}


def test_verify_names_what_a_downgrade_forgets(here: Here) -> None:
    """An enum, a function, a sequence, a grant, a default: by name; the good revisions around them
    pass, and no scratch database stays.
    """
    here.project.write("0001", GOOD, "DROP TABLE a; DROP TYPE mood")
    for number, (up, undo) in enumerate(FORGETS.values(), 2):
        here.project.write(f"000{number}", up, undo)
    here.project.write("0008", "CREATE TABLE c (id int)", "DROP TABLE c")
    found = verify.verify_on_server(here.target, here.project.said.append).document
    assert [each["ok"] for each in found["revisions"]] == [
        True,
        *[False] * len(FORGETS),
        True,
    ] and not found["verified"]
    for problem, each in zip(FORGETS, found["revisions"][1:], strict=False):
        assert any(problem in text for text in each["problems"]), (problem, each)
    assert (
        here.project.ask("SELECT datname FROM pg_database WHERE datname LIKE 'ops_verify%'") == []
    )
    assert here.project.ask("SELECT to_regclass('a')") == [(None,)]


def test_verify_is_not_for_a_protected_environment(here: Here) -> None:
    """A production server is no place for experiments."""
    with pytest.raises(Refused, match="prod is protected"):
        verify.verify_on_server(protected(here))


def settings(here: Here, **more: Any) -> Settings:
    return Settings(name="here", root=here.project.folder.parent, environment={**PLACE, **more})


ROWS = "    op.execute(\"INSERT INTO public.t VALUES (1, 'mine'), (2, 'yours')\")"
KEEPS = {
    "True": ("keeps_data = True", '1 row of public.t is gone or changed: {"id": 1'),
    "planted": (
        "keeps_data = \"INSERT INTO public.t VALUES (7, 'x')\"",
        "2 rows of public.t are gone or changed",
    ),
}


def test_rows_behind_a_policy_are_compared_too(here: Here) -> None:
    """A forced policy hides all rows from the owner, who would see no difference."""
    rows = "INSERT INTO t SELECT i, i FROM generate_series(1, 3) i"
    forced = "ALTER TABLE t ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY"
    policy = f"{forced}; CREATE POLICY mine ON t USING (id < 0)"
    table = "CREATE TABLE t (id int, name int)"
    here.project.write("0001", f"{table}; {rows}; {policy}", "DROP TABLE t")
    back = "ALTER TABLE t DROP said; ALTER TABLE t ADD name int"
    file = here.project.write("0002", "ALTER TABLE t RENAME name TO said", back)
    body = "\n\n\ndef upgrade"
    file.write_text(file.read_text().replace(body, f"\nkeeps_data = True{body}"))
    found = verify.verify_on_server(here.target, here.project.said.append).revisions
    assert not found[0].problems
    assert "3 rows of public.t are gone or changed" in " ".join(found[1].problems)


@pytest.mark.parametrize("said", KEEPS)
def test_verify_names_the_rows_that_a_revision_does_not_bring_back(here: Here, said: str) -> None:
    """The revision says that it keeps them (those that are there, or some that it plants), and its
    downgrade deletes rows: by table.
    """
    words, problem = KEEPS[said]
    here.project.write(
        "0001",
        f"    op.execute('CREATE TABLE public.t (id int, name text)')\n{ROWS}",
        "DROP TABLE t",
    )
    file = here.project.write(
        "0002",
        "ALTER TABLE t ADD COLUMN more text",
        "ALTER TABLE t DROP COLUMN more; DELETE FROM t WHERE id <> 2",
    )
    file.write_text(file.read_text().replace("\n\n\ndef upgrade", f"\n{words}\n\n\ndef upgrade"))
    found = verify.verify_on_server(here.target, here.project.said.append).document
    assert [each["ok"] for each in found["revisions"]] == [True, False]
    assert problem in " ".join(found["revisions"][1]["problems"])
    file.write_text(file.read_text().replace("; DELETE FROM t WHERE id <> 2", ""))
    assert verify.verify_on_server(here.target, here.project.said.append).ok


def test_what_only_the_proof_reads_is_not_what_was_applied(here: Here) -> None:
    """`keeps_data` can be written into a revision that was applied long ago: no checksum stands in
    the way.
    """
    file = here.project.write("0001", "CREATE TABLE t (id int)", "DROP TABLE t")
    here.go()
    file.write_text(
        file.read_text().replace("\n\n\ndef upgrade", "\nkeeps_data = True\n\n\ndef upgrade")
    )
    here.project.write("0002", "CREATE TABLE u (id int)", "DROP TABLE u")
    assert here.go()["to"] == "0002"


def test_a_scratch_postgresql_needs_no_server_and_knows_the_roles(here: Here) -> None:
    """Roles that only the real server has are made; a forgotten grant to one is named; the verdict
    is kept by content.
    """
    here.project.write(
        "0001", "CREATE TABLE t (id int); GRANT SELECT ON t TO reporting", "DROP TABLE t"
    )
    file = here.project.write("0002", "GRANT INSERT ON t TO reporting", "SELECT 1")
    found = verify.verify(settings(here), progress=here.project.said.append).document
    assert [each["ok"] for each in found["revisions"]] == [
        True,
        False,
    ] and "scratch PostgreSQL" in found["on"]
    assert "ACL public.TABLE t differs" in found["revisions"][1]["problems"][0]
    assert "failed" in str(
        verify_records.why_not_verified(settings(here), here.project.folder, found["server"])
    )
    file.write_text(file.read_text().replace("SELECT 1", "REVOKE INSERT ON t FROM reporting"))
    assert "no db.verify of these revisions" in str(
        verify_records.why_not_verified(settings(here), here.project.folder, found["server"])
    )
    assert verify.verify(settings(here), progress=here.project.said.append).ok
    assert (
        verify_records.why_not_verified(settings(here), here.project.folder, found["server"])
        is None
    )


def test_a_verdict_counts_for_every_environment_and_for_its_major_alone(here: Here) -> None:
    """It was proved on none of an environment's own; another major version may read the same SQL
    otherwise, and that is said.
    """
    here.project.write("0001", "CREATE TABLE t (id int)", "DROP TABLE t")
    server = verify.verify(settings(here), progress=here.project.said.append).server
    prod = settings(here, protected=True).model_copy(update={"name": "prod"})
    assert verify_records.why_not_verified(prod, here.project.folder, server) is None
    why = str(verify_records.why_not_verified(prod, here.project.folder, server + 1))
    assert f"is known on PostgreSQL {server} only, the database is {server + 1}" in why


def test_a_tunnel_leads_pg_dump_too(here: Here) -> None:
    """`host` is the name that TLS is checked against, and need not resolve here; `hostaddr` is
    where the bytes go.
    """
    here.project.write("0001", "CREATE TABLE t (id int)", "DROP TABLE t")
    far = {
        **here.project.target.parameters,
        "host": "db.no-such-name.invalid",
        "hostaddr": "127.0.0.1",
    }
    database = replace(
        here.target.database, target=replace(here.target.database.target, parameters=far)
    )
    assert verify.verify_on_server(
        replace(here.target, database=database), here.project.said.append
    ).ok


def test_a_server_that_is_away_is_no_fault_of_a_revision(here: Here) -> None:
    """pg_dump can't do its work: an error, and no verdict. SQL of `keeps_data` that fails is the
    revision's own.
    """
    file = here.project.write("0001", "CREATE TABLE t (id int)", "DROP TABLE t")
    door = here.target.database
    (revision,) = door.scripts.between("upgrade", "0001", None)
    with pytest.raises(Unreachable, match="pg_dump of"):
        list(verify._round_trip(door, Path("/bin/false"), revision, "base"))
    file.write_text(
        file.read_text().replace(
            "\n\n\ndef upgrade", "\nkeeps_data = 'INSERT INTO nowhere VALUES (1)'\n\n\ndef upgrade"
        )
    )
    (found,) = verify.verify_on_server(here.target, here.project.said.append).revisions
    assert "keeps_data" in found.problems[0] and "nowhere" in found.problems[0]


def test_a_protected_upgrade_says_that_its_revisions_are_not_verified(
    here: Here, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a terminal it is refused with that reason; --yes goes on; once verified nothing more
    is said.
    """
    here.project.write("0001", "CREATE TABLE t (id int)", "DROP TABLE t")
    place = replace(here.target, settings=settings(here, protected=True))
    planned = plan.plan_migration(place, "upgrade", None)
    with pytest.raises(Refused, match=r"not verified: no db\.verify of these revisions is known"):
        plan.confirm(place, planned, yes=False)
    plan.confirm(place, planned, yes=True)
    assert "not verified" in capsys.readouterr().err
    assert verify.verify(place.settings, progress=here.project.said.append).ok
    plan.confirm(place, planned, yes=True)
    assert "not verified" not in capsys.readouterr().err
    record = json.loads(
        next((here.project.folder.parent / ".ops/verified").glob("*.json")).read_text()
    )
    assert record["verified"] and record["by"] and record["at"].endswith("+00:00")


def test_a_major_that_is_not_here_is_said(here: Here) -> None:
    """--postgres-version 14 where no PostgreSQL 14 is: exit 2, and which there is."""
    here.project.write("0001", "CREATE TABLE t (id int)", "DROP TABLE t")
    with pytest.raises(ConfigError, match="--postgres-version 14") as problem:
        verify.verify(settings(here), 14)
    assert "there is a scratch PostgreSQL" in problem.value.why


def test_the_password_is_in_a_private_file_while_pg_dump_runs() -> None:
    """Neither argument nor environment; gone afterwards."""
    with dump.pg_dump_environment({"user": "ann", "password": "a:b\\c"}) as variables:
        file = Path(variables["PGPASSFILE"])
        assert (
            file.read_text() == "*:*:*:*:a\\:b\\\\c\n"
            and stat.S_IMODE(file.stat().st_mode) == 0o600
        )
        assert not any("a:b" in text for text in variables.values())
    assert not file.exists()
