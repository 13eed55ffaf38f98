"""Which locks a statement takes, by table (PostgreSQL's documentation, "Explicit Locking" and
"ALTER TABLE").
"""

from __future__ import annotations

import pytest

from ops.migrations.rules.statements import parse
from ops.migrations.rules.table_locks import TableFacts, locks, relation_names, unknown_locks


@pytest.mark.parametrize(
    ("sql", "taken"),
    [
        ("ALTER TABLE public.a ADD COLUMN b text", [("public.a", "ACCESS EXCLUSIVE", "")]),
        ("ALTER TABLE a ADD COLUMN b int DEFAULT 7", [("a", "ACCESS EXCLUSIVE", "")]),
        (
            "ALTER TABLE a ADD COLUMN b uuid DEFAULT gen_random_uuid()",
            [("a", "ACCESS EXCLUSIVE", "rewrites")],
        ),
        ("ALTER TABLE a ADD COLUMN b timestamptz DEFAULT now()", [("a", "ACCESS EXCLUSIVE", "")]),
        ("ALTER TABLE a ALTER COLUMN b TYPE bigint", [("a", "ACCESS EXCLUSIVE", "rewrites")]),
        ("ALTER TABLE a ALTER COLUMN b SET NOT NULL", [("a", "ACCESS EXCLUSIVE", "reads")]),
        ("ALTER TABLE a ADD CONSTRAINT c CHECK (b > 0)", [("a", "ACCESS EXCLUSIVE", "reads")]),
        ("ALTER TABLE a ADD CONSTRAINT c CHECK (b > 0) NOT VALID", [("a", "ACCESS EXCLUSIVE", "")]),
        ("ALTER TABLE a VALIDATE CONSTRAINT c", [("a", "SHARE UPDATE EXCLUSIVE", "reads")]),
        (
            "ALTER TABLE a ADD FOREIGN KEY (b) REFERENCES d (id)",
            [("a", "SHARE ROW EXCLUSIVE", "reads"), ("d", "SHARE ROW EXCLUSIVE", "")],
        ),
        ("CREATE INDEX i ON a (b)", [("a", "SHARE", "reads")]),
        ("CREATE INDEX CONCURRENTLY i ON a (b)", [("a", "SHARE UPDATE EXCLUSIVE", "reads")]),
        ("DROP TABLE a, b", [("a", "ACCESS EXCLUSIVE", ""), ("b", "ACCESS EXCLUSIVE", "")]),
        ("DROP TRIGGER t ON a", [("a", "ACCESS EXCLUSIVE", "")]),
        ("UPDATE a SET b = 1", [("a", "ROW EXCLUSIVE", "writes")]),
        ("UPDATE a SET b = 1 WHERE c = 2", [("a", "ROW EXCLUSIVE", "")]),
        ("LOCK TABLE a IN SHARE MODE", [("a", "SHARE", "")]),
        (
            "UPDATE a SET b = 1; ALTER TABLE a ADD COLUMN c text",
            [("a", "ACCESS EXCLUSIVE", "writes")],
        ),
        ("CREATE TABLE a (id bigint); CREATE INDEX i ON a (id)", []),
        ("REFRESH MATERIALIZED VIEW CONCURRENTLY v", [("v", "EXCLUSIVE", "rewrites")]),
        ("VACUUM FULL a", [("a", "ACCESS EXCLUSIVE", "rewrites")]),
        ("REINDEX TABLE CONCURRENTLY a", [("a", "SHARE UPDATE EXCLUSIVE", "reindexes")]),
        (
            "ALTER TABLE p DETACH PARTITION a CONCURRENTLY",
            [("p", "SHARE UPDATE EXCLUSIVE", ""), ("a", "ACCESS EXCLUSIVE", "")],
        ),
        (
            "ALTER TABLE a ADD COLUMN b bigint REFERENCES d",
            [("a", "ACCESS EXCLUSIVE", ""), ("d", "SHARE ROW EXCLUSIVE", "")],
        ),
        ("CREATE TABLE b (a bigint REFERENCES a)", [("a", "SHARE ROW EXCLUSIVE", "")]),
        (
            'ALTER TABLE s."Camel" ADD COLUMN b bigserial',
            [('s."Camel"', "ACCESS EXCLUSIVE", "rewrites")],
        ),
        ("ALTER POLICY p ON a USING (true)", [("a", "ACCESS EXCLUSIVE", "")]),
        ("CREATE MATERIALIZED VIEW m AS SELECT 1; REFRESH MATERIALIZED VIEW m", []),
        ("CREATE INDEX i ON a (b); DROP INDEX i", [("a", "SHARE", "reads")]),
        ("REINDEX SCHEMA s", []),
        ("SELECT 1", []),
    ],
)
def test_locks(sql: str, taken: list[tuple[str, str, str]]) -> None:
    """The strongest lock on each table that was there before, and whether every row is read or
    written meanwhile.
    """
    assert [(lock.table, lock.mode, lock.work) for lock in locks("0007", parse(sql))] == taken


