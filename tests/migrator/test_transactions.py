"""Revisions that end their own transaction, on a real PostgreSQL."""

from __future__ import annotations

import pytest

from ops.migrator.model import Limits, MigrateError
from tests.migrator.migrating import OUTSIDE, TABLE, TABLES, Project

CONTROL = [
    ("op.execute('COMMIT')", "COMMIT, line 11", "a"),
    (
        "op.execute('create table b (id int); commit; create table c (id int)')",
        "COMMIT, line 11",
        "a, b, c",
    ),
    ("op.execute('END')", "END, line 11", "a"),
    ("op.get_bind().commit()", "COMMIT, line 11", "a"),
    ("op.execute('COMMIT AND CHAIN')", "COMMIT, line 11", "a"),
    ("op.execute('COMMIT; BEGIN')", "COMMIT, line 11", "a"),
    ("op.get_bind().connection.driver_connection.execute('COMMIT')", "COMMIT or ROLLBACK", "a"),
    ("op.execute('ROLLBACK')", "ROLLBACK, line 11", ""),
    ("op.execute('ABORT')", "ABORT, line 11", ""),
    ("op.get_bind().rollback()", "ROLLBACK, line 11", ""),
]


@pytest.mark.parametrize(
    ("code", "control", "stays"), CONTROL, ids=[code for code, _, _ in CONTROL]
)
def test_a_revision_that_ends_its_own_transaction_has_failed(
    project: Project, code: str, control: str, stays: str
) -> None:
    """Not recorded, and what is said of the rest is true: what it committed remains."""
    project.write("0001", "SELECT 1")
    project.run()
    project.write("0002", f"{TABLE}    {code}")
    with pytest.raises(MigrateError) as error:
        project.run()
    assert error.value.kind == "failed" and "nothing of it remains" not in error.value.why
    assert (
        f"it ends its own transaction ({control}), so what it committed remains" in error.value.why
    )
    assert "the database is at 0001" in error.value.why and "inv db.current" in error.value.next
    assert project.ask(TABLES) == [(stays,)] and project.at() == ["0001"]
    assert project.ask("SELECT revision, result FROM ops_migrations.steps") == [
        ("0001", "done"),
        ("0002", "failed"),
    ]


@pytest.mark.parametrize(
    "after", ["raise RuntimeError('boom')", "raise SystemExit(0)", "op.execute('SELECT 1/0')"]
)
@pytest.mark.parametrize("code", [code for code, _, stays in CONTROL if stays])
def test_a_failure_after_commit_does_not_say_that_nothing_stays(
    project: Project, code: str, after: str
) -> None:
    """Whatever state its session is in by then."""
    project.write("0001", f"{TABLE}    {code}\n    {after}")
    with pytest.raises(MigrateError) as error:
        project.run()
    assert "what it committed remains" in error.value.why and project.ask(
        "SELECT to_regclass('a') IS NOT NULL"
    ) == [(True,)]


def test_a_lock_that_is_not_free_after_commit_is_not_tried_again(project: Project) -> None:
    """A second try would find what the first one left."""
    project.write("0001", "CREATE TABLE held (id int)")
    project.run()
    project.write(
        "0002",
        f"{TABLE}    op.execute('COMMIT')\n    op.execute('ALTER TABLE held ADD COLUMN x int')",
    )
    with project.connect() as other, other.transaction():
        other.execute("LOCK TABLE held")
        with pytest.raises(MigrateError, match="55P03"):
            project.run()
    assert not any("retrying in" in line for line in project.said)


ALLOWED = [
    "    op.execute('SAVEPOINT s')\n    op.execute('ROLLBACK TO s')\n    "
    "op.execute('RELEASE SAVEPOINT s')\n" + TABLE,
    f"    op.execute('SET TRANSACTION ISOLATION LEVEL SERIALIZABLE')\n{TABLE}",
    f"{TABLE}    op.execute('RESET ALL')",
    f"{TABLE}    op.execute('SET search_path = pg_temp, public')",
    TABLE + OUTSIDE.format("COMMIT"),
    TABLE + OUTSIDE.format("VACUUM a") + "\n    op.execute('ALTER TABLE a ADD COLUMN b int')",
    f'{TABLE}    op.execute("CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; END")',
]


@pytest.mark.parametrize("code", ALLOWED)
def test_what_leaves_the_transaction_alone_passes(project: Project, code: str) -> None:
    """Savepoints, isolation, settings, autocommit blocks, and BEGIN … END as a function's body."""
    project.write("0001", "SELECT 1")
    project.write("0002", code.rstrip("\n"))
    assert project.run().after == "0002" and project.ask("SELECT to_regclass('a') IS NOT NULL") == [
        (True,)
    ]


def test_a_rollback_after_an_autocommit_block_is_noticed_too(project: Project) -> None:
    """What follows the block is a transaction again."""
    project.write(
        "0001",
        f"{TABLE}{OUTSIDE.format('SELECT 1')}\n    op.execute('CREATE TABLE b (id int)')\n "
        f"   op.execute('ROLLBACK')",
    )
    with pytest.raises(MigrateError, match="it ended its own transaction"):
        project.run(limits=Limits(retries=0))
    assert project.ask(TABLES) == [("a",)] and project.at() == []


def test_a_commit_inside_a_procedure_fails_with_nothing_left(project: Project) -> None:
    """PostgreSQL itself refuses it inside of a transaction (2D000)."""
    project.write("0001", f"{TABLE}    op.execute('DO $$ BEGIN COMMIT; END $$')")
    with pytest.raises(MigrateError, match=r"2D000.*nothing of it remains"):
        project.run()
    assert project.ask(TABLES) == [("",)]


def test_a_prepared_transaction_is_named(project: Project) -> None:
    """The sandbox's server allows prepared transactions; one of a revision would hold its locks."""
    project.write("0001", f"{TABLE}    op.execute(\"PREPARE TRANSACTION 'x'\")")
    try:
        with pytest.raises(MigrateError, match="PREPARE TRANSACTION") as error:
            project.run()
        assert "ends its own transaction" in error.value.why
    finally:
        project.ask("ROLLBACK PREPARED 'x'")
    assert project.ask(TABLES) == [("",)]


def test_a_failure_after_commit_says_once_what_it_did_and_where_to_look(project: Project) -> None:
    """And a COMMIT alone is named once."""
    project.write("0001", f"{TABLE}    op.execute('COMMIT')")
    with pytest.raises(MigrateError) as error:
        project.run()
    assert error.value.why.count("its own transaction") == 1
    project.write("0001", "    op.execute('COMMIT')\n    raise RuntimeError('boom')")
    with pytest.raises(MigrateError) as error:
        project.run()
    assert "see what it left (inv db.current)" in error.value.next


@pytest.mark.parametrize(
    "run",
    [
        "op.execute({!r})",
        "op.get_bind().exec_driver_sql({!r})",
        "op.get_bind().connection.driver_connection.execute({!r}.encode())",
    ],
)
def test_sql_with_a_nul_byte_is_refused_whole(project: Project, run: str) -> None:
    """The server would read up to there, and the revision would be recorded as done."""
    sql = "CREATE TABLE a (id int);\0 CREATE TABLE b (id int)"
    project.write("0001", f"    {run.format(sql)}")
    with pytest.raises(MigrateError, match=r"NUL byte \((byte|character) 24\)"):
        project.run()
    assert project.ask(TABLES) == [("",)]
