"""`inv db.revision --autogenerate`: what a metadata has more than the newest revision, written both
ways.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ops.core.config.settings import Settings
from ops.core.errors import ConfigError
from ops.migrations import lint, verify
from ops.migrations.authoring import new_revision
from tests.migrations.project import PLACE, Here, here, server

__all__ = ["here", "server"]  # fixtures
MODELS = """
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

metadata = sa.MetaData()
mood = sa.Enum("happy", "so 'so'", name="Mood")
sa.Table(
    "people", metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True), sa.Column("name", sa.String(80), unique=True),
    sa.Column("mood", mood), sa.Column("boss", sa.BigInteger, sa.ForeignKey("people.id")),
    sa.Column("tags", postgresql.ARRAY(sa.Text), server_default="{}", nullable=False),
)
sa.Table(
    "visits", metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True), sa.Column("person", sa.ForeignKey("people.id"), index=True),
    sa.Column("felt", mood, nullable=False), sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()")),
)
"""


def settings(root: Path, named: str | None) -> Settings:
    return Settings(name="here", root=root, environment={**PLACE, "database": {"metadata": named}})


def test_what_the_metadata_has_more_is_written_both_ways(here: Here, tmp_path: Path) -> None:
    """Without a live database: columns, tables, nameless constraints and an enum go there and back
    by db.verify; then nothing is left.
    """
    table = (
        "CREATE TABLE people (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name varchar(80))"
    )
    here.project.write("0001", table, "DROP TABLE people")
    (tmp_path / "models_of_people.py").write_text(MODELS)
    place = settings(tmp_path, "models_of_people:metadata")
    (file,) = new_revision.write_revision(place, "Moods and visits", autogenerate=True).files
    text = (tmp_path / file).read_text()
    assert (
        file.name == "0002_moods_and_visits.py"
        and 'phase = "expand"' in text
        and "DROP TYPE" in text
        and "###" not in text
    )
    config = str(Path(__file__).resolve().parents[2] / "pyproject.toml")
    checked = subprocess.run(
        # Alembic writes an operation a line, however long: alembic/versions is exempt from E501
        [
            sys.executable,
            "-m",
            "ruff",
            "check",
            "--config",
            config,
            "--ignore=E501",
            tmp_path / file,
        ],
        capture_output=True,
        text=True,
    )
    assert checked.returncode == 0, checked.stdout
    found = verify.verify(place)
    assert found.ok, found.document
    assert lint.lint_project(place, "0002").problems is not None
    assert new_revision.write_revision(place, "Again", autogenerate=True).files == ()


def test_what_the_metadata_has_no_more_is_taken_away(here: Here, tmp_path: Path) -> None:
    """A contract revision, which brings it all back on its way back; one that adds too is neither,
    and somebody is told to split it.
    """
    table = (
        "CREATE TABLE a (id bigint PRIMARY KEY, old text NOT NULL DEFAULT 'x', kept "
        "varchar(10)); CREATE INDEX i ON a (old)"
    )
    here.project.write("0001", table, "DROP TABLE a")
    columns = (
        'import sqlalchemy as sa\nm = sa.MetaData()\nsa.Table("a", m, sa.Column("id", '
        "sa.BigInteger, primary_key=True), {})\n"
    )
    (tmp_path / "models_without.py").write_text(columns.format('sa.Column("kept", sa.String(10))'))
    (file,) = new_revision.write_revision(
        settings(tmp_path, "models_without:m"), "Drop the old", autogenerate=True
    ).files
    assert (
        'phase = "contract"' in (tmp_path / file).read_text()
        and verify.verify(settings(tmp_path, None)).ok
    )
    (tmp_path / file).unlink()
    (tmp_path / "models_other.py").write_text(columns.format('sa.Column("new", sa.Text)'))
    (file,) = new_revision.write_revision(
        settings(tmp_path, "models_other:m"), "Both", autogenerate=True
    ).files
    assert 'phase = ""' in (tmp_path / file).read_text()


@pytest.mark.parametrize(
    ("named", "given", "says"),
    [
        (None, {}, "environments.here.database.metadata is missing"),
        ("models", {}, "it is not of the form module:attribute"),
        ("no_such_module:metadata", {}, "no_such_module"),
        ("json:dumps", {}, "it is not a SQLAlchemy MetaData"),
        ("json:nothing", {}, "nothing"),
        ("models_that_exit:metadata", {}, "SystemExit: 0 (models_that_exit.py, line 2)"),
        ("json:dumps", {"from_sql": "x.sql"}, "a revision is written from one of them"),
        ("json:dumps", {"message": " "}, "a revision needs a description"),
    ],
)
def test_a_metadata_that_is_none_is_a_mistake_in_the_configuration(
    here: Here, tmp_path: Path, named: str | None, given: dict[str, Any], says: str
) -> None:
    """Three lines, exit 2, and no file."""
    (tmp_path / "models_that_exit.py").write_text("import sys\nsys.exit(0)\n")
    with pytest.raises(ConfigError) as problem:
        new_revision.write_revision(
            settings(tmp_path, named), **{"message": "x", "autogenerate": True, **given}
        )
    assert says in f"{problem.value.what} {problem.value.why}"
    assert list((here.project.folder / "versions").glob("*.py")) == []