def test_an_index_is_dropped_and_rebuilt_under_its_tables_lock() -> None:
    """Whose it is stands in the database; where that is not known, the index itself is named."""
    known = TableFacts(indexes={"public.i": "public.a"})
    dropped, rebuilt = parse("DROP INDEX public.i"), parse("REINDEX INDEX public.i")
    assert relation_names(dropped) == {"public.i"}
    assert [each.as_text() for each in locks("7", dropped, known)] == [
        "7 takes ACCESS EXCLUSIVE on public.a (blocks reads and writes)"
    ]
    (lock,) = locks("7", rebuilt, known)
    assert (lock.table, lock.mode, lock.blocks) == (
        "public.a",
        "SHARE",
        "blocks writes, and most reads",
    )
    assert "on the table of index public.i" in locks("7", dropped)[0].as_text()


def test_a_type_that_only_gets_wider_writes_nothing_where_it_is_known() -> None:
    """varchar(100) to varchar(200), or to text: no row is touched; without knowledge of the column
    it is taken for a rewrite.
    """
    known = TableFacts(types={"a": {"b": "character varying(100)"}})
    for sql, kept in (
        ("varchar(200)", True),
        ("text", True),
        ("varchar(50)", False),
        ("text USING upper(b)", False),
        ("text[]", False),
    ):
        statements = parse(f"ALTER TABLE a ALTER COLUMN b TYPE {sql}")
        assert [lock.work for lock in locks("7", statements, known)] == [
            "" if kept else "rewrites"
        ], sql
        assert [lock.work for lock in locks("7", statements)] == ["rewrites"]


def test_what_was_there_before_is_locked_though_it_is_made_if_it_is_not() -> None:
    """CREATE TABLE IF NOT EXISTS on a database that has the table; and one that an earlier revision
    of the plan makes.
    """
    both = parse("CREATE TABLE IF NOT EXISTS a (id bigint); ALTER TABLE a ADD COLUMN b text")
    assert (
        locks("7", both) == () and len(locks("7", both, TableFacts(tables=frozenset({"a"})))) == 1
    )
    assert locks("8", parse("CREATE INDEX i ON a (b)"), TableFacts(new=frozenset({"a"}))) == ()


def test_code_locks_what_nobody_can_read() -> None:
    """A DO block and a procedure are named, not passed over."""
    assert (
        unknown_locks(parse("DO $$ BEGIN END $$; CALL p(); CALL q()")) == "a DO block, a procedure"
    )
    assert unknown_locks(parse("DROP SCHEMA s CASCADE; DROP OWNED BY ann")) == "DROP … CASCADE"
    assert unknown_locks(parse("SELECT 1; DROP TABLE a CASCADE; DROP TYPE t")) == ""
