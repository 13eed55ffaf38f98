"""What the linter says of SQL, by table: squawk's findings weighed, and our own."""

from __future__ import annotations

from typing import Any

import pytest

from ops.migrations.rules.lint import LintProblem, RevisionScript, format_problems, problems
from ops.migrations.rules.statements import indexes_by_table, parse

WARNED = LintProblem(
    "0007",
    "ban-drop-column",
    "warning",
    3,
    "ALTER TABLE a DROP COLUMN b",
    "Dropping a column may break existing clients.",
)


def rules(script: RevisionScript, *found: LintProblem) -> list[tuple[str, str, bool]]:
    return [(each.rule, each.level, each.waived is not None) for each in problems(script, found)]


@pytest.mark.parametrize(
    ("sql", "rule"),
    [
        ("UPDATE a SET b = 1", "whole-table-write"),
        ("DELETE FROM a", "whole-table-write"),
        ("UPDATE a SET b = 1 WHERE c = 2", None),
        ("UPDATE a SET b = 1 WHERE true", "whole-table-write"),
        ("DELETE FROM a WHERE 1 = 1", "whole-table-write"),
        ("DELETE FROM a WHERE false", None),
        ("TRUNCATE a", "truncate"),
        ("LOCK TABLE a", "lock-table"),
        ("VACUUM FULL a", "vacuum-full"),
        ("VACUUM a", None),
        ("CLUSTER a USING i", "cluster"),
        ("DROP TABLE a CASCADE", "drop-cascade"),
        ("DROP VIEW v", None),
        ("CREATE INDEX CONCURRENTLY i ON a (b)", None),
        ("CREATE INDEX CONCURRENTLY i ON a (b); SELECT 1", "concurrently-not-alone"),
        ("ALTER TYPE mood ADD VALUE 'x'", None),
        ("ALTER TYPE mood ADD VALUE 'x'; UPDATE a SET m = 'x' WHERE c", "enum-value-not-alone"),
        ("CREATE TABLE t (id bigint); UPDATE t SET id = 1", None),
        ("SELEC 1", "syntax-error"),
        ("SELECT 1; COMMIT", "transaction-control"),
        ("SELECT 1; END; ", "transaction-control"),
        ("SELECT 1; ROLLBACK AND CHAIN", "transaction-control"),
        ("ABORT", "transaction-control"),
        ("SELECT 1; START TRANSACTION", "transaction-control"),
        ("PREPARE TRANSACTION 'x'", "transaction-control"),
        ("DO $$ BEGIN IF true THEN COMMIT; END IF; END $$", "transaction-control"),
        ("DO $$ BEGIN PERFORM 1; END $$", None),
        ("DO LANGUAGE plpython3u 'import os'", None),
        ("CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; END", None),
        ("SAVEPOINT s; ROLLBACK TO s; RELEASE s", None),
        ("COMMIT /* Alembic */; BEGIN; SELECT 1; COMMIT; BEGIN /* Alembic */", None),
        ("COMMIT /* Alembic */; SELECT 1; BEGIN /* Alembic */; ROLLBACK", "transaction-control"),
    ],
)
def test_our_own_rules(sql: str, rule: str | None) -> None:
    """Each danger by its name; the same on a table that the revision itself makes is none."""
    assert rules(RevisionScript("0007", sql)) == ([(rule, "error", False)] if rule else [])


