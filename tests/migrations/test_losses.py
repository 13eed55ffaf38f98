"""Losses and locks that no statement shows: policies, foreign keys, triggers, rules."""

from __future__ import annotations

from typing import Any

import pytest

from ops.core.errors import Refused, Unreachable
from ops.migrations import plan as flow
from ops.migrations.forecast import forecast
from ops.migrations.status import revision_status
from tests.migrations.project import Here, here, server

__all__ = ["here", "server"]  # fixtures

HIDDEN = """
CREATE TABLE notes (id int, tenant int);
INSERT INTO notes SELECT i, i % 3 FROM generate_series(1, 9) i;
ALTER TABLE notes ENABLE ROW LEVEL SECURITY;
CREATE POLICY mine ON notes USING (tenant = current_setting('app.tenant', true)::int)
"""
FORCED = "ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY"
FAMILY = """
CREATE TABLE customers (id int PRIMARY KEY, gone bool);
INSERT INTO customers SELECT i, i < 3 FROM generate_series(1, 9) i;
CREATE TABLE orders (id int PRIMARY KEY, customer int REFERENCES customers ON DELETE CASCADE);
CREATE TABLE lines (id int, "Order" int REFERENCES orders ON DELETE CASCADE,
                    customer int REFERENCES customers ON DELETE CASCADE);
CREATE TABLE visits (id int, customer int REFERENCES customers ON DELETE SET NULL,
                     at_order int REFERENCES orders ON DELETE SET DEFAULT);
INSERT INTO orders SELECT i, i / 10 FROM generate_series(10, 49) i;
INSERT INTO lines SELECT i, i / 10 + 24, 4 FROM generate_series(10, 109) i;
INSERT INTO lines VALUES (1, 49, 1), (2, 11, 1);
INSERT INTO visits VALUES (1, 1, NULL), (2, 4, 10), (3, 4, 49)
"""
TREE = """
CREATE TABLE nodes (id int PRIMARY KEY, parent int REFERENCES nodes ON DELETE CASCADE);
INSERT INTO nodes VALUES (1, NULL), (2, 1), (3, 2)
"""
PARTS = """
CREATE TABLE parts (id int, day int, PRIMARY KEY (day, id)) PARTITION BY LIST (day);
CREATE TABLE part1 PARTITION OF parts FOR VALUES IN (1);
CREATE TABLE part2 PARTITION OF parts FOR VALUES IN (2);
INSERT INTO parts VALUES (1, 1), (1, 2), (2, 2);
CREATE TABLE uses (id int, day int, part int,
    FOREIGN KEY (day, part) REFERENCES parts ON DELETE CASCADE) PARTITION BY LIST (id);
CREATE TABLE use1 PARTITION OF uses FOR VALUES IN (1, 2, 3);
INSERT INTO uses VALUES (1, 1, 1), (2, 2, 1), (3, 2, 1)
"""
HOOK = """
CREATE TABLE other (id int);
CREATE FUNCTION swept() RETURNS trigger LANGUAGE plpgsql
    AS 'BEGIN DELETE FROM other; RETURN OLD; END';
CREATE TABLE a (id int PRIMARY KEY);
CREATE TABLE b (a int REFERENCES a ON DELETE SET NULL)
"""
ROWS = "INSERT INTO a VALUES (1); INSERT INTO b VALUES (1), (1)"


def planned(here: Here, schema: str, statement: str) -> flow.MigrationPlan:
    here.project.write("0001", schema)
    here.go()
    here.project.write("0002", statement)
    return flow.plan_migration(here.target, "upgrade", None)


def unknown_rows(code: str) -> str:
    return f"0002 takes away rows of unknown tables: an unknown number of rows ({code} may delete)"


def test_rows_that_a_policy_hides_are_unknown_and_asked_about(
    here: Here, capsys: pytest.CaptureFixture[str]
) -> None:
    """A forced policy would make it 0 rows, which nobody is asked about; without it all count."""
    here.project.write("0001", HIDDEN, "DROP TABLE notes")
    here.go()
    assert [loss.rows for loss in flow.plan_migration(here.target, "downgrade", None).losses] == [9]
    here.project.ask("ALTER TABLE notes FORCE ROW LEVEL SECURITY")
    (document,) = flow.plan_migration(here.target, "downgrade", None).document["losses"]
    assert (document["what"], document["rows"]) == ("table notes", None)
    assert document["why"] == "row-level security"
    with pytest.raises(Refused, match="rows are lost"):
        here.go("downgrade", yes=False)
    said = capsys.readouterr().err
    assert "takes away table notes: an unknown number of rows (row-level security)" in said
    assert here.project.ask("SELECT to_regclass('notes')") == [("notes",)]


