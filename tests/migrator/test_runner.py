"""The engine on a real PostgreSQL: what stands in the database afterwards is what it says."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from ops.core.errors import Interrupted
from ops.migrator.audit import LOCK_KEY
from ops.migrator.model import MigrateError
from ops.sandbox.database import Server
from tests.migrator.migrating import OUTSIDE, QUICK, ROOT, Project
from tests.waiting import until


@pytest.fixture
def project(server: Server, tmp_path: Path) -> Project:
    return Project.make(server, tmp_path / "100% mine")


RESULTS = "SELECT revision, direction, result FROM ops_migrations.steps ORDER BY id"


def test_up_and_back_with_an_audit(project: Project) -> None:
    """Two revisions forward, one back, all back: each outcome names where it was and is, and the
    audit has every one.
    """
    project.write("0001", "CREATE TABLE a (id int)", "DROP TABLE a")
    project.write("0002", "CREATE TABLE b (id int)", "DROP TABLE b")
    up = project.run()
    assert (up.before, up.after, [each.revision for each in up.applied]) == (
        None,
        "0002",
        ["0001", "0002"],
    )
    assert project.run().applied == ()
    back = project.run("downgrade")
    assert (back.before, back.after, [each.revision for each in back.applied]) == (
        "0002",
        "0001",
        ["0002"],
    )
    assert project.run("downgrade", "base").after is None
    assert project.ask("SELECT to_regclass('a'), to_regclass('b')") == [(None, None)]
    up_rows = [("0001", "upgrade", "done"), ("0002", "upgrade", "done")]
    assert project.ask(RESULTS) == [
        *up_rows,
        ("0002", "downgrade", "done"),
        ("0001", "downgrade", "done"),
    ]
    assert project.ask("SELECT DISTINCT by, host, result FROM ops_migrations.runs") == [
        ("ann", "laptop", "done")
    ]
    with pytest.raises(MigrateError, match="no revision is applied"):
        project.run("downgrade")


def test_the_second_of_three_fails(project: Project) -> None:
    """The first stays, the second leaves nothing, the third has not run; the next run goes on from
    there.
    """
    project.write("0001", "CREATE TABLE a (id int)")
    second = project.write("0002", "CREATE TABLE b (id int); SELECT 1/0")
    project.write("0003", "CREATE TABLE c (id int)")
    with pytest.raises(MigrateError) as error:
        project.run()
    assert (
        "0002" in error.value.what
        and "division by zero" in error.value.why
        and "the database is at 0001" in error.value.why
    )
    assert project.at() == ["0001"] and project.ask(
        "SELECT to_regclass('b'), to_regclass('c')"
    ) == [(None, None)]
    assert project.ask(RESULTS) == [("0001", "upgrade", "done"), ("0002", "upgrade", "failed")]
    assert project.ask("SELECT sqlstate FROM ops_migrations.steps WHERE result = 'failed'") == [
        ("22012",)
    ]
    second.write_text(second.read_text().replace("; SELECT 1/0", ""))
    assert [each.revision for each in project.run().applied] == ["0002", "0003"]


def test_of_two_runners_at_once_one_runs_and_one_is_told(project: Project) -> None:
    """The second is refused with who holds it, since when and from where; with --lock-wait it comes
    after the first.
    """
    project.write("0001", "SELECT pg_sleep(1.5)")
    first = threading.Thread(target=run_apart, args=(project,))
    first.start()
    wait_for(
        project,
        f"SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND granted AND objid = "
        f"{LOCK_KEY & 0xFFFFFFFF}",
    )
    with pytest.raises(MigrateError) as error:
        project.run()
    assert error.value.kind == "refused"
    assert (
        "bob@elsewhere" in error.value.why
        and " since 20" in error.value.why
        and "127.0.0.1" in error.value.why
    )
    assert project.run(limits=replace(QUICK, wait_s=30)).applied == ()
    first.join()
    assert any("waiting for another migration" in line for line in project.said)


def test_where_there_is_nothing_to_do_no_run_begins(project: Project) -> None:
    """Neither way: there is no run whose id could be asked for, in the answer as in the audit."""
    project.write("0001", "SELECT 1")
    assert project.run("downgrade", "base").run is None
    assert project.run().run and project.run().run is None
    assert len(project.ask("SELECT id FROM ops_migrations.runs")) == 1


def test_a_long_name_of_the_holder_is_told_whole(project: Project) -> None:
    """PostgreSQL keeps 63 bytes of a session's name; who and from where are read in the audit."""
    project.write("0001", "SELECT pg_sleep(3)")
    host = "the-laptop-of-somebody-with-a-long-name.department.example.org"
    first = started(project, host)
    wait_for(
        project,
        "SELECT 1 FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(3)%' AND pid <> "
        "pg_backend_pid()",
    )
    with pytest.raises(MigrateError) as error:
        project.run()
    assert (
        "db.upgrade killed since 20" in error.value.why
        and f"by bob@{host} holds it" in error.value.why
    )
    assert first.wait(60) == 0


