"""`inv db.adopt` and the drift of `inv db.current`, with the project's own revisions and databases
of the three origins in the wild.
"""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest

from ops.core.errors import Refused
from ops.migrations import adopt, drift
from ops.migrations.status import history
from ops.migrations.target import MigrationTarget
from tests.migrations.project import Here, here, protected, server
from tests.migrator.migrating import ROOT

__all__ = ["here", "server"]  # fixtures

TABLE = """
CREATE TABLE public.projects (
    id uuid DEFAULT {default} CONSTRAINT {key} PRIMARY KEY, title varchar(200) NOT NULL, description text NOT NULL,
    "imageUrl" varchar(500), "projectUrl" varchar(500), "githubUrl" varchar(500), technologies text[],
    "isActive" boolean NOT NULL DEFAULT true, "sortOrder" integer NOT NULL DEFAULT 0,
    "createdAt" timestamp NOT NULL DEFAULT now(), "updatedAt" timestamp NOT NULL DEFAULT now())
"""
INDEXES = (
    'CREATE INDEX {} ON projects ("isActive"); CREATE INDEX idx_projects_sort_order ON '
    'projects ("sortOrder");'
)
FUNCTION = """
CREATE FUNCTION update_updated_at_column() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW."updatedAt" = now();
  RETURN NEW;
END; $$;
CREATE TRIGGER update_projects_updated_at BEFORE UPDATE ON projects FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();
"""
MISSING = [
    "- FUNCTION public.update_updated_at_column()",
    "- TRIGGER public.projects.update_projects_updated_at",
]
ORIGINS = {
    "SQL": (
        TABLE.format(default="gen_random_uuid()", key="projects_pkey")
        + ";"
        + INDEXES.format("idx_projects_is_active")
        + FUNCTION,
        [],
    ),
    "ORM": (
        TABLE.format(default="(md5(random()::text))::uuid", key='"PK_6271df0a7aed"'),
        [
            "~ COLUMN public.projects.id: default is (md5((random())::text))::uuid, not "
            "gen_random_uuid()",
            '~ CONSTRAINT public.projects.projects_pkey is named public.projects."PK_6271df0a7aed"',
            MISSING[0],
            "- INDEX public.idx_projects_is_active",
            "- INDEX public.idx_projects_sort_order",
            MISSING[1],
        ],
    ),
    "copy": (
        TABLE.format(default="gen_random_uuid()", key="projects_pkey")
        + ";"
        + INDEXES.format('"Odd Name"'),
        [
            MISSING[0],
            '~ INDEX public.idx_projects_is_active is named public."Odd Name"',
            MISSING[1],
        ],
    ),
}
LEGACY = """
CREATE TABLE migration_history (id serial PRIMARY KEY, name text, executed_at timestamp);
INSERT INTO migration_history (name, executed_at) VALUES ('001_create_projects.sql', '2025-10-01 10:00:00'), ('002_seed.sql', NULL);
"""


def record(target: MigrationTarget, found: adopt.Comparison, *, yes: bool) -> adopt.Comparison:
    """Confirm and apply the adoption of a revision that was found."""
    adoption = adopt.Adoption(target, found)
    adoption.confirm(yes=yes)
    return adoption.apply()


def own_revisions(here: Here) -> None:
    for file in (ROOT / "alembic" / "versions").glob("000[12]_*.py"):
        shutil.copy(file, here.project.folder / "versions" / file.name)


LIVE_ROWS = [
    ("DavidShaevel.com Platform", None),
    ("DavidShaevel.com Platform Engineering Portfolio", None),
    ("Renamed since", "https://davidshaevel.com/"),
]


@pytest.mark.parametrize(("title", "url"), LIVE_ROWS)
def test_the_seed_recognises_the_live_row(here: Here, title: str, url: str | None) -> None:
    """By its address or either of its titles; it stays in both directions."""
    own_revisions(here)
    here.go(to="0001")
    with here.project.connect() as connection:
        connection.execute(
            'INSERT INTO projects (title, description, "projectUrl") VALUES (%s, %s, %s)',
            (title, "live", url),
        )
    for direction, to in (("upgrade", "0002"), ("downgrade", "0001")):
        here.go(direction, to)
        assert here.project.ask("SELECT title, description FROM projects") == [(title, "live")]


