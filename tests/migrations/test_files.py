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
    ],
)
def test_what_cannot_be_wrapped_is_refused(here: Here, tmp_path: Path, sql: str, word: str) -> None:
    """Nothing is written."""
    legacy = tmp_path / "x.sql"
    legacy.write_text(sql)
    with pytest.raises(Refused, match=word):
        revision_file.write_files(here.project.folder, "Try", legacy)
    assert list((here.project.folder / "versions").glob("*")) == []


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
