"""What is refused before the operator is asked, on a real PostgreSQL."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ops.aws.secrets import Secret
from ops.core.config.database import Database
from ops.core.errors import ConfigError, OpsError, Refused
from ops.migrations import lint
from ops.migrations import plan as flow
from ops.migrator.model import MigrateError, TargetDatabase
from ops.postgres import facts
from tests.factories import free_port
from tests.migrations.project import Here, here, server
from tests.migrator.migrating import OUTSIDE, Project

__all__ = ["here", "server"]  # fixtures

READ_ONLY = "SET default_transaction_read_only = on"


def refuses(here: Here, words: str) -> None:
    """Both the plan and the engine refuse, and nothing was changed."""
    with pytest.raises(Refused, match=words):
        flow.plan_migration(here.target, "upgrade", None)
    with pytest.raises(MigrateError, match="read-only") as error:
        here.project.run()
    assert error.value.kind == "refused"
    assert here.project.ask("SELECT to_regnamespace('ops_migrations')") == [(None,)]


@pytest.mark.parametrize(
    ("target", "by"),
    [
        ("DATABASE {dbname}", "ALTER DATABASE"),
        ("ROLE {user} IN DATABASE {dbname}", "ALTER ROLE … IN DATABASE"),
    ],
)
def test_a_read_only_database_is_refused_before_the_question(
    here: Here, target: str, by: str
) -> None:
    """With the place where it was set."""
    here.project.write("0001", "CREATE TABLE a (id int)")
    here.project.ask(f"ALTER {target.format(**here.project.target.parameters)} {READ_ONLY}")
    refuses(here, rf"read-only\n.*{by}")


def test_read_only_by_the_clients_options_is_refused(here: Here) -> None:
    here.project.write("0001", "CREATE TABLE a (id int)")
    options = {"options": "-c default_transaction_read_only=on"}
    target = TargetDatabase(
        here.project.target.folder, {**here.project.target.parameters, **options}
    )
    with pytest.raises(MigrateError, match="PGOPTIONS"):
        Project(here.project.folder, target).run()


LONG = "0001_add_the_currency_column_to_all_invoices"


def test_an_id_that_the_version_table_cannot_take_is_refused(here: Here) -> None:
    """By db.lint and before anything runs; a column that was widened takes it."""
    here.project.ask("CREATE TABLE l (id bigint)")
    here.project.write(LONG, OUTSIDE.format("CREATE INDEX CONCURRENTLY l_id ON l (id)"))
    with pytest.raises(Refused, match=r"44 characters, and alembic_version takes 32"):
        flow.plan_migration(here.target, "upgrade", None)
    settings = here.target.settings.model_copy(update={"root": here.project.folder.parent})
    assert "revision-id-too-long" in {each.rule for each in lint.lint_project(settings).blocking}
    assert here.project.ask("SELECT to_regclass('l_id')") == [(None,)]
    here.project.ask("CREATE TABLE alembic_version (version_num varchar(64) PRIMARY KEY)")
    assert here.go()["to"] == LONG


@pytest.mark.parametrize(
    ("secret", "port", "error"),
    [
        ('{"port":null,"dbname":"app","password":"x"}', 5432, None),
        ('{"port":"5433","dbname":null,"password":"x"}', 5433, "name is not known"),
        ('{"port":5432,"dbname":"app","password":null}', 5432, None),
    ],
)
def test_null_in_a_secret_is_a_missing_key(secret: str, port: int, error: str | None) -> None:
    values = Secret({**json.loads(secret), "username": "app", "host": "127.0.0.1"})
    configured = Database(sslmode="disable", migrations="none")
    if error:
        with pytest.raises(ConfigError, match=error):
            facts.connection_parameters(configured, values)
        return
    found = facts.connection_parameters(configured, values)
    assert (int(found["port"]), found["password"]) == (
        port,
        json.loads(secret)["password"] or "",
    )


EFFECTS = {
    "a file": "open({mark!r}, 'a').write('x')",
    "a folder": "__import__('os').mkdir({mark!r})",
    "a program": "__import__('subprocess').run(['touch', {mark!r}], check=True)",
    "a connection": "__import__('socket').create_connection(('127.0.0.1', {port}), 1)",
}


@pytest.mark.parametrize("case", EFFECTS)
def test_python_beside_op_is_not_run_by_plan_or_lint(here: Here, tmp_path: Path, case: str) -> None:
    """What it would do is named instead, and a question is asked."""
    mark = tmp_path / "mark"
    code = EFFECTS[case].format(mark=str(mark), port=free_port())
    here.project.write("0001", f"    op.execute('CREATE TABLE a (id int)')\n    {code}")
    planned = flow.plan_migration(here.target, "upgrade", None)
    (only,) = planned.revisions
    assert "is refused while its SQL is only read (0001.py, line 11)" in str(only.problem)
    assert "CREATE TABLE a" in only.sql and planned.loses_rows
    settings = here.target.settings.model_copy(update={"root": here.project.folder.parent})
    assert "unprintable" in {each.rule for each in lint.lint_project(settings).problems}
    assert not mark.exists()
    if case != "a connection":
        assert here.go()["to"] == "0001" and mark.exists()


def test_reading_files_and_importing_is_no_effect(here: Here, tmp_path: Path) -> None:
    (tmp_path / "rows.txt").write_text("1")
    code = f"op.execute('SELECT ' + open({str(tmp_path / 'rows.txt')!r}).read())"
    here.project.write("0001", f"    import colorsys\n    {code}")
    (only,) = flow.plan_migration(here.target, "upgrade", None).revisions
    assert (only.problem, "SELECT 1" in only.sql) == (None, True)


BROKEN_AUDIT = {
    "a column is missing": "ALTER TABLE ops_migrations.runs DROP COLUMN verb",
    "a table is missing": "DROP TABLE ops_migrations.steps",
    "it is another tool's": "DROP TABLE ops_migrations.checksums CASCADE;"
    " CREATE TABLE ops_migrations.checksums (id int)",
}


@pytest.mark.parametrize("case", BROKEN_AUDIT)
def test_an_error_before_the_first_revision_is_three_lines(here: Here, case: str) -> None:
    """Not a bug in this tool: the records are named, with what can be done."""
    here.project.write("0001", "CREATE TABLE a (id int)")
    here.go()
    here.project.write("0002", "CREATE TABLE b (id int)")
    here.project.ask(BROKEN_AUDIT[case])
    with pytest.raises(OpsError) as error:
        here.go()
    assert len(str(error.value).splitlines()) == 3
    assert here.project.at() == ["0001"]


def test_adoption_is_named_where_tables_exist_without_a_revision(
    here: Here, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before the question, and by the failure that it explains."""
    here.project.ask("CREATE TABLE a (id int)")
    here.project.write("0001", "CREATE TABLE a (id int)")
    with pytest.raises(OpsError, match="42P07") as error:
        here.go()
    assert "inv db.adopt" in error.value.next
    assert "no revision is recorded: if another tool made them" in capsys.readouterr().err


def test_a_revision_acts_once_however_often_it_is_read(here: Here, tmp_path: Path) -> None:
    """A file that `upgrade()` writes: not by lint or --plan, and once by the upgrade."""
    file = tmp_path / "acted"
    here.project.write("0001", f"    open({str(file)!r}, 'a').write('x')")
    lint.lint_project(here.target.settings)
    planned = flow.plan_migration(here.target, "upgrade", None)
    lint.review(here.target, planned)
    assert not file.exists()
    assert "an unknown number of rows" in planned.losses_as_text()
    here.go()
    assert file.read_text() == "x"