def test_a_hidden_version_is_no_empty_database(here: Here) -> None:
    """A forced policy on alembic_version must not make a migrated database look new."""
    here.project.write("0001", "CREATE TABLE a (id int)")
    here.go()
    here.project.ask(f"ALTER TABLE alembic_version {FORCED}")
    with pytest.raises(Unreachable, match="row-level security") as caught:
        revision_status(here.target)
    assert "BYPASSRLS" in caught.value.next


def test_foreign_keys_are_followed_and_counted(
    here: Here, capsys: pytest.CaptureFixture[str]
) -> None:
    """The numbers of ON DELETE CASCADE are those that really go, over two paths to one table."""
    found = planned(here, FAMILY, "DELETE FROM public.customers c WHERE gone RETURNING id")
    assert {loss.what: loss.rows for loss in found.losses} == {
        "rows of public.customers c WHERE gone RETURNING id": 2,
        "rows of lines (ON DELETE CASCADE)": 52,
        "rows of orders (ON DELETE CASCADE)": 20,
        "the values of visits.customer (ON DELETE SET NULL)": 1,
        "the values of visits.at_order (ON DELETE SET DEFAULT)": 1,
    }
    held = {lock.table: lock.mode for lock in forecast(here.target, found).locks}
    tables = ("public.customers", "orders", "lines", "visits")
    assert held == dict.fromkeys(tables, "ROW EXCLUSIVE")
    with pytest.raises(Refused, match="rows are lost"):
        here.go(yes=False)
    said = capsys.readouterr().err
    assert "0002 takes away rows of orders (ON DELETE CASCADE): 20 rows" in said
    here.go()
    left = [here.project.ask(f"SELECT count(*) FROM {table}")[0][0] for table in tables]
    assert left == [7, 20, 50, 3]


@pytest.mark.parametrize(
    ("schema", "statement", "found"),
    [
        (FAMILY, "DELETE FROM customers WHERE id = 100", [0]),
        (FAMILY, "DELETE FROM visits", [3]),
        (FAMILY, "TRUNCATE orders CASCADE", [40, ("lines", 102), ("visits", 3)]),
        (
            FAMILY,
            "DELETE FROM customers USING orders o WHERE o.customer = customers.id",
            [None, ("lines", None), ("orders", None), ("visits", None), ("visits", None)],
        ),
        (TREE, "DELETE FROM nodes WHERE id = 1", [1, ("nodes", None)]),
        (TREE, "DELETE FROM nodes WHERE id = 9", [0]),
        (PARTS, "DELETE FROM part2 WHERE id = 1", [1, ("uses", 2)]),
        (PARTS, "DELETE FROM parts", [3, ("uses", 3)]),
    ],
)
def test_what_else_is_lost(here: Here, schema: str, statement: str, found: list[Any]) -> None:
    """Cycles and joins are unknown; a partition counts as its table; no deleted row, no cascade."""
    first, *others = planned(here, schema, statement).losses
    assert first.rows == found[0] and len(others) == len(found) - 1
    for loss, (table, rows) in zip(others, found[1:], strict=True):
        assert f" {table}" in loss.what and loss.rows == rows


