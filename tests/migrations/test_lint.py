"""Before an upgrade: what is dangerous in it stops a protected environment, and what it will lock
is said.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from ops.core.errors import ConfigError, Refused
from ops.migrations import forecast, lint, plan
from tests.checkout import Checkout
from tests.migrations.project import Here, here, protected, server
from tests.migrator.migrating import OUTSIDE

__all__ = ["here", "server"]
DROP = "ALTER TABLE one DROP COLUMN b"


def declare(file: Path, text: str) -> None:
    file.write_text(file.read_text().replace("\n\n\ndef upgrade", f"\n{text}\n\n\ndef upgrade", 1))


@pytest.fixture
def two(here: Here) -> Path:
    """One table, and a second revision that drops a column of it."""
    here.project.write("0001", "CREATE TABLE one (id bigint, b text)", "DROP TABLE one")
    here.go(to="0001")
    return here.project.write("0002", DROP, "ALTER TABLE one ADD COLUMN b text")


def test_a_blocking_finding_stops_a_protected_environment(here: Here, two: Path) -> None:
    """Exit 3, the finding, and the waiver to write; an unprotected one is only told."""
    planned = plan.plan_migration(here.target, "upgrade", None)
    found = lint.lint_plan(planned)
    assert [each.rule for each in found.blocking] == ["ban-drop-column"] and found.blocking[
        0
    ].sql == DROP + ";"
    lint.refuse_blocking(here.target, found)
    with pytest.raises(Refused) as refused:
        lint.refuse_blocking(protected(here), found)
    assert "0002" in refused.value.why and 'waive = {"ban-drop-column"' in refused.value.next


def test_a_waiver_with_a_reason_lets_it_through(here: Here, two: Path) -> None:
    """The reason is shown beside the finding; writing it after the revision was applied is no edit
    of it.
    """
    here.go()
    declare(two, 'waive = {"ban-drop-column": "no code has read it since 1.4"}')
    here.go("downgrade")
    found = lint.lint_plan(plan.plan_migration(here.target, "upgrade", None))
    assert not found.blocking and "waived: no code has read it" in found.text
    lint.refuse_blocking(protected(here), found)
    assert [each["revision"] for each in here.go()["applied"]] == ["0002"]


@pytest.mark.parametrize(
    "text", ['waive = {"ban-drop-column": " "}', 'waive = ["ban-drop-column"]', 'phase = "extend"']
)
def test_a_waiver_without_a_reason_is_an_error(here: Here, two: Path, text: str) -> None:
    """Three lines that say what to write."""
    declare(two, text)
    with pytest.raises(ConfigError, match="revision 0002"):
        lint.lint_plan(plan.plan_migration(here.target, "upgrade", None))


def test_the_locks_and_sizes_are_said_before(here: Here, two: Path) -> None:
    """The table with its lock and its size as the database knows it; after a run, how long it
    took.
    """
    planned = plan.plan_migration(here.target, "upgrade", None)
    (lock,) = forecast.forecast(here.target, planned).as_document()["locks"]
    assert (lock["table"], lock["mode"], lock["blocks"]) == (
        "one",
        "ACCESS EXCLUSIVE",
        "blocks reads and writes",
    )
    assert lock["bytes"] is not None
    here.go()
    here.go("downgrade")
    again = forecast.forecast(
        here.target, plan.plan_migration(here.target, "upgrade", None)
    ).as_document()
    assert list(again["took_before_s"]) == ["0002"]
    unreachable = replace(here.target, database=here.target.database.named("none"))
    assert forecast.forecast(unreachable, planned).sizes == {}


def test_a_missing_way_back_stops_a_protected_environment(here: Here, two: Path) -> None:
    """As db.lint has it, an upgrade has it too: exit 3 before anything is done."""
    here.project.write("0002", "SELECT 1", "    raise NotImplementedError")
    found = lint.lint_plan(plan.plan_migration(here.target, "upgrade", None))
    assert [(each.revision, each.rule) for each in found.blocking] == [
        ("0002", "missing-downgrade")
    ]
    with pytest.raises(Refused, match="blocking findings"):
        lint.refuse_blocking(protected(here), found)


def test_how_long_it_will_take_is_said_with_its_reason(here: Here) -> None:
    """An assumed rate, then the one that an earlier revision showed here; what nobody can read is
    named, and what is new costs nothing.
    """
    rows = "INSERT INTO one SELECT n, repeat('x', 900) FROM generate_series(1, 40000) n"
    here.project.write("0001", f"CREATE TABLE one (id bigint, b text); {rows}")
    here.project.write("0002", "CREATE INDEX by_b ON one (id)", "DROP INDEX by_b")
    here.project.write("0003", "ALTER TABLE one ADD COLUMN c uuid DEFAULT gen_random_uuid()")
    fresh = forecast.forecast(here.target, plan.plan_migration(here.target, "upgrade", None))
    assert fresh.locks == () and fresh.as_document()["expected_s"] == 0
    here.go(to="0002")
    here.project.ask("ANALYZE one")
    planned = plan.plan_migration(here.target, "upgrade", None)
    (guess,) = forecast.forecast(here.target, planned).estimates
    assert (
        guess.source == "assumed"
        and guess.seconds
        and "MB written at an assumed 20 MB/s" in guess.as_text()
    )
    here.project.ask("UPDATE ops_migrations.steps SET took_s = 5 WHERE revision = '0002'")
    here.project.write("0004", "CREATE INDEX again ON one (b)")
    here.project.write("0005", "DO $$ BEGIN NULL; END $$")
    text = forecast.forecast(
        here.target, plan.plan_migration(here.target, "upgrade", None)
    ).as_text()
    assert (
        "MB/s, as 0002 did here" in text
        and "one (blocks writes), reads the whole table: 40000 rows, " in text
    )
    assert "0005 runs a DO block: its locks are unknown" in text and text.endswith(
        "without 0005, whose duration is unknown"
    )


def test_a_dropped_index_is_told_with_its_table(here: Here, two: Path) -> None:
    """The lock is on the table, which only the database knows."""
    here.project.ask("CREATE INDEX i ON one (id)")
    two.write_text(two.read_text().replace(DROP, "DROP INDEX i"))
    (lock,) = forecast.forecast(
        here.target, plan.plan_migration(here.target, "upgrade", None)
    ).as_document()["locks"]
    assert (lock["table"], lock["mode"], lock["index"]) == (
        "one",
        "ACCESS EXCLUSIVE",
        "i",
    ) and lock["bytes"] > 0


def test_the_projects_own_revisions_are_clean(new_checkout: object) -> None:
    """`db.lint` needs no database and no sandbox, and nothing blocks; a planted danger is exit
    1.
    """
    checkout: Checkout = new_checkout("lint")  # type: ignore[operator]
    overlay = checkout.root / ".sandbox" / "environment.yaml"
    overlay.parent.mkdir()
    overlay.write_text("{}\n")
    assert [each["waived"] is not None for each in checkout.document("db.lint")["problems"]] == [
        True
    ] * 3
    source = checkout.root / "alembic" / "versions" / "0003_project_summary.py"
    source.write_text(
        source.read_text().replace("ADD COLUMN summary character varying(280)", "DROP COLUMN title")
    )
    done = checkout.inv("db.lint", "--json", "--revision", "0003")
    assert done.returncode == 1
    assert {row["rule"] for row in json.loads(done.stdout)["problems"]} == {
        "ban-drop-column",
        "contract-in-expand",
    }


PARTITIONED = "CREATE TABLE ev (id bigint, at date) PARTITION BY RANGE (at)"


def test_an_index_on_a_partitioned_table_is_named_before_it_fails(here: Here) -> None:
    """By all revisions' SQL, and by the database's tables when an upgrade is reviewed."""
    here.project.write("0001", PARTITIONED, "DROP TABLE ev")
    here.project.write("0002", OUTSIDE.format("CREATE INDEX CONCURRENTLY ev_id ON ev (id)"))
    settings = here.target.settings

    def reviewed() -> lint.LintReport:
        planned = plan.plan_migration(here.target, "upgrade", None)
        return lint.review(here.target, planned).lint

    everything = [lint.lint_project(settings), lint.lint_project(settings, "0002"), reviewed()]
    here.go(to="0001")
    for found in (*everything, reviewed()):
        assert [(each.revision, each.rule) for each in found.blocking] == [
            ("0002", "concurrent-index-on-partitioned")
        ]


def test_the_concurrent_drop_of_a_partitioned_index_is_named_before_it_fails(here: Here) -> None:
    """By the revisions that create it, and by the database's indexes; a plain drop may go."""
    here.project.write("0001", f"{PARTITIONED}; CREATE INDEX ev_id ON ev (id)", "DROP TABLE ev")
    here.project.write("0002", OUTSIDE.format("DROP INDEX CONCURRENTLY ev_id"))

    def reviewed() -> lint.LintReport:
        return lint.review(here.target, plan.plan_migration(here.target, "upgrade", None)).lint

    everything = [lint.lint_project(here.target.settings), reviewed()]
    here.go(to="0001")
    for found in (*everything, reviewed()):
        assert [(each.revision, each.rule) for each in found.blocking] == [
            ("0002", "concurrent-drop-of-partitioned-index")
        ]
    here.project.write("0002", "DROP INDEX ev_id")
    assert reviewed().blocking == () and here.go()["to"] == "0002"