RUNNER = """
import json, sys
sys.path.insert(0, {root!r})
from ops.migrator.model import Limits, RunIdentity, TargetDatabase
from ops.migrator.runner import migrate
target = TargetDatabase({folder!r}, json.load(sys.stdin))
identity = RunIdentity("bob", {host!r}, "db.upgrade", "killed")
migrate(target, "upgrade", None, identity, Limits(), say=print)
"""


def started(project: Project, host: str = "elsewhere") -> subprocess.Popen[str]:
    import json

    program = RUNNER.format(root=str(ROOT), folder=str(project.folder), host=host)
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, text=True, cwd=project.folder
    )
    assert process.stdin
    process.stdin.write(json.dumps(dict(project.target.parameters)))
    process.stdin.close()
    return process


def run_apart(project: Project) -> None:
    """Another operator's process."""
    assert started(project).wait(60) == 0


def wait_for(project: Project, statement: str) -> None:
    until(lambda: project.ask(statement))


def test_kill_9_in_the_middle_then_again(project: Project) -> None:
    """What was committed stays, what was under way does not, the lock is free, and the killed run
    stands in the audit as lost.
    """
    project.write("0001", "CREATE TABLE a (id int)")
    second = project.write("0002", "CREATE TABLE b (id int); SELECT pg_sleep(60)")
    process = started(project)
    wait_for(
        project,
        "SELECT 1 FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)%' AND state = "
        "'active' AND pid <> pg_backend_pid()",
    )
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert project.at() == ["0001"]
    second.write_text(second.read_text().replace("SELECT pg_sleep(60)", "SELECT 2"))
    assert [each.revision for each in project.run(limits=replace(QUICK, wait_s=10)).applied] == [
        "0002"
    ]
    assert project.ask("SELECT result FROM ops_migrations.runs WHERE id = 'killed'") == [("lost",)]
    assert any("killed; the database is at 0001" in line for line in project.said)


def test_an_interruption_is_audited_and_stays_one(project: Project) -> None:
    """Ctrl-C in a revision: nothing of it remains, and the audit says interrupted."""
    interrupted = "    from ops.core.errors import Interrupted\n    raise Interrupted"
    project.write("0001", f"    op.execute('CREATE TABLE a (id int)')\n{interrupted}")
    with pytest.raises(Interrupted):
        project.run()
    assert project.ask("SELECT to_regclass('a')") == [(None,)]
    assert project.ask(RESULTS) == [("0001", "upgrade", "interrupted")]
    assert issubclass(Interrupted, KeyboardInterrupt)


def test_a_lock_that_is_held_is_tried_again(project: Project) -> None:
    """55P03: nothing stays, it is tried again with growing pauses, and comes through once the other
    one is done.
    """
    project.write("0001", "CREATE TABLE a (id int)")
    project.run()
    project.write("0002", "CREATE TABLE b (id int); ALTER TABLE a ADD COLUMN x int")
    with project.connect() as other:
        other.execute("BEGIN; LOCK TABLE a")
        with pytest.raises(MigrateError) as error:
            project.run()
        assert (
            "55P03" in error.value.why
            and "nothing of it remains" in error.value.why
            and len(project.said) > 3
        )
        pauses: list[float] = []

        def sleep(seconds: float) -> None:
            pauses.append(seconds)
            if len(pauses) == 2:
                other.execute("COMMIT")

        assert [each.revision for each in project.run(sleep=sleep).applied] == ["0002"]
    assert len(pauses) == 2 and pauses[1] > pauses[0]


def test_concurrently_fails_on_duplicates_and_is_retried(project: Project) -> None:
    """The INVALID index is dropped, the head is not recorded; without the duplicates the next run
    makes a valid one.
    """
    project.write("0001", "CREATE TABLE a (id int); INSERT INTO a VALUES (1), (1)", "DROP TABLE a")
    project.run()
    project.write(
        "0002", OUTSIDE.format("CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS a_id ON a (id)")
    )
    with pytest.raises(MigrateError, match="could not create unique index"):
        project.run()
    assert project.at() == ["0001"] and project.ask("SELECT to_regclass('a_id')") == [(None,)]
    assert any("dropped public.a_id" in line for line in project.said)
    project.ask("DELETE FROM a")
    project.run()
    assert project.at() == ["0002"]
    assert project.ask("SELECT indisvalid FROM pg_index WHERE indexrelid = 'a_id'::regclass") == [
        (True,)
    ]


