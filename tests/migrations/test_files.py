"""`inv db.revision`: new files, and legacy ones wrapped as they are."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ops.core.errors import ConfigError, OpsError, Refused
from ops.migrations import lint
from ops.migrations import plan as flow
from ops.migrations.authoring import revision_file
from tests.migrations.project import Here, here, server

__all__ = ["here", "server"]  # fixtures


LEGACY = (
    "INSERT INTO a VALUES ('100% :sure');\nCREATE FUNCTION f() RETURNS text LANGUAGE sql AS $$ "
    "SELECT '%s :x' $$;\n"
)


@pytest.mark.parametrize("own", [False, True])
def test_a_legacy_file_is_wrapped_as_it_is(here: Here, tmp_path: Path, own: bool) -> None:
    """Its bytes reach the server with their : and %; with its own BEGIN and COMMIT too; its
    downgrade must be written.
    """
    here.project.write("0001", "CREATE TABLE a (t text)", "DROP TABLE a")
    legacy = tmp_path / "002.sql"
    legacy.write_text(f"BEGIN;\n{LEGACY}COMMIT;\n" if own else LEGACY)
    made, beside = revision_file.write_files(here.project.folder, "Seed it", legacy)
    assert made.name == "0002_seed_it.py" and beside.read_bytes() == legacy.read_bytes()
    planned = flow.plan_migration(here.target, "upgrade", None)
    assert LEGACY in planned.text and [each.rule for each in lint.lint_plan(planned).blocking] == [
        "missing-downgrade"
    ]
    here.go()
    assert here.project.ask("SELECT t, f() FROM a") == [("100% :sure", "%s :x")]
    with pytest.raises(Refused, match="0002 has no downgrade"):
        here.go("downgrade")
    beside.write_text("-- a comment\n" + beside.read_text())
    assert here.go()["applied"] == []
    beside.write_text(beside.read_text().replace("100", "200"))
    with pytest.raises(Refused, match="0002 was edited"):
        here.go()


@pytest.mark.parametrize("own", [False, True])
def test_a_legacy_file_that_fails_leaves_nothing(here: Here, tmp_path: Path, own: bool) -> None:
    """The file's own transaction is taken back as ours is, and the first error is what is said."""
    here.project.write("0001", "CREATE TABLE a (t text)", "DROP TABLE a")
    legacy = tmp_path / "002.sql"
    legacy.write_text(
        ("BEGIN;" if own else "")
        + "INSERT INTO a VALUES ('x'); SELECT 1/0;"
        + ("COMMIT;" if own else "")
    )
    revision_file.write_files(here.project.folder, "Seed it", legacy)
    with pytest.raises(OpsError, match="division by zero"):
        here.go()
    assert here.project.at() == ["0001"] and here.project.ask("SELECT count(*) FROM a") == [(0,)]


@pytest.mark.parametrize(
    ("sql", "word"),
    [
        ("\\i other.sql", "psql"),
        ("CREATE INDEX CONCURRENTLY i ON a (t)", "CONCURRENTLY"),
        ("COPY a FROM stdin;\n", "COPY"),
        ("SELECT 'CREATE INDEX g_id ON g (id)' \\gexec\n", "gexec"),
        ("\\restrict AbC\nSELECT 1;\n", "restrict"),
        ("REINDEX (CONCURRENTLY) TABLE a", "REINDEX"),
        ("ALTER TABLE a DETACH PARTITION b CONCURRENTLY", "DETACH"),
        ("VACUUM a", "VACUUM"),
        ("REINDEX DATABASE x", "REINDEX"),
        ("SELECT 1;\nSELEC 2;", "SELEC.*line 2"),
    ],
)
def test_what_cannot_be_wrapped_is_refused(here: Here, tmp_path: Path, sql: str, word: str) -> None:
    """Nothing is written."""
    legacy = tmp_path / "x.sql"
    legacy.write_text(sql)
    with pytest.raises(Refused, match=word):
        revision_file.write_files(here.project.folder, "Try", legacy)
    assert list((here.project.folder / "versions").glob("*")) == []


TOGETHER = {
    "a word in a comment on a table": (
        "CREATE TABLE c (id bigint);"
        " COMMENT ON TABLE c IS 'its index was built concurrently; do not REINDEX';"
    ),
    "a view that is refreshed": (
        "CREATE MATERIALIZED VIEW mv AS SELECT 1 AS n; CREATE UNIQUE INDEX mv_n ON mv (n);"
        " REFRESH MATERIALIZED VIEW CONCURRENTLY mv;"
    ),
    "a body of statements": (
        "CREATE TABLE ba (id bigint); CREATE FUNCTION ba_total() RETURNS bigint LANGUAGE sql\n"
        "BEGIN ATOMIC\n    SELECT count(*) FROM ba;\n    SELECT max(id) FROM ba;\nEND;\n"
        "ALTER TABLE ba ADD COLUMN note text;"
    ),
}