@pytest.mark.parametrize("origin", ORIGINS)
@pytest.mark.parametrize("legacy", ["", LEGACY], ids=["", "with migration_history"])
def test_a_database_of_each_origin_is_adopted_once_it_is_the_same(
    here: Here, origin: str, legacy: str
) -> None:
    """Every difference by name, the DDL makes them go, rows and the legacy table stay, and only
    then the revision is recorded.
    """
    own_revisions(here)
    made, differences = ORIGINS[origin]
    here.project.ask(f"{made};{legacy}")
    here.project.ask("INSERT INTO projects (title, description) VALUES ('mine', 'x')")
    found = adopt.compare(here.target, None, here.project.said.append)
    assert found.document["differences"] == differences and found.revision == "0001"
    assert here.project.ask("SELECT to_regclass('alembic_version')") == [(None,)], (
        "looking changes nothing"
    )
    if differences:
        here.project.ask(found.sql)
        found = adopt.compare(here.target, None, here.project.said.append)
    assert found.same and found.equals == ("0002",) and found.sql == ""
    done = record(here.target, found, yes=False)
    assert done.document["adopted"] and here.project.at() == ["0001"]
    assert drift.read_drift(here.target, "0001").as_document() == {
        "drift": [],
        "drift_unknown": None,
    }
    runs = history(here.target, 5).runs
    assert [(run["verb"], run["result"], run["to"]) for run in runs] == [
        ("db.adopt", "done", "0001")
    ]
    assert [step["revision"] for step in runs[0]["steps"]] == (
        ["001_create_projects.sql", "002_seed.sql"] if legacy else []
    )
    assert (
        here.go()["applied"][0]["revision"] == "0002"
        and len(here.project.ask("SELECT 1 FROM projects")) == 2
    )
    if legacy:
        assert len(here.project.ask("SELECT 1 FROM migration_history")) == 2
    with pytest.raises(Refused, match="is at 0002 already"):
        adopt.compare(here.target, None)


def test_what_changed_after_the_look_is_not_adopted(here: Here) -> None:
    """Compared, then altered by somebody else: refused under the lock, and no revision is
    recorded.
    """
    own_revisions(here)
    here.project.ask(ORIGINS["SQL"][0])
    found = adopt.compare(here.target, None)
    here.project.ask("ALTER TABLE projects ADD COLUMN late text")
    with pytest.raises(Refused) as problem:
        record(here.target, found, yes=True)
    assert "it was changed since" in problem.value.why
    assert here.project.ask("SELECT to_regclass('alembic_version')") == [(None,)]


def test_an_empty_database_and_a_protected_one(here: Here) -> None:
    """Nothing to adopt is said with what to type; a protected environment's name must be typed."""
    own_revisions(here)
    with pytest.raises(Refused, match="adoption of") as problem:
        adopt.compare(here.target, None)
    assert problem.value.next == "create them: inv db.upgrade"
    here.project.ask(ORIGINS["SQL"][0])
    found = adopt.compare(here.target, "0002")
    with pytest.raises(Refused, match="record 0002"):
        record(protected(here), found, yes=False)
    assert record(protected(here), found, yes=True).run and here.project.at() == ["0002"]


def test_without_revisions_there_is_nothing_to_adopt(here: Here) -> None:
    """The first revision is written from what made the database."""
    here.project.ask("CREATE TABLE projects (title text)")
    with pytest.raises(Refused, match="there are no revisions in ") as found:
        adopt.compare(here.target, None)
    assert "inv db.revision --message TEXT --from-sql FILE" in found.value.next


def test_drift_is_named_and_the_replay_is_kept(here: Here) -> None:
    """By hand: a column, a dropped index, a grant, an enum's value. The second look replays
    nothing; unreachable is unknown.
    """
    here.project.write(
        "0001",
        "CREATE TYPE mood AS ENUM ('a'); CREATE TABLE t (id serial PRIMARY KEY, m mood); "
        "CREATE INDEX i ON t (m)",
    )
    here.go()
    assert drift.read_drift(here.target, "0001", here.project.said.append).differences == ()
    assert any("replaying 1 revision on a scratch PostgreSQL" in line for line in here.project.said)
    here.project.ask("ALTER TABLE t ADD COLUMN x int")
    here.project.ask(
        "DROP INDEX i; GRANT SELECT ON t TO pg_monitor; ALTER TABLE t ALTER m SET NOT "
        "NULL; CREATE TABLE own (id serial)"
    )
    here.project.said.clear()
    found = drift.read_drift(here.target, "0001", here.project.said.append)
    assert here.project.said == [] and found.drifted
    assert set(found.differences or ()) == {
        "+ COLUMN public.t.x",
        "+ GRANT SELECT ON TABLE public.t TO pg_monitor",
        "- INDEX public.i",
        "~ COLUMN public.t.m: NOT NULL is true, not false",
        "+ TABLE public.own",
    }
    shutil.rmtree(here.target.settings.root / ".ops" / "replays")
    gone = replace(here.target, database=here.target.database.named("no_such_database"))
    unknown = drift.read_drift(gone, "0001").as_document()
    assert unknown["drift"] is None and "no_such_database" in unknown["drift_unknown"]
