"""Several heads, merges, dependencies and branch labels, on a real PostgreSQL."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ops.core.errors import ConfigError, Refused
from ops.migrations import adopt, drift, lint, verify
from ops.migrations import plan as flow
from ops.migrations.authoring.revision_file import write_files
from ops.migrations.status import revision_status
from tests.migrations.project import Here, here, server

__all__ = ["here", "server"]  # fixtures

REVISION = '''"""Revision {id}."""

from alembic import op

revision = {id!r}
down_revision = {down!r}
branch_labels = {label!r}
depends_on = {depends!r}


def upgrade() -> None:
    {up}


def downgrade() -> None:
    {undo}
'''


def write(here: Here, id: str, down: Any = None, label: Any = None, depends: Any = None) -> Path:
    """A revision that makes a table of its own name; a merge changes nothing."""
    merge = isinstance(down, tuple)
    up, undo = (
        ("pass", "pass")
        if merge
        else (f"op.execute('CREATE TABLE {id} (id bigint)')", f"op.execute('DROP TABLE {id}')")
    )
    path = here.project.folder / "versions" / f"{id}.py"
    path.write_text(
        REVISION.format(id=id, down=down, label=label, depends=depends, up=up, undo=undo)
    )
    return path


@pytest.fixture
def two(here: Here) -> Here:
    """a1 ← a2, and the base b1, which depends on a1."""
    write(here, "a1", label=("core",))
    write(here, "a2", "a1")
    write(here, "b1", label=("billing",), depends="a1")
    return here


@pytest.fixture
def merged(two: Here) -> Here:
    """The database at a2 and b1; the revision m merges them."""
    two.go(to="heads")
    write(two, "m", ("a2", "b1"))
    return two


def at(here: Here) -> list[str]:
    return sorted(here.project.at())


def test_a_head_that_another_head_depends_on(here: Here) -> None:
    """All heads are applied, compared and verified; Alembic refuses the two as one goal."""
    write(here, "a1")
    write(here, "b1", label=("billing",), depends="a1")
    assert revision_status(here.target).head == "a1,b1"
    report = verify.verify(replace_root(here), None, lambda line: None)
    assert report.ok and [each.revision.id for each in report.revisions] == ["a1", "b1"]
    here.go(to="a1")
    assert drift.current(here.target).document["drift"] == []
    here.go(to="heads")
    found = drift.current(here.target).document
    assert (found["drift"], found["pending"]) == ([], [])


def test_a_relative_goal_of_a_branch_that_is_not_applied(two: Here) -> None:
    two.go(to="a2")
    with pytest.raises(ConfigError, match="not applied") as error:
        flow.plan_migration(two.target, "downgrade", "billing@-1")
    assert "AssertionError" not in str(error.value) and "db.current" in error.value.next


def test_a_folder_without_env_py_is_named_before_anything_runs(two: Here) -> None:
    """Not as SQL that is only known by running it."""
    (two.project.folder / "env.py").unlink()
    for attempt in (
        lambda: lint.lint_project(two.target.settings),
        lambda: flow.plan_migration(two.target, "upgrade", "heads"),
    ):
        with pytest.raises(ConfigError, match="no env"):
            attempt()


def test_several_heads_are_refused_with_the_ways_on(two: Here) -> None:
    """A merge revision, or all heads; no revision is to be rewritten."""
    with pytest.raises(Refused, match="2 heads: a2, b1") as error:
        flow.plan_migration(two.target, "upgrade", None)
    assert "--merge" in error.value.next and "--to heads" in error.value.next
    assert "down_revision" not in str(error.value)


def test_all_heads_can_be_applied_and_read(two: Here) -> None:
    """Applied, current, pending and without drift."""
    before = revision_status(two.target)
    assert (before.revision, before.head) == (None, "a2,b1")
    assert sorted(each.id for each in before.pending) == ["a1", "a2", "b1"]
    done = two.go(to="heads")
    assert done["to"] == "a2,b1" and at(two) == ["a2", "b1"]
    found = drift.current(two.target)
    assert (found.document["drift"], found.document["pending"]) == ([], [])
    assert "heads are a2,b1" in found.text
    assert two.go(to="heads")["applied"] == []


GOALS = {
    "a branch by its label": ("billing@head", ["a1", "b1"], ["b1"]),
    "one revision with what it depends on": ("b1", ["a1", "b1"], ["b1"]),
    "a step": ("core@+1", ["a1"], ["a1"]),
}


@pytest.mark.parametrize("case", GOALS)
def test_goals_are_alembics(two: Here, case: str) -> None:
    goal, applied, heads = GOALS[case]
    done = two.go(to=goal)
    assert [each["revision"] for each in done["applied"]] == applied and at(two) == heads


def test_a_goal_that_does_not_exist_is_named(two: Here) -> None:
    for goal, words in (("nothing@head", "nothing"), ("core@+9", "9"), ("beef", "beef")):
        with pytest.raises(ConfigError) as error:
            flow.plan_migration(two.target, "upgrade", goal)
        assert words in error.value.why + error.value.what and "***" not in str(error.value)


def test_a_merge_is_printed_linted_and_applied(merged: Here) -> None:
    """It is no unreadable Python, loses nothing, and asks for nothing."""
    plan = flow.plan_migration(merged.target, "upgrade", None)
    (only,) = plan.revisions
    assert (only.revision.id, only.problem, plan.losses) == ("m", None, ())
    assert "DELETE FROM alembic_version" in only.sql
    assert lint.lint_plan(plan).problems == ()
    assert merged.go(yes=False)["to"] == "m"
    assert drift.read_drift(merged.target, "m").differences == ()


def test_drift_of_two_heads_is_known(merged: Here) -> None:
    """The revisions that the database has are replayed, and only those."""
    merged.project.ask("CREATE TABLE extra (id int)")
    found = drift.current(merged.target)
    assert found.drift.differences == ("+ TABLE public.extra",)
    assert found.document["pending"] == ["m"]


@pytest.mark.parametrize("merge", [False, True])
def test_every_revision_of_a_graph_is_verified(two: Here, merge: bool) -> None:
    """Each is taken back alone, also on a branch of its own and at a merge."""
    if merge:
        write(two, "m", ("a2", "b1"))
    said: list[str] = []
    settings = replace_root(two)
    report = verify.verify(settings, None, said.append)
    assert report.ok, report.document
    assert len(report.revisions) == 3 + merge


def test_a_failing_branch_is_named_and_the_others_are_verified(two: Here) -> None:
    """After a failure the next scratch database has exactly the revisions before."""
    file = write(two, "a2", "a1")
    file.write_text(file.read_text().replace("DROP TABLE a2", "SELECT 1"))
    report = verify.verify(replace_root(two), None, lambda line: None)
    problems = {each.revision.id: each.problems for each in report.revisions}
    assert [bool(problems[each]) for each in ("a1", "a2", "b1")] == [False, True, False]


def replace_root(here: Here) -> Any:
    """Settings whose alembic/ is the project's."""
    return here.target.settings.model_copy(update={"root": here.project.folder.parent})


