"""What a way back costs, and how two dumps differ, by table."""

from __future__ import annotations

import pytest

from ops.migrations.rules.data_loss import created_by_plan, losses, may_drop, renamed_to
from ops.migrations.rules.dump_diff import differences
from ops.migrations.rules.statements import controls_transactions
from ops.migrator.revisions.sql_tokens import psql_command, statements, whole_statements


@pytest.mark.parametrize(
    ("sql", "found"),
    [
        ("DROP TABLE a", {"table a": "SELECT count(*) FROM a"}),
        (
            'DROP TABLE IF EXISTS public."A,b", c',
            {
                'table public."A,b"': 'SELECT count(*) FROM public."A,b"',
                "table c": "SELECT count(*) FROM c",
            },
        ),
        ("ALTER TABLE ONLY t DROP COLUMN x", {"column t.x": "SELECT count(x) FROM t"}),
        (
            'ALTER TABLE public.t DROP "imageUrl", DROP COLUMN IF EXISTS y CASCADE',
            {
                'column public.t."imageUrl"': 'SELECT count("imageUrl") FROM public.t',
                "column public.t.y": "SELECT count(y) FROM public.t",
            },
        ),
        ("ALTER TABLE t DROP CONSTRAINT c, ALTER COLUMN x DROP NOT NULL, ALTER y DROP DEFAULT", {}),
        (
            "ALTER TABLE t ALTER COLUMN x TYPE int USING x::int",
            {"the old form of column t.x": "SELECT count(x) FROM t"},
        ),
        (
            "TRUNCATE a, b",
            {
                "all rows of table a": "SELECT count(*) FROM a",
                "all rows of table b": "SELECT count(*) FROM b",
            },
        ),
        (
            "DELETE FROM t WHERE s = 'DROP TABLE x' RETURNING id",
            {
                "rows of t WHERE s = 'DROP TABLE x' RETURNING id": "SELECT count(*) FROM t WHERE s = 'DROP TABLE x'"
            },
        ),
        (
            "DROP FUNCTION f(); DROP TYPE mood; DROP INDEX i; DROP TRIGGER g ON t; SELECT "
            "'DROP TABLE x'",
            {},
        ),
        ("BEGIN; DELETE FROM alembic_version WHERE alembic_version.version_num = '1'; COMMIT", {}),
        ("-- DROP TABLE a\n/* DROP /* TABLE */ b */ SELECT 1", {}),
    ],
)
def test_what_is_dropped_is_found(sql: str, found: dict[str, str]) -> None:
    """Tables, columns and rows with the question that counts them; functions, comments and strings
    are none.
    """
    assert {loss.what: loss.query for loss in losses("1", statements(sql))} == found


@pytest.mark.parametrize(
    "sql",
    [
        "DO $$ BEGIN EXECUTE 'DROP TABLE a'; END $$",
        "DROP SCHEMA s CASCADE",
        "DROP TYPE t CASCADE",
        "CALL p()",
        "WITH gone AS (DELETE FROM t RETURNING *) SELECT 1",
        "MERGE INTO t USING s ON t.i = s.i WHEN MATCHED THEN DELETE",
        "DO $$ BEGIN EXECUTE (SELECT words FROM orders); END $$",
        "DO $$ BEGIN EXECUTE format(how, 'a'); END $$",
        "DO $$ BEGIN ALTER TABLE a ALTER b TYPE int USING 0; END $$",
    ],
)
def test_what_cannot_be_read_is_never_nothing(sql: str) -> None:
    """Code and cascades are a loss of unknown size, so they are asked about."""
    (loss,) = losses("1", statements(sql))
    assert loss.rows is None and loss.loses_rows and "unknown number" in loss.as_text()


@pytest.mark.parametrize(
    "sql",
    [
        "DO $$ BEGIN IF x IS NULL THEN ALTER TABLE a ADD PRIMARY KEY (id); END IF; END $$",
        "DO $$ BEGIN EXECUTE format('ALTER TABLE a RENAME CONSTRAINT %I TO b', x); EXECUTE "
        "'SELECT 1'; END $$",
        "DO $$ BEGIN CREATE TRIGGER t BEFORE UPDATE ON a FOR EACH ROW EXECUTE FUNCTION f(); END $$",
        "INSERT INTO a VALUES (1) ON CONFLICT DO NOTHING",
    ],
)
def test_a_block_that_only_adds_is_no_loss(sql: str) -> None:
    """Code that speaks of nothing that is dropped, and makes up no SQL, asks nobody."""
    assert losses("1", statements(sql)) == ()