DETACH = "ALTER TABLE ev DETACH PARTITION ev_2025 CONCURRENTLY"
INDEX = "CREATE INDEX CONCURRENTLY i ON {} (id)"
DROP = "DROP INDEX CONCURRENTLY {}"
ON_PARTITIONED = ("concurrent-index-on-partitioned", "error", False)
OF_PARTITIONED = ("concurrent-drop-of-partitioned-index", "error", False)


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        (DETACH, [("detach-left-pending", "warning", False)]),
        ("ALTER TABLE ev DETACH PARTITION ev_2025", []),
        ("ALTER TABLE ev DETACH PARTITION ev_2025 FINALIZE", []),
        (INDEX.format("ev"), [ON_PARTITIONED]),
        (INDEX.format("ONLY public.ev"), [ON_PARTITIONED]),
        (INDEX.format("other.ev"), []),
        (INDEX.format("ev_2025"), []),
        ("CREATE INDEX i ON ONLY ev (id)", []),
        (DROP.format("ev_id"), [OF_PARTITIONED]),
        (DROP.format("IF EXISTS public.ev_id"), [OF_PARTITIONED]),
        (DROP.format("other.ev_id"), []),
        (DROP.format("ev_2025_id_idx"), []),
        ("DROP INDEX ev_id", []),
        ("REINDEX INDEX CONCURRENTLY ev_id", []),
    ],
)
def test_what_concurrently_leaves_half_done(
    sql: str, expected: list[tuple[str, str, bool]]
) -> None:
    """A detach is named beforehand, and an index that PostgreSQL refuses is an error."""
    known = frozenset({"public.ev", "public.ev_id"})
    found = problems(RevisionScript("0007", sql), (), known)
    assert [(each.rule, each.level, each.waived is not None) for each in found] == expected


@pytest.mark.parametrize(
    ("sql", "name"),
    [
        ("CREATE INDEX i ON ev (id)", "i"),
        ("CREATE INDEX i ON public.ev (id)", "public.i"),
        ("CREATE INDEX ON ONLY public.ev (id, at)", "public.ev_id_at_idx"),
        ("CREATE UNIQUE INDEX ON ev ((id + 1)) INCLUDE (at)", "ev_expr_at_idx"),
        ('CREATE INDEX "I" ON ev (id)', '"I"'),
    ],
)
def test_an_index_without_a_name_has_postgresqls(sql: str, name: str) -> None:
    ((index, _),) = indexes_by_table(parse(sql))
    assert index == name


@pytest.mark.parametrize(
    ("sql", "rule", "kept"),
    [
        ("DROP INDEX ev_id", "require-concurrent-index-deletion", False),
        ("DROP INDEX a_id", "require-concurrent-index-deletion", True),
        ("CREATE INDEX i ON ONLY ev (id)", "require-concurrent-index-creation", False),
        ("CREATE INDEX i ON ev (id)", "require-concurrent-index-creation", True),
        ("CREATE INDEX i ON a (id)", "require-concurrent-index-creation", True),
    ],
)
def test_concurrently_is_not_advised_where_postgresql_refuses_it(
    sql: str, rule: str, kept: bool
) -> None:
    known = frozenset({"public.ev", "public.ev_id"})
    row = LintProblem("0007", rule, "warning", 3, "", "add CONCURRENTLY")
    found = problems(RevisionScript("0007", f"SELECT 1;\n\n{sql};"), (row,), known)
    assert [each.rule for each in found] == ([rule] if kept else [])


def test_a_transaction_that_stays_prepared_is_an_error() -> None:
    """Outside of the revision's transaction too, where COMMIT is allowed."""
    control = "BEGIN;\nCREATE TABLE a (id bigint);\n{};\n"
    outside = "BEGIN /* Alembic */;\nCOMMIT /* Alembic */;\n" + control
    for end, expected in [("COMMIT", []), ("PREPARE TRANSACTION 'x'", ["prepared-transaction"])]:
        found = problems(RevisionScript("0007", outside.format(end)), ())
        assert [each.rule for each in found] == expected


@pytest.mark.parametrize("letters", ["e", "é", "ää", "ñ😀", "日本語の説明" * 9])
def test_letters_of_any_language_leave_statements_whole(letters: str) -> None:
    """Neither is Alembic's COMMIT taken for the revision's, nor a statement cut within a letter."""
    seed = f"INSERT INTO a VALUES ('{letters}')"
    detach = f'ALTER TABLE ev DETACH PARTITION "{letters}" CONCURRENTLY'
    sql = (
        f"BEGIN /* Alembic */;\n\n-- {letters}\n\n{seed};\n\nCOMMIT /* Alembic */;\n\n{detach};\n\n"
        "BEGIN /* Alembic */;\n\nINSERT INTO alembic_version (version_num) VALUES ('0007');\n\n"
        f"UPDATE a SET b = '{letters}';\n\nCOMMIT /* Alembic */;\n"
    )
    found = problems(RevisionScript("0007", sql), ())
    assert [(each.rule, each.line) for each in found] == [
        ("concurrently-not-alone", 9),
        ("detach-left-pending", 9),
        ("whole-table-write", 15),
    ]
    assert [each.sql for each in parse(sql)] == [seed, detach, f"UPDATE a SET b = '{letters}'"]