def test_one_step_back_from_two_heads_asks_which(merged: Here) -> None:
    """Nothing is planned; each proposal takes back one revision."""
    (merged.project.folder / "versions" / "m.py").unlink()
    with pytest.raises(Refused, match="2 heads") as error:
        flow.plan_migration(merged.target, "downgrade", None)
    assert "--to a2@-1, or --to b1@-1" in error.value.next
    done = merged.go("downgrade", "b1@-1")
    assert [each["revision"] for each in done["applied"]] == ["b1"] and at(merged) == ["a2"]


def test_heads_above_one_revision_are_taken_back_one_by_one(here: Here) -> None:
    write(here, "z0")
    write(here, "aaa", "z0")
    write(here, "zzz", "z0")
    here.go(to="heads")
    plan = flow.plan_migration(here.target, "downgrade", "zzz@-1")
    assert [each.revision.id for each in plan.revisions] == ["zzz"]
    assert all("AssertionError" not in str(each.problem) for each in plan.revisions)
    assert here.go("downgrade", "zzz@-1")["to"] == "aaa"


def test_a_label_can_be_taken_back_to_its_base(merged: Here) -> None:
    (merged.project.folder / "versions" / "m.py").unlink()
    done = merged.go("downgrade", "billing@base")
    assert [each["revision"] for each in done["applied"]] == ["b1"]


def test_one_step_back_from_a_merge_asks_where_to(merged: Here) -> None:
    merged.go()
    with pytest.raises(Refused, match="joins a2 and b1"):
        flow.plan_migration(merged.target, "downgrade", None)
    assert merged.go("downgrade", "a2")["to"] == "a2,b1"


def test_the_sql_of_a_merge_is_printed_where_a_revision_before_cannot_be(two: Here) -> None:
    """The heads after a revision that reads the database are known all the same."""
    file = write(two, "a2", "a1")
    read = "op.get_bind().exec_driver_sql('SELECT 1').scalar()"
    file.write_text(file.read_text().replace("op.execute('CREATE TABLE a2 (id bigint)')", read))
    write(two, "m", ("a2", "b1"))
    plan = flow.plan_migration(two.target, "upgrade", None)
    problems = {each.revision.id: bool(each.problem) for each in plan.revisions}
    assert problems == {"a1": False, "a2": True, "b1": False, "m": False}


def test_a_merge_is_adopted_and_a_branch_alone_is_not(merged: Here) -> None:
    merged.project.ask("DROP TABLE alembic_version")
    found = adopt.compare(merged.target, None, lambda line: None)
    assert (found.revision, found.same) == ("m", True)
    alone = {"a2", "b1"} - {revision for revision, _ in found.counts}
    with pytest.raises(Refused, match="not a revision to record"):
        adopt.compare(merged.target, alone.pop(), lambda line: None)


def test_db_revision_writes_a_merge(two: Here) -> None:
    """Without --merge it is refused; a second --merge finds nothing to merge."""
    folder = two.project.folder
    with pytest.raises(Refused, match="2 heads"):
        write_files(folder, "Add tags")
    (path,) = write_files(folder, "Merge a2 and b1", merge=True)
    assert 'down_revision = ("a2", "b1")' in path.read_text()
    assert two.go()["to"] == path.stem.split("_")[0]
    with pytest.raises(Refused, match="nothing to merge"):
        write_files(folder, "Merge again", merge=True)
