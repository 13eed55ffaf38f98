"""`inv db.*` on a real PostgreSQL: what is shown before, what is asked, what stands there
afterwards.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ops.core.errors import ConfigError, OpsError, Refused, TimedOut, Unreachable
from ops.migrations import plan as flow
from ops.migrations.run import RunOptions, run_from_here
from ops.migrations.status import format_run, history, ping, revision_status
from ops.migrator.model import TargetDatabase
from tests.factories import free_port
from tests.migrations.project import Here, here, protected, server

__all__ = ["here", "server"]  # fixtures


def test_forward_back_and_forward(here: Here) -> None:
    """The contract's documents, one after the other, and the history of all."""
    here.project.write("0001", "CREATE TABLE a (id int)", "DROP TABLE a")
    here.project.write("0002", "ALTER TABLE a ADD COLUMN x int", "ALTER TABLE a DROP COLUMN x")
    assert revision_status(here.target).as_document() == {
        "revision": None,
        "head": "0002",
        "pending": ["0001", "0002"],
    }
    up = here.go()
    assert (up["from"], up["to"], up["mode"]) == (None, "0002", "local") and up["run"]
    assert [each["revision"] for each in up["applied"]] == ["0001", "0002"] and up["applied"][0][
        "took_s"
    ] >= 0
    assert revision_status(here.target).as_document() == {
        "revision": "0002",
        "head": "0002",
        "pending": [],
    }
    assert here.go()["applied"] == []
    back = here.go("downgrade")
    assert (back["from"], back["to"]) == ("0002", "0001")
    assert here.go()["to"] == "0002"
    runs = history(here.target, 20).runs
    assert [(run["verb"], run["from"], run["to"], run["result"]) for run in runs] == [
        ("db.upgrade", "0001", "0002", "done"),
        ("db.downgrade", "0002", "0001", "done"),
        ("db.upgrade", None, "0002", "done"),
    ]
    assert "upgrade 0001 done" in format_run(runs[-1])


def test_a_plan_prints_the_sql_and_changes_nothing(here: Here) -> None:
    """--plan: the revisions, their SQL with Alembic's own bookkeeping, and where Python needs a
    database, why it is only known by running it.
    """
    here.project.write("0001", "CREATE TABLE a (id int)")
    here.project.write("0002", "    op.get_bind().exec_driver_sql('SELECT 1').scalar()")
    planned = flow.plan_migration(here.target, "upgrade", None)
    assert (
        "CREATE TABLE a (id int);" in planned.text and "INSERT INTO alembic_version" in planned.text
    )
    assert "the rest is only known by running it" in planned.text
    assert [step["says"] for step in planned.document["plan"]] == [
        "Upgrade 0001 Revision 0001.",
        "Upgrade 0002 Revision 0002.",
    ]
    assert here.project.ask(
        "SELECT to_regclass('alembic_version'), to_regnamespace('ops_migrations')"
    ) == [(None, None)]


def test_a_way_back_shows_what_it_costs(here: Here, capsys: pytest.CaptureFixture[str]) -> None:
    """Tables and columns with their rows; where rows would be lost somebody must type the name,
    elsewhere nobody is asked.
    """
    here.project.write(
        "0001",
        "CREATE TABLE a (id int); INSERT INTO a SELECT generate_series(1, 3)",
        "DROP TABLE a",
    )
    here.project.write(
        "0002",
        "ALTER TABLE a ADD COLUMN x int, ADD COLUMN y int",
        "ALTER TABLE a DROP COLUMN x, DROP COLUMN y",
    )
    here.go()
    assert here.go("downgrade", yes=False)["to"] == "0001"
    assert "takes away column a.x: 0 rows" in capsys.readouterr().err
    here.go()
    here.project.ask("UPDATE a SET x = 1 WHERE id < 3")
    with pytest.raises(Refused, match="--yes"):
        here.go("downgrade", "base", yes=False)
    said = capsys.readouterr().err
    assert (
        "column a.x: 2 rows" in said and "column a.y: 0 rows" in said and "table a: 3 rows" in said
    )
    assert here.project.at() == ["0002"]
    document = flow.plan_migration(here.target, "downgrade", "base").document
    assert [loss["rows"] for loss in document["losses"]] == [2, 0, 3]


