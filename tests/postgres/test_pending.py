"""Which revisions a database lacks: Alembic's answer, and the one that is kept."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ops.core.errors import ConfigError, OpsError, Unreachable
from ops.postgres.pending import CACHE, heads_after

REVISION = '''"""{doc}"""
revision = "{id}"
down_revision = {down!r}


def upgrade() -> None:
    raise SystemExit("executed")
'''


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project (with a % in its path) of three revisions and an env.py that must not run."""
    root = tmp_path / "100% mine"
    (root / "alembic" / "versions").mkdir(parents=True)
    (root / "alembic.ini").write_text(
        "[alembic]\nscript_location = %(here)s/alembic\n[loggers]\nformat = %(levelname)s\n"
    )
    (root / "alembic" / "env.py").write_text("raise SystemExit('executed')\n")
    down = None
    for number, doc in enumerate(("projects", "tags\n\nRevision ID: 0002", "owners"), 1):
        (root / "alembic" / "versions" / f"{number:04}.py").write_text(
            REVISION.format(doc=doc, id=f"{number:04}", down=down)
        )
        down = f"{number:04}"
    return root


def test_pending_revisions_oldest_first(project: Path) -> None:
    """What a database at a revision lacks, with each message; nothing is executed."""
    assert heads_after(None, project) == ("0001 projects", "0002 tags", "0003 owners")
    assert heads_after("0001", project) == ("0002 tags", "0003 owners")
    assert heads_after("0003", project) == ()


def test_a_relative_script_location_is_the_projects(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever the command is typed, the project's own folder is read."""
    (project / "alembic.ini").write_text("[alembic]\nscript_location = alembic\n")
    monkeypatch.chdir("/")
    assert len(heads_after(None, project)) == 3


def test_without_migrations_nothing_is_pending(tmp_path: Path) -> None:
    """A project without alembic/ has none."""
    assert heads_after(None, tmp_path) == ()


def test_an_environment_may_have_its_own_revisions_or_none(project: Path) -> None:
    """database.migrations names the folder, or none; a folder that is missing is an error."""
    (project / "alembic").rename(project / "schema")
    (project / "alembic.ini").unlink()
    assert heads_after("0002", project, "schema") == ("0003 owners",)
    assert heads_after("0002", project) == ()
    assert heads_after("beef", project, "none") == ()
    with pytest.raises(ConfigError, match=r"database\.migrations: scheme\n.*versions"):
        heads_after(None, project, "scheme")


def test_a_revision_that_the_project_does_not_know(project: Path) -> None:
    """A database ahead of this checkout is said, not taken for up to date."""
    with pytest.raises(Unreachable, match="beef"):
        heads_after("beef", project)


@pytest.mark.parametrize(
    "text",
    [
        "this is no python(",
        "import no_such_module_here\n",
        "revision = '0009'\ndown_revision = 'gone'\n",
        "raise SystemExit(0)\n",
        "import os; os._exit(0)\n",
    ],
)
def test_a_broken_revision_file_is_named(project: Path, text: str) -> None:
    """Whatever is wrong with a revision file is an error of ours."""
    (project / "alembic" / "versions" / "0009.py").write_text(text)
    with pytest.raises(OpsError):
        heads_after("0001", project)


def test_the_same_files_are_not_ordered_twice(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What Alembic has said of these files is kept: the next process does not load it, and one
    changed file is asked for anew, though it changed within a second and kept its size.
    """
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    first = heads_after("0001", project)
    program = f"""
import sys
from pathlib import Path
from ops.postgres.pending import heads_after
assert heads_after("0001", Path({str(project)!r})) == {first!r}
assert "alembic" not in sys.modules
assert heads_after("0002", Path({str(project)!r})) == {first[1:]!r}
assert "alembic" in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(__file__).parents[2])
    file = project / "alembic" / "versions" / "0003.py"
    file.write_text(file.read_text().replace("owners", "people"))
    assert heads_after("0001", project) == ("0002 tags", "0003 people")
    assert not [*project.rglob("__pycache__")]


@pytest.mark.parametrize("text", ["", "[]", '{"0001": 3}', "{\xff"])
def test_what_is_kept_and_cannot_be_read_is_made_anew(project: Path, text: str) -> None:
    """A file that was cut, or is none of ours; and where nothing can be kept, the answer is the
    same.
    """
    found = heads_after("0001", project)
    [file] = (project / CACHE).iterdir()
    file.write_text(text, encoding="latin-1")
    assert heads_after("0001", project) == found
    file.unlink()
    (project / CACHE).rmdir()
    (project / CACHE).write_text("a file where the folder should be")
    assert heads_after("0001", project) == found