@pytest.mark.parametrize("guard", ["IF NOT EXISTS ", ""])
def test_no_head_over_an_index_that_an_earlier_run_left_invalid(
    project: Project, guard: str
) -> None:
    """What a killed run or another tool left INVALID under the revision's name is dropped and made
    again; foreign ones are left alone.
    """
    project.write(
        "0001",
        "CREATE TABLE a (id int); INSERT INTO a VALUES (1), (1); CREATE SCHEMA s; CREATE "
        "TABLE s.a AS TABLE a",
    )
    project.run()
    with project.connect() as other:
        for name, table in (("a_id", "a"), ("somebody_elses", "a"), ("a_id", "s.a")):
            with pytest.raises(Exception, match="could not create unique index"):
                other.execute(f"CREATE UNIQUE INDEX CONCURRENTLY {name} ON {table} (id)")
    project.ask("DELETE FROM a")
    project.write("0002", OUTSIDE.format(f"CREATE UNIQUE INDEX CONCURRENTLY {guard}a_id ON a (id)"))
    project.run()
    valid = (
        "SELECT indexrelid::regclass::text, indisvalid FROM pg_index WHERE indrelid = "
        "'a'::regclass ORDER BY 1"
    )
    assert project.ask(valid) == [("a_id", True), ("somebody_elses", False)]
    assert project.ask("SELECT indisvalid FROM pg_index WHERE indexrelid = 's.a_id'::regclass") == [
        (False,)
    ], "of the same name, elsewhere"
    assert project.at() == ["0002"]


def test_an_edited_revision_is_refused_by_name(project: Project) -> None:
    """Comments, layout and the downgrade may change; a change of what was applied is refused, and
    may be accepted by name.
    """
    first = project.write("0001", "CREATE TABLE a (id int)")
    project.write("0002", "CREATE TABLE b (id int)")
    project.run(to="0001")
    first.write_text(
        first.read_text()
        .replace("\n\n\ndef upgrade", "\n\n# why\ndef  upgrade")
        .replace("SELECT 1", "DROP TABLE a")
    )
    project.run(to="0001")
    first.write_text(first.read_text().replace("id int", "id bigint"))
    with pytest.raises(MigrateError) as error:
        project.run()
    assert (
        error.value.kind == "refused"
        and "0001 was edited" in error.value.what
        and project.at() == ["0001"]
    )
    project.run(accept_edit="0001")
    assert project.at() == ["0002"]


def test_several_edited_revisions_are_named_and_accepted_together(project: Project) -> None:
    """One acceptance alone would be refused for the other revision, and be forgotten."""
    files = [project.write(f"000{n}", f"CREATE TABLE t{n} (id int)") for n in (1, 2, 3)]
    project.run(to="0002")
    for file in files[:2]:
        file.write_text(file.read_text().replace("id int", "id  INT"))
    with pytest.raises(MigrateError, match="revisions 0001, 0002 were edited") as error:
        project.run()
    assert "--accept-edit 0001,0002" in error.value.next
    with pytest.raises(MigrateError, match="revision 0001 was edited") as error:
        project.run(accept_edit="0002")
    assert "--accept-edit 0001,0002" in error.value.next and project.at() == ["0002"]
    project.run(accept_edit="0001,0002")
    assert project.at() == ["0003"]
    project.run("downgrade", "0002")


def test_time_over_is_said_and_goes_on_later(project: Project) -> None:
    """--timeout ends a statement in the server; what was committed stays."""
    project.write("0001", "CREATE TABLE a (id int)")
    project.write("0002", "SELECT pg_sleep(30)")
    with pytest.raises(MigrateError) as error:
        project.run(limits=replace(QUICK, total_s=1.0))
    assert error.value.kind == "timed_out" and project.at() == ["0001"]


def test_many_short_statements_end_at_the_time_limit_too(project: Project) -> None:
    """statement_timeout bounds each of them, and not their sum."""
    statements = "\n".join(["    op.execute('SELECT pg_sleep(0.4)')"] * 40)
    project.write("0001", f"    op.execute('CREATE TABLE a (i int)')\n{statements}")
    with pytest.raises(MigrateError) as error:
        project.run(limits=replace(QUICK, total_s=2.0))
    assert error.value.kind == "timed_out" and "nothing of it remains" in error.value.why
    assert project.ask("SELECT to_regclass('a') IS NULL") == [(True,)]


@pytest.mark.parametrize(
    ("which", "stays"),
    [
        ("pid = pg_backend_pid()", "nothing of it remains, 1 before it done; the database is at"),
        ("datname = current_database()", "the server rolls it back, unless it had committed it"),
    ],
)
def test_a_lost_connection_is_not_the_revisions_failure(
    project: Project, which: str, stays: str
) -> None:
    """Nobody is sent to correct a revision whose server, tunnel or network went away; and what the
    database can't be asked any more is not claimed.
    """
    project.write("0001", "CREATE TABLE a (id int)", "DROP TABLE a")
    cut = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {which}"
    project.write("0002", f"CREATE TABLE b (id int); {cut} ORDER BY pid = pg_backend_pid()")
    with pytest.raises(MigrateError) as lost:
        project.run()
    assert lost.value.what == "upgrade of revision 0002 was cut off: its connection was lost"
    assert stays in lost.value.why
    assert "correct it" not in lost.value.next and "inv db.current" in lost.value.next
    assert project.ask("SELECT to_regclass('b')") == [(None,)]