@pytest.mark.parametrize(
    ("hook", "statement", "said"),
    [
        (
            f"{ROWS}; CREATE TRIGGER t BEFORE DELETE ON b FOR EACH ROW EXECUTE FUNCTION swept()",
            "DELETE FROM b",
            "at least 2 rows (trigger t on b)",
        ),
        (
            "CREATE TRIGGER t BEFORE DELETE ON b FOR EACH ROW EXECUTE FUNCTION swept()",
            "DELETE FROM b",
            "0 rows",
        ),
        (
            "CREATE TRIGGER t AFTER TRUNCATE ON b EXECUTE FUNCTION swept()",
            "TRUNCATE b",
            "at least 0 rows (trigger t on b)",
        ),
        (
            'CREATE RULE "R" AS ON DELETE TO b DO ALSO DELETE FROM other',
            "DELETE FROM b",
            'at least 0 rows (rule "R" on b)',
        ),
        (f"{ROWS}; CREATE VIEW v AS SELECT a FROM b", "DELETE FROM v", "at least 2 rows (view v)"),
        (
            f"{ROWS}; CREATE TRIGGER t AFTER UPDATE ON b FOR EACH ROW EXECUTE FUNCTION swept()",
            "DELETE FROM a",
            "at least 2 rows (trigger t on b)",
        ),
    ],
)
def test_triggers_and_rules_make_a_number_a_lower_bound(
    here: Here, hook: str, statement: str, said: str
) -> None:
    """It is asked about even at 0 rows, and the locks are unknown; row triggers need a row."""
    found = planned(here, f"{HOOK}; {hook}", statement)
    assert found.losses[-1].as_text().endswith(f": {said}")
    assert found.loses_rows is ("at least" in said)
    (unknown,) = forecast(here.target, found).as_document()["locks_unknown"]
    assert unknown["revision"] == "0002"
    assert "at least" not in said or f"({unknown['why']})" in said


def test_foreign_keys_and_triggers_of_the_plan_count_too(here: Here) -> None:
    """What an earlier revision adds to existing tables is not in the catalog yet, nor a later
    one.
    """
    rows = "INSERT INTO c VALUES (1), (2); INSERT INTO d VALUES (1), (1), (2)"
    here.project.write(
        "0001", f"{HOOK}; CREATE TABLE c (id int PRIMARY KEY); CREATE TABLE d (c int); {rows}"
    )
    here.go()
    here.project.write("0002", "DELETE FROM c WHERE id = 3")
    key = "FOREIGN KEY (c) REFERENCES public.c (id) ON DELETE CASCADE"
    trigger = "CREATE TRIGGER t AFTER DELETE ON d FOR EACH ROW EXECUTE FUNCTION swept()"
    here.project.write("0003", f"ALTER TABLE d ADD CONSTRAINT later {key}; {trigger}")
    here.project.write("0004", "DELETE FROM c WHERE id = 1")
    found = flow.plan_migration(here.target, "upgrade", None)
    assert [loss.as_text().partition(" takes away ")[2] for loss in found.losses] == [
        "rows of c WHERE id = 3: 0 rows",
        "rows of c WHERE id = 1: 1 row",
        "rows of d (ON DELETE CASCADE): at least 2 rows (trigger t on d)",
    ]
    ahead = forecast(here.target, found)
    assert ("0004", "d", "ROW EXCLUSIVE") in {
        (each.revision, each.table, each.mode) for each in ahead.locks
    }
    assert list(ahead.unknown) == ["0004"]


def test_other_writes_set_off_triggers_too(here: Here) -> None:
    """What an INSERT's trigger deletes and locks is unknown; a duration is estimated."""
    trigger = "CREATE TRIGGER t AFTER INSERT ON a FOR EACH ROW EXECUTE FUNCTION swept()"
    found = planned(here, f"{HOOK}; {trigger}", "INSERT INTO a VALUES (1)")
    ahead = forecast(here.target, found)
    assert "0002 runs trigger t on a: its locks are unknown" in ahead.as_text()
    assert [loss.as_text() for loss in found.losses] == [unknown_rows("trigger t on a")]
    assert ahead.as_document()["expected_s"] is not None


