"""The planned changes of `db.*`: `--plan` previews the steps that `apply` runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from ops.core.errors import Refused
from ops.core.invocation import invocation
from ops.migrations.adopt import Adoption
from ops.migrations.migrate import Migration
from ops.migrations.run import RunOptions
from ops.migrations.snapshot import RdsWait
from ops.postgres.access import Direction
from tests.migrations.project import Here, here, protected, server

__all__ = ["here", "server"]  # fixtures


class NoSweeps:
    """The comparison of a platform that was not observed."""

    def as_document(self) -> Any:
        return None

    def lines(self) -> Iterator[str]:
        return iter(())


def migration(
    here: Here, direction: Direction, observed: list[tuple[str, bool]] | None = None
) -> Migration:
    @contextmanager
    def observe(title: str, enabled: bool) -> Iterator[NoSweeps]:
        if observed is not None:
            observed.append((title, enabled))
        yield NoSweeps()

    return Migration.planned(here.target, direction, None, RunOptions(), RdsWait(0.1, 5.0), observe)


def test_an_upgrade_runs_the_steps_of_its_preview(here: Here) -> None:
    """One step per revision, in order; the applied revisions are those of the steps."""
    here.project.write("0001", "CREATE TABLE a (id int)", "DROP TABLE a")
    here.project.write("0002", "CREATE TABLE b (id int)", "DROP TABLE b")
    observed: list[tuple[str, bool]] = []
    change = migration(here, "upgrade", observed)
    document = change.preview().document
    assert [step["verb"] for step in document["plan"]] == ["upgrade", "upgrade"]
    assert here.project.ask("SELECT to_regclass('a')") == [(None,)], "a preview changes nothing"
    result = change.apply().document
    assert [each["revision"] for each in result["applied"]] == [
        step["says"].split()[1] for step in document["plan"]
    ]
    assert result["health"] is None
    assert observed == [("db.upgrade to 0002", False)]


def test_a_preview_has_review_losses_and_sql(here: Here) -> None:
    """Numbered steps, then the forecast, what is lost, and the SQL."""
    here.project.write("0001", "CREATE TABLE a (id int)", "DROP TABLE a")
    here.go()
    here.project.ask("INSERT INTO a VALUES (1)")
    text = migration(here, "downgrade").preview().text
    assert text.startswith("  1  Downgrade 0001")
    assert text.index("expected duration") < text.index("0001 takes away table a: 1 row")
    assert text.index("takes away") < text.index("-- downgrade 0001")


def test_a_preview_names_its_undo_as_it_is_typed_and_leaves_the_sql(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `-f FILE`, an undo without it would run on another database."""
    monkeypatch.setattr(invocation, "options", "-f other.yaml ")
    here.project.write("0001", "COMMENT ON SCHEMA public IS 'inv db.downgrade'")
    text = migration(here, "upgrade").preview().text
    assert "undo: inv -f other.yaml db.downgrade takes 0001 back" in text
    assert "IS 'inv db.downgrade'" in text


def test_nothing_to_do_is_a_plan_without_steps(here: Here) -> None:
    """No step, no question, and a result that says so."""
    here.project.write("0001", "CREATE TABLE a (id int)", "DROP TABLE a")
    here.go()
    change = migration(here, "upgrade")
    assert change.preview().document["plan"] == []
    change.confirm(yes=False)
    assert change.apply().text == "at 0001: nothing to do"


def test_an_adoption_records_the_revision_of_its_preview(here: Here) -> None:
    """The step is planned only if the schemas are equal; a protected name must be typed."""
    here.project.write("0001", "CREATE TABLE a (id int)", "DROP TABLE a")
    here.project.ask("CREATE TABLE a (id bigint)")
    other = Adoption.planned(here.target, None, None, here.project.said.append)
    assert other.preview().document["plan"] == [] and other.preview().exit_code == 3
    assert other.apply().run is None and other.apply().exit_code == 3
    here.project.ask("ALTER TABLE a ALTER id TYPE int")
    change = Adoption.planned(protected(here), None, None, here.project.said.append)
    (step,) = change.preview().document["plan"]
    assert step["verb"] == "adopt" and step["says"].startswith("Record revision 0001 for ")
    with pytest.raises(Refused, match="record 0001"):
        change.confirm(yes=False)
    assert change.apply().document["adopted"] and here.project.at() == ["0001"]