def test_what_the_plan_makes_itself_is_told_from_what_it_renames() -> None:
    """A table that is not there yet holds nothing, unless it is one that is there by another name;
    most SQL has no suspect word at all.
    """
    names = renamed_to(
        statements(
            'ALTER TABLE a RENAME TO b; ALTER TABLE ONLY t RENAME COLUMN x TO "Y"; ALTER '
            "TABLE t SET SCHEMA old"
        )
    )
    assert names == {"b", '"Y"', "old"}
    for sql, made in (
        ("DROP TABLE B", False),
        ("DROP TABLE c", True),
        ('ALTER TABLE t DROP "Y"', False),
        ("DROP TABLE old.t", False),
    ):
        (loss,) = losses("1", statements(sql))
        assert may_drop(sql) and created_by_plan(loss, names) is made
    assert not may_drop(
        "-- Running upgrade 1 -> 2\nCREATE TABLE a (id bigint); UPDATE alembic_version SET "
        "version_num='2'"
    )


def test_a_revision_that_cannot_be_printed_is_a_loss_of_unknown_size() -> None:
    """A downgrade of Python that reads the database first."""
    (loss,) = losses("0007", (), "AttributeError: no connection")
    assert loss.loses_rows and "0007" in loss.as_text()
    assert not loss.with_rows(0).loses_rows and "1 row" in loss.with_rows(1).as_text()


def test_statements_are_told_apart() -> None:
    """Semicolons in strings, names, bodies and comments end nothing."""
    sql = "SELECT ';', \";\", $x$ ; $$ ; $x$, E'\\';' -- ;\n;\n/* ; /* ; */ */ SELECT\n\t 2 ;;"
    assert statements(sql) == ("SELECT ';', \";\", $x$ ; $$ ; $x$, E'\\';'", "SELECT 2")


@pytest.mark.parametrize(
    ("sql", "own", "psql"),
    [
        ("BEGIN;\nSELECT 1;\nCOMMIT;", True, None),
        ("start transaction; commit and chain", True, None),
        ("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $$ BEGIN; COMMIT; $$", False, None),
        ("-- BEGIN;\nSELECT 'COMMIT;'", False, None),
        ("CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT 2; END", False, None),
        ("DO $$ BEGIN COMMIT; END $$", True, None),
        ("SELECT '\n\\i no \\gexec'", False, None),
        ("-- \\d a\nSELECT 1 /* \\gexec */", False, None),
    ],
)
def test_what_a_legacy_file_does_by_itself(sql: str, own: bool, psql: str | None) -> None:
    """Its own transactions, and commands of psql; not those in strings and bodies."""
    assert controls_transactions(sql) == own
    assert psql_command(sql) == psql


@pytest.mark.parametrize(
    ("sql", "command"),
    [
        ("\\set ON_ERROR_STOP on\nSELECT 1", "\\set"),
        ("SELECT 'CREATE INDEX i ON a (t)' \\gexec", "\\gexec"),
        ("SELECT 1 \\; SELECT 2;", "\\;"),
    ],
)
def test_psql_commands_are_found_anywhere(sql: str, command: str) -> None:
    assert psql_command(sql) == command


ATOMIC = "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC {}; END"


@pytest.mark.parametrize(
    "body", ["SELECT 1", "SELECT CASE 1 WHEN 1 THEN 2 END", "SELECT 1; SELECT 2"]
)
def test_a_body_of_statements_is_one_statement(body: str) -> None:
    """Neither its END nor its inner statements count; what follows does."""
    kind, last = whole_statements(f"{ATOMIC.format(body)}; DROP TABLE a;")
    assert kind.startswith("CREATE FUNCTION") and last == "DROP TABLE a"


def test_the_words_of_a_body_in_a_literal_begin_nothing() -> None:
    text = "CREATE FUNCTION f() RETURNS int AS $$ BEGIN ATOMIC x $$; DROP TABLE a"
    assert list(whole_statements(text))[-1] == "DROP TABLE a"


def dump(**objects: str) -> str:
    parts = [
        f"--\n-- Name: {name}; Type: {kind}; Schema: public; Owner: me\n--\n\n{kind} body;\n"
        for name, kind in objects.items()
    ]
    return "\n".join(["-- Dumped by pg_dump", "\\restrict abc", *parts, "\\unrestrict abc"])


def test_dumps_differ_by_object() -> None:
    """What is left, missing and otherwise is named; noise is not."""
    assert differences(dump(a="TABLE"), dump(a="TABLE").replace("abc", "xyz")) == ()
    assert differences(dump(a="TABLE"), dump(a="TABLE", mood="TYPE")) == (
        "TYPE public.mood is left",
    )
    assert differences(dump(a="TABLE", s="SEQUENCE"), dump(a="TABLE")) == (
        "SEQUENCE public.s is missing",
    )
    (changed,) = differences(
        dump(f="FUNCTION"), dump(f="FUNCTION").replace("FUNCTION body", "FUNCTION other")
    )
    assert changed == "FUNCTION public.f differs: FUNCTION body; became FUNCTION other;"


def test_a_column_that_came_back_stands_last() -> None:
    """PostgreSQL can't put it where it was: the same columns in another order are the same table;
    another column is not.
    """
    before = dump(a="TABLE").replace("TABLE body;", "CREATE TABLE a (\n    x text,\n    y text\n);")
    after = before.replace("    x text,\n    y text\n", "    y text,\n    x text\n")
    assert differences(before, after) == ()
    assert differences(before, after.replace("x text", "x integer")) != ()