def test_a_way_forward_that_loses_rows_is_asked_for_too(
    here: Here, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same counts and the same question; not for a table that the plan makes itself, but for
    one that it only renames.
    """
    here.project.write(
        "0001",
        "CREATE TABLE a (id int, x text); INSERT INTO a VALUES (1, 'x'), (2, NULL)",
        "DROP TABLE a",
    )
    here.go(to="0001")
    here.project.write(
        "0002",
        "CREATE TABLE b (id int); ALTER TABLE a RENAME TO c",
        "ALTER TABLE c RENAME TO a; DROP TABLE b",
    )
    here.project.write(
        "0003",
        "DROP TABLE b; ALTER TABLE c DROP COLUMN x",
        "ALTER TABLE c ADD COLUMN x text; CREATE TABLE b (id int)",
    )
    planned = flow.plan_migration(here.target, "upgrade", None)
    (loss,) = planned.losses
    assert (loss.revision, loss.what, loss.rows) == ("0003", "column c.x", None)
    assert loss.why == "nothing has this name yet"
    here.go(to="0002")
    (loss,) = [
        each for each in flow.plan_migration(here.target, "upgrade", None).losses if each.rows
    ]
    assert (loss.what, loss.rows) == ("column c.x", 1)
    with pytest.raises(Refused, match="rows are lost"):
        here.go(yes=False)
    assert "0003 takes away column c.x: 1 row" in capsys.readouterr().err and here.project.at() == [
        "0002"
    ]
    here.project.ask("UPDATE c SET x = NULL")
    assert here.go(yes=False)["to"] == "0003"


def test_a_database_that_moved_since_it_was_shown_is_left_alone(here: Here) -> None:
    """Somebody else was faster: nothing is done."""
    here.project.write("0001", "CREATE TABLE a (id int)", "DROP TABLE a")
    planned = flow.plan_migration(here.target, "upgrade", None)
    here.go()
    with pytest.raises(Refused, match="has moved"):
        run_from_here(here.target, planned, RunOptions(), print)


@pytest.mark.parametrize("beside", ["0001.py", "0001.sql"])
def test_a_revision_that_was_edited_since_it_was_shown_is_left_alone(
    here: Here, beside: str
) -> None:
    """What somebody agreed to is not what lies there now: neither runs, and neither's checksum is
    kept.
    """
    file = here.project.write("0001", "CREATE TABLE a (id int)", "DROP TABLE a").with_name(beside)
    file.touch()
    planned = flow.plan_migration(here.target, "upgrade", None)
    file.write_text(file.read_text().replace("TABLE a", "TABLE b") + "\n")
    with pytest.raises(Refused, match=f"{beside}\n.*changed after") as caught:
        run_from_here(here.target, planned, RunOptions(), print)
    assert (
        len(str(caught.value).splitlines()) == 3 and revision_status(here.target).revision is None
    )
    assert here.go()["to"] == "0001"


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"password": "HUSH@/%:"}, Unreachable, "password authentication failed"),
        ({"port": free_port()}, Unreachable, "refused"),
        ({"dbname": "absent"}, Unreachable, "does not exist"),
        ({"sslmode": "verify-full", "sslrootcert": "system"}, Unreachable, "SSL"),
    ],
)
def test_ways_not_to_get_in(
    here: Here, change: dict[str, Any], error: type[OpsError], words: str
) -> None:
    """Three lines each, without the password."""
    target = here.project.target
    there = replace(
        here.target,
        database=replace(
            here.target.database,
            target=TargetDatabase(target.folder, {**target.parameters, **change}),
        ),
    )
    empty = flow.MigrationPlan("upgrade", None, "base", ())
    for call in (
        lambda: flow.plan_migration(there, "upgrade", None),
        lambda: ping(there),
        lambda: run_from_here(there, empty, RunOptions(), print),
    ):
        with pytest.raises(error, match=words) as caught:
            call()
        text = str(caught.value)
        assert (
            len(text.splitlines()) == 3
            and "HUSH" not in text
            and str(target.parameters["password"]) not in text
        )


def test_revisions_that_cannot_be_run(here: Here) -> None:
    """Two heads, an unknown revision, one that this checkout lacks, a broken file and one without a
    way back: three lines each.
    """
    here.project.write("0001", "CREATE TABLE a (id int)", "    raise NotImplementedError")
    here.go()
    with pytest.raises(Refused, match="0001 has no downgrade") as caught:
        here.go("downgrade")
    assert "0001.py" in caught.value.why and here.project.at() == ["0001"]
    with pytest.raises(ConfigError, match="beef"):
        flow.plan_migration(here.target, "upgrade", "beef")
    here.project.write("0002", "SELECT 1")
    other = here.project.write("0002b", "SELECT 1", down="0001")
    with pytest.raises(Refused, match="2 heads: 0002, 0002b"):
        flow.plan_migration(here.target, "upgrade", None)
    other.write_text("this is no python(")
    with pytest.raises(ConfigError, match=r"0002b\.py"):
        flow.plan_migration(here.target, "upgrade", None)
    other.unlink()
    here.project.ask("UPDATE alembic_version SET version_num = '0009'")
    for direction in ("upgrade", "downgrade"):
        with pytest.raises(Refused, match="0009"):
            flow.plan_migration(here.target, direction, None)


def test_a_time_limit_is_exit_code_6(here: Here) -> None:
    """--timeout."""
    here.project.write("0001", "SELECT pg_sleep(20)")
    with pytest.raises(TimedOut) as caught:
        run_from_here(
            here.target,
            flow.plan_migration(here.target, "upgrade", None),
            RunOptions(timeout_s=0.8),
            print,
        )
    assert caught.value.code == 6


def test_a_protected_environment_asks_for_its_name(here: Here) -> None:
    """Even where nothing is lost."""
    here.project.write("0001", "SELECT 1")
    with pytest.raises(Refused, match="--yes"):
        flow.confirm(protected(here), flow.plan_migration(here.target, "upgrade", None), yes=False)