@pytest.mark.parametrize("case", TOGETHER)
def test_what_only_looks_as_if_it_had_to_be_alone_is_wrapped(
    here: Here, tmp_path: Path, case: str
) -> None:
    """In the revision's own transaction, and without a finding about transactions."""
    legacy = tmp_path / "x.sql"
    legacy.write_text(TOGETHER[case])
    made, _ = revision_file.write_files(here.project.folder, "Try", legacy)
    assert "autocommit_block" not in made.read_text()
    found = lint.lint_plan(flow.plan_migration(here.target, "upgrade", None))
    about = {"transaction-control", "concurrently-not-alone", "transaction-nesting", "syntax-error"}
    assert not about & {each.rule for each in found.problems}
    assert here.go()["to"] == "0001"


def test_a_byte_order_mark_is_dropped(here: Here, tmp_path: Path) -> None:
    """The file's own transaction is recognised, and CRLF is fine."""
    legacy = tmp_path / "x.sql"
    legacy.write_bytes(b"\xef\xbb\xbfBEGIN;\r\nCREATE TABLE bom_a (id bigint);\r\nCOMMIT;\r\n")
    made, beside = revision_file.write_files(here.project.folder, "Try", legacy)
    assert "autocommit_block" in made.read_text() and beside.read_bytes().startswith(b"BEGIN")
    assert here.go()["to"] == "0001"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"SELECT 1;\nSELECT 'Caf\xe9';", r"byte 0xe9 at offset 21, line 2\n.*iconv -f latin1"),
        ("SELECT 1;".encode("utf-16"), r"UTF-16\n.*iconv -f utf-16"),
        (b"SELECT 1;\nSELECT 2;\0 SELECT 3;", r"a NUL byte at offset 19, line 2"),
        ("SELECT 1;".encode("utf-16-le"), r"a NUL byte at offset 1, line 1.*\n.*utf-16le"),
        (b"BEGIN;\nPREPARE TRANSACTION 'x';", r"stay prepared.*\n.*COMMIT"),
    ],
)
def test_what_would_run_differently_is_refused_with_its_place(
    here: Here, tmp_path: Path, body: bytes, words: str
) -> None:
    legacy = tmp_path / "x.sql"
    legacy.write_bytes(body)
    with pytest.raises(Refused, match=words):
        revision_file.write_files(here.project.folder, "Try", legacy)
    assert list((here.project.folder / "versions").glob("*")) == []


def test_a_file_that_was_edited_into_another_encoding_is_a_finding(
    here: Here, tmp_path: Path
) -> None:
    legacy = tmp_path / "x.sql"
    legacy.write_text("SELECT 1;")
    _, beside = revision_file.write_files(here.project.folder, "Try", legacy)
    beside.write_bytes(b"SELECT 'Caf\xe9';")
    found = lint.lint_plan(flow.plan_migration(here.target, "upgrade", None))
    assert "not-utf8" in {each.rule for each in found.blocking}


@pytest.mark.parametrize("end", ["", ";", " -- done", ";\n"])
@pytest.mark.parametrize("own", [False, True])
def test_the_printed_sql_of_a_file_runs_as_it_is(
    here: Here, tmp_path: Path, own: bool, end: str
) -> None:
    """However the file ends, by a comment or without a semicolon."""
    legacy = tmp_path / "x.sql"
    body = "CREATE TABLE a (id int)"
    legacy.write_text(f"BEGIN; {body}; COMMIT{end}" if own else f"{body}{end}")
    revision_file.write_files(here.project.folder, "Try", legacy)
    here.project.ask(flow.plan_migration(here.target, "upgrade", None).text)
    assert here.project.at() == ["0001"]
    assert here.project.ask("SELECT to_regclass('a') IS NOT NULL") == [(True,)]


def test_a_new_revision_has_both_directions_to_be_written(here: Here) -> None:
    """Upgrade and downgrade raise until somebody has written them; the file passes the house's
    linter.
    """
    (first,) = revision_file.write_files(here.project.folder, "Add tags", None)
    (second,) = revision_file.write_files(here.project.folder, "Add more", None)
    assert (first.name, second.name) == ("0001_add_tags.py", "0002_add_more.py")
    config = str(Path(__file__).resolve().parents[2] / "pyproject.toml")
    checked = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--config", config, first],
        capture_output=True,
        text=True,
    )
    assert checked.returncode == 0, checked.stdout
    with pytest.raises(Refused, match="0001 has no upgrade"):
        here.go()
    with pytest.raises(ConfigError, match="needs a description"):
        revision_file.write_files(here.project.folder, " ", None)


def test_the_first_revision_of_a_folder_of_its_own(here: Here, tmp_path: Path) -> None:
    """`database.migrations` of another platform: an empty versions/ is enough to begin with."""
    folder = tmp_path / "platform" / "migrations"
    (folder / "versions").mkdir(parents=True)
    legacy = tmp_path / "schema.sql"
    legacy.write_text("CREATE TABLE projects (title text);")
    made, beside = revision_file.write_files(folder, "Projects", legacy)
    assert made.name == "0001_projects.py" and beside.read_bytes() == legacy.read_bytes()
    assert {each.name for each in folder.iterdir()} == {"env.py", "script.py.mako", "versions"}
    (folder / "env.py").write_text("# the platform's own")
    (second,) = revision_file.write_files(folder, "Add tags")
    assert second.name == "0002_add_tags.py"
    assert (folder / "env.py").read_text() == "# the platform's own"
