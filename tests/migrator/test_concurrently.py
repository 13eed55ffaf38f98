"""CONCURRENTLY behind a long transaction, on a real PostgreSQL."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import psycopg
import pytest

from ops.migrator.model import MigrateError
from ops.sandbox.database import Server
from tests.migrator.migrating import OUTSIDE, QUICK, Project
from tests.waiting import until

LIMITS = replace(QUICK, lock_timeout_s=0.4, retries=5, backoff_s=0.2)
TABLE = "CREATE TABLE r (id int PRIMARY KEY, v int); CREATE INDEX r_v ON r (v)"
INVALID = "SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid ORDER BY 1"


@contextmanager
def held(project: Project, statement: str, seconds: float) -> Iterator[None]:
    """Another session's transaction, open for that long."""
    other = project.connect()
    other.execute("SET application_name = 'report'")
    other.execute(f"BEGIN; {statement}")
    timer = threading.Timer(seconds, other.close)
    timer.start()
    try:
        yield
    finally:
        timer.join()


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE INDEX CONCURRENTLY r_w ON r (v)",
        "REINDEX TABLE CONCURRENTLY r",
        "REINDEX INDEX CONCURRENTLY r_v",
        "DROP INDEX CONCURRENTLY r_v",
    ],
)
def test_it_is_retried_until_the_transaction_ends(project: Project, statement: str) -> None:
    """The clean-up waits for it too; nothing INVALID is left, and the blocker is named."""
    project.write("0001", TABLE)
    project.run()
    project.write("0002", OUTSIDE.format(statement))
    with held(project, "INSERT INTO r VALUES (1, 1)", 2.5):
        assert project.run(limits=LIMITS).after == "0002"
    assert project.ask(INVALID) == []
    said = "\n".join(project.said)
    assert "retrying in" in said
    assert "waits for server process" in said and "report, user" in said
    assert "idle in transaction since" in said


def test_what_could_not_be_dropped_is_named_beside_the_first_error(project: Project) -> None:
    """The lock timeout stays the reason; the next run drops the leftover."""
    project.write("0001", TABLE)
    project.run()
    project.write("0002", OUTSIDE.format("REINDEX INDEX CONCURRENTLY r_v"))
    with (
        held(project, "INSERT INTO r VALUES (1, 1)", 6),
        pytest.raises(MigrateError, match="55P03") as error,
    ):
        project.run(limits=replace(LIMITS, retries=1))
    assert "public.r_v_ccnew INVALID, which the next run drops" in error.value.why
    assert "it waited for server process" in error.value.why
    assert "pg_terminate_backend" in error.value.next
    assert project.ask(INVALID) == [("r_v_ccnew",)]
    assert project.run(limits=LIMITS).after == "0002" and project.ask(INVALID) == []


@pytest.mark.parametrize(
    "statement",
    ["REINDEX TABLE CONCURRENTLY r", "REINDEX (VERBOSE) INDEX CONCURRENTLY public.r_v"],
)
def test_copies_of_an_earlier_reindex_are_dropped(project: Project, statement: str) -> None:
    """Those of the REINDEXed table or index; not those of others."""
    project.write("0001", f"{TABLE}; CREATE TABLE other (v int); CREATE INDEX other_v ON other (v)")
    project.run()
    for index, table in (("r_v", "r"), ("other_v", "other")):
        with project.connect() as blocked, held(project, f"INSERT INTO {table} VALUES (1)", 1.0):
            blocked.execute("SET lock_timeout = '300ms'")
            with pytest.raises(psycopg.errors.LockNotAvailable):
                blocked.execute(f"REINDEX INDEX CONCURRENTLY {index}")
    assert project.ask(INVALID) == [("other_v_ccnew",), ("r_v_ccnew",)]
    project.write("0002", OUTSIDE.format(statement))
    assert project.run().after == "0002"
    assert project.ask(INVALID) == [("other_v_ccnew",)]


PARTITIONS = (
    "CREATE TABLE ev (id bigint NOT NULL, at date NOT NULL) PARTITION BY RANGE (at);"
    "CREATE TABLE ev_2025 PARTITION OF ev FOR VALUES FROM ('2025-01-01') TO ('2026-01-01')"
)
DETACH = OUTSIDE.format("ALTER TABLE ev DETACH PARTITION ev_2025 CONCURRENTLY")


@pytest.mark.parametrize("retries", [0, 5])
def test_a_detach_that_is_pending_is_finalized(project: Project, retries: int) -> None:
    """By the retry, or by the next run, without an edit of the revision."""
    project.write("0001", PARTITIONS)
    project.run()
    project.write("0002", f"{DETACH}\n    op.execute('DROP TABLE ev_2025')")
    with held(project, "SELECT * FROM ev", 2.0):
        if retries:
            project.run(limits=replace(LIMITS, retries=retries))
            assert any("a partition is pending detach, retrying" in line for line in project.said)
            assert not any("nothing of it remains" in line for line in project.said)
        else:
            with pytest.raises(MigrateError, match="55P03") as error:
                project.run(limits=replace(LIMITS, retries=0))
            assert "it left a partition pending detach" in error.value.why
            finalize = "finalizes it (ALTER TABLE ev DETACH PARTITION ev_2025 FINALIZE)"
            assert finalize in error.value.next and "which continues" not in error.value.next
    assert project.run(limits=LIMITS).after == "0002"
    assert project.ask("SELECT to_regclass('ev_2025')") == [(None,)]
    assert any("FINALIZE" in line for line in project.said)


def test_an_index_on_a_partitioned_table_leaves_nothing_and_says_so(project: Project) -> None:
    project.write("0001", PARTITIONS)
    project.run()
    project.write("0002", OUTSIDE.format("CREATE INDEX CONCURRENTLY ev_id ON ev (id)"))
    with pytest.raises(MigrateError, match="0A000") as error:
        project.run()
    assert "nothing of it remains" in error.value.why


def test_a_statement_that_committed_before_is_not_run_again(project: Project) -> None:
    """With a commit of its own behind it, a lock timeout is not retried."""
    project.write("0001", TABLE)
    project.run()
    project.write(
        "0002",
        "    op.execute('CREATE TABLE a (id int)')\n"
        + OUTSIDE.format("ALTER TABLE r ADD COLUMN w int"),
    )
    with (
        held(project, "INSERT INTO r VALUES (1, 1)", 1.5),
        pytest.raises(MigrateError, match="parts of it may remain"),
    ):
        project.run(limits=LIMITS)
    assert not any("retrying" in line for line in project.said)


def test_a_prepared_transaction_is_named(server: Server, project: Project) -> None:
    """It stands in no pg_stat_activity."""
    admin = server.admin
    words = {"user": admin.username, "password": admin.password}
    known = {**project.target.parameters, **words}
    with psycopg.connect(autocommit=True, **known) as opened:
        opened.execute("ALTER SYSTEM SET max_prepared_transactions = 5")
    server.follow(False)
    server.follow(True)
    project.write("0001", "CREATE TABLE pt (id int)")
    project.run()
    project.ask("BEGIN; LOCK TABLE pt; PREPARE TRANSACTION 'forgotten'")
    project.write("0002", "ALTER TABLE pt ADD COLUMN x int")
    with pytest.raises(MigrateError, match="55P03") as error:
        project.run(limits=replace(LIMITS, retries=1))
    assert "prepared transaction 'forgotten'" in error.value.why
    assert "ROLLBACK PREPARED 'forgotten'" in error.value.next
    project.ask("ROLLBACK PREPARED 'forgotten'")
    assert project.run().after == "0002"
    until(lambda: server.alive())