def test_a_line_is_where_the_statement_stands() -> None:
    """Comments and empty lines before a statement are not it; Alembic's own statements are passed
    over.
    """
    update = "UPDATE a SET b = 1;\n\nUPDATE alembic_version SET version_num='2'"
    sql = (
        f"BEGIN /* Alembic */;\n\n-- Running upgrade 1 -> 2\n\n{update};\n\nCOMMIT /* Alembic */;\n"
    )
    (found,) = problems(RevisionScript("0007", sql), ())
    assert (found.line, found.sql) == (5, "UPDATE a SET b = 1")


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ({}, [("ban-drop-column", "error", False)]),
        ({"phase": "contract"}, []),
        (
            {"waive": {"ban-drop-column": "nobody reads it since 1.4"}},
            [("ban-drop-column", "error", True)],
        ),
        (
            {"waive": {"ban-drop-colum": "typed wrong"}},
            [("unused-waiver", "warning", False), ("ban-drop-column", "error", False)],
        ),
    ],
)
def test_squawks_findings_are_weighed(
    script: dict[str, Any], said: list[tuple[str, str, bool]]
) -> None:
    """Dropping a column blocks, except in a contract revision, or where it is waived with a reason;
    a waiver for nothing is named.
    """
    assert rules(RevisionScript("0007", "SELECT 1", **script), WARNED) == said


def test_what_the_engine_does_anyway_is_not_asked_for() -> None:
    """Timeouts are set on every session, and each revision is one transaction."""
    assert (
        rules(
            RevisionScript("0007", "SELECT 1"),
            LintProblem("0007", "require-lock-timeout", "warning", 1, "", ""),
        )
        == []
    )


def test_an_expand_revision_takes_nothing_away() -> None:
    """What old code still uses goes later."""
    assert rules(RevisionScript("0007", "ALTER TABLE a DROP COLUMN b", phase="expand")) == [
        ("contract-in-expand", "error", False)
    ]
    assert rules(RevisionScript("0007", "ALTER TABLE a RENAME COLUMN b TO c", phase="expand")) == [
        ("contract-in-expand", "error", False)
    ]


def test_a_revision_without_a_way_back_blocks() -> None:
    """Its downgrade raises NotImplementedError, as the template does until it is written."""
    assert rules(RevisionScript("0007", "SELECT 1", downgrade_problem="NotImplementedError: ")) == [
        ("missing-downgrade", "error", False)
    ]


def test_a_revision_that_nobody_has_written_yet_says_that_and_no_more() -> None:
    """The template as it is written: both directions are missing, and its half script is no finding
    of its own.
    """
    half = LintProblem("0007", "ban-uncommitted-transaction", "warning", 1, "BEGIN", "…")
    script = RevisionScript(
        "0007", "BEGIN;", problem="NotImplementedError: ", downgrade_problem="NotImplementedError: "
    )
    assert rules(script, half) == [
        ("missing-downgrade", "error", False),
        ("missing-upgrade", "error", False),
    ]
    assert rules(RevisionScript("0007", "BEGIN;"), half) == [
        ("ban-uncommitted-transaction", "warning", False)
    ]


def test_advice_is_given_once() -> None:
    """squawk's is long: the second time it is as above, and a waived finding has its reason in its
    place.
    """
    script = RevisionScript("0007", "SELECT 1")
    waived = RevisionScript("0008", "SELECT 1", waive={"ban-drop-column": "nobody reads it"})
    found = [*problems(waived, (WARNED,)), *problems(script, (WARNED, WARNED))]
    assert list(format_problems(found)) == [
        "0007:3 error ban-drop-column (waived: nobody reads it)",
        "0007:3 error ban-drop-column: Dropping a column may break existing clients.",
        "0007:3 error ban-drop-column: as above",
    ]