CODE = """
CREATE TABLE t (id int, at timestamptz, other int);
INSERT INTO t VALUES (1);
CREATE FUNCTION f_wipe() RETURNS int LANGUAGE sql AS 'DELETE FROM t; SELECT 1';
CREATE FUNCTION f_calls() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN f_wipe(); END';
CREATE FUNCTION f_plain() RETURNS int LANGUAGE plpgsql AS 'BEGIN PERFORM now(); RETURN 1; END';
CREATE FUNCTION wiping() RETURNS trigger LANGUAGE plpgsql
    AS 'BEGIN DELETE FROM t; RETURN NEW; END';
CREATE FUNCTION stamped() RETURNS trigger LANGUAGE plpgsql
    AS $$ BEGIN IF TG_OP <> 'DELETE' THEN NEW.at = now(); END IF; RETURN NEW; END $$;
CREATE TABLE t_trg (id int);
CREATE TRIGGER g AFTER UPDATE ON t_trg FOR EACH ROW EXECUTE FUNCTION wiping();
CREATE TABLE t_stamp (id int, at timestamptz);
CREATE TRIGGER s BEFORE INSERT OR UPDATE ON t_stamp FOR EACH ROW EXECUTE FUNCTION stamped();
CREATE TABLE t_rule (id int);
CREATE RULE r AS ON INSERT TO t_rule DO ALSO DELETE FROM t
"""


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("SELECT f_wipe()", "function f_wipe()"),
        ("SELECT public.f_wipe()", "function public.f_wipe()"),
        ("SELECT f_calls()", "function f_calls()"),
        ("PREPARE z AS SELECT f_wipe()", "function f_wipe()"),
        ("WITH x AS (SELECT f_wipe()) SELECT 1", "function f_wipe()"),
        ("CREATE TABLE n AS SELECT f_wipe()", "function f_wipe()"),
        ("INSERT INTO t SELECT f_wipe()", "function f_wipe()"),
        ("ALTER TABLE t ADD COLUMN n int DEFAULT f_wipe()", "function f_wipe()"),
        ("DO $$ DECLARE x int; BEGIN x := f_wipe(); END $$", "function f_wipe()"),
        (
            "CREATE FUNCTION new() RETURNS int LANGUAGE sql AS 'DELETE FROM t; SELECT 1'; "
            "SELECT new()",
            "function new()",
        ),
        ("UPDATE t_trg SET id = 2", "trigger g on t_trg"),
        ("EXPLAIN ANALYZE UPDATE t_trg SET id = 2", "trigger g on t_trg"),
        ("INSERT INTO t_rule VALUES (1)", "rule r on t_rule"),
    ],
)
def test_code_that_may_delete_is_asked_about(here: Here, statement: str, code: str) -> None:
    """Functions, triggers and rules that delete: an unknown number of rows; locks unknown too."""
    found = planned(here, CODE, statement)
    assert [loss.as_text() for loss in found.losses] == [unknown_rows(code)]
    assert found.loses_rows
    (unknown,) = forecast(here.target, found).as_document()["locks_unknown"]
    assert code in unknown["why"] or "a DO block" in unknown["why"]


@pytest.mark.parametrize(
    "statement",
    [
        "EXPLAIN ANALYZE DELETE FROM t",
        "PREPARE z AS DELETE FROM t; EXECUTE z",
        "COPY (DELETE FROM t RETURNING id) TO STDOUT",
        "CREATE TABLE n AS SELECT 1; INSERT INTO n WITH x AS (DELETE FROM t RETURNING 1) SELECT 1",
    ],
)
def test_a_delete_within_a_statement_is_asked_about(here: Here, statement: str) -> None:
    """It is not counted, so its rows are unknown."""
    (loss,) = planned(here, CODE, statement).losses
    assert loss.rows is None and loss.loses_rows


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT now(), gen_random_uuid(), count(*), coalesce(max(id), 1) FROM t",
        "SELECT setval(pg_get_serial_sequence('t', 'id'), 1)",
        "SELECT f_plain()",
        "EXPLAIN DELETE FROM t",
        "INSERT INTO t_stamp VALUES (1)",
        "UPDATE t_stamp SET id = 2",
        "CREATE VIEW v AS SELECT f_wipe()",
        "UPDATE t SET id = 2 WHERE lower('DELETE') = 'x'",
    ],
)
def test_code_that_deletes_nothing_is_not_asked_about(here: Here, statement: str) -> None:
    """Built-in functions, and triggers like the usual updated_at one."""
    assert planned(here, CODE, statement).losses == ()


@pytest.mark.parametrize(("only", "said"), [("", "3 rows"), ("ONLY ", "1 row")])
def test_truncate_only_leaves_the_children(here: Here, only: str, said: str) -> None:
    """The children's rows are not announced."""
    schema = (
        "CREATE TABLE p (id int); CREATE TABLE c () INHERITS (p); "
        "INSERT INTO p VALUES (1); INSERT INTO c VALUES (2), (3)"
    )
    (loss,) = planned(here, schema, f"TRUNCATE {only}p").losses
    assert loss.as_text() == f"0002 takes away all rows of table p: {said}"
