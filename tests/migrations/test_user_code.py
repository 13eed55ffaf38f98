"""What a revision says or does beside its SQL: its secrets are not passed on, and its exits are
failures.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from dataclasses import asdict, replace
from io import BytesIO
from pathlib import Path

import pytest

from ops.core.errors import OpsError
from ops.core.redaction.redact import redacted
from ops.migrations import lint
from ops.migrations import plan as flow
from ops.migrations.remote import bundle
from ops.migrations.run import RunOptions, run_from_here
from ops.migrations.status import history, revision_status
from ops.postgres import access
from tests.checkout import Checkout
from tests.migrations.project import Here, here, server

__all__ = ["here", "server"]  # fixtures
SAMPLE = '''"""Broken."""

import os
import sys

from alembic import context, op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.execute("CREATE TABLE broken (id int)")
    if not context.is_offline_mode():
        {code}


def downgrade() -> None:
    op.execute("DROP TABLE broken")
'''
SECRET = "hunter2-canary"
LEAKS = [
    f"raise RuntimeError('boom password={SECRET}')",
    f"op.execute(\"SELECT 'postgres://app:{SECRET}@db/app'::int\")",
]


@pytest.mark.parametrize("code", LEAKS)
def test_a_secret_in_a_failure_is_in_no_text_and_not_in_the_audit(here: Here, code: str) -> None:
    """The error, and the rows in the database; an old row that holds one is redacted when it is
    read.
    """
    place = replace(
        here.target,
        database=replace(
            here.target.database, target=replace(here.target.database.target, redact=redacted)
        ),
    )
    file = here.project.write("0001", f"    if op.get_bind() is not None:\n        {code}")
    file.write_text(file.read_text().replace("Revision 0001.", f"Set password={SECRET}"))
    planned = flow.plan_migration(place, "upgrade", None)
    pending = revision_status(place)
    assert (
        SECRET not in planned.steps_as_text() + pending.as_text()
        and "password=***" in pending.as_text()
    )
    with pytest.raises(OpsError) as error:
        run_from_here(place, planned, RunOptions(), here.project.said.append)
    messages = here.project.ask(
        "SELECT message FROM ops_migrations.runs UNION ALL SELECT message FROM ops_migrations.steps"
    )
    assert len(messages) == 2 and all("***" in row[0] for row in messages)
    assert "***" in error.value.why and SECRET not in f"{error.value}{messages}{here.project.said}"
    here.project.ask(f"UPDATE ops_migrations.steps SET message = 'password={SECRET}'")
    found = history(place, 20)
    assert (
        SECRET not in f"{found.document}{found.text}"
        and found.runs[0]["steps"][0]["message"] == "password=***"
    )


def test_the_linter_shows_no_secret(here: Here) -> None:
    """Neither in the statement that it quotes, nor in the reason why SQL can't be printed."""
    here.project.write(
        "0001",
        f"ALTER ROLE app PASSWORD '{SECRET}'; COMMIT; DO $$ BEGIN COMMIT; PERFORM "
        f"'password={SECRET}'; END $$",
    )
    here.project.write("0002", f"    raise RuntimeError('boom password={SECRET}')")
    found = lint.lint_project(here.target.settings)
    assert {each.rule for each in found.problems} >= {"transaction-control", "unprintable"}
    assert SECRET not in f"{found.text}{found.document}" and "0002.py, line 10" in found.text


def test_the_engine_on_the_bastion_redacts_with_what_was_sent_along(
    here: Here, tmp_path: Path
) -> None:
    """From the archive alone, in a folder of its own: log, end and audit hold no secret."""
    said = f"print('token: {SECRET}')\n        {LEAKS[0]}"
    here.project.write("0001", f"    if op.get_bind() is not None:\n        {said}")
    root, runs = tmp_path / "code", tmp_path / "runs" / "here"
    with tarfile.open(fileobj=BytesIO(bundle.code_bundle(here.project.folder).archive)) as archive:
        archive.extractall(root, filter="data")
    who = {"by": "ann", "host": "desk", "verb": "db.upgrade", "run": "r1"}
    asked = {
        "parameters": dict(here.project.target.parameters),
        "direction": "upgrade",
        "to": "head",
        "shown": [],
        "limits": asdict(here.target.database.limits),
        "who": who,
        "redact": "ops.core.redaction.redact:redacted",
    }
    command = [sys.executable, "-s", "-m", "ops.migrator.remote.cli"]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(root), "LC_ALL": "C"}

    def far(*words: str, stdin: str = "") -> str:
        done = subprocess.run(
            [*command, *words],
            input=stdin,
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        return done.stdout

    far("start", str(runs), str(root / "alembic"), stdin=json.dumps(asked) + "\n")
    end = json.loads(far("attach", str(runs), "r1", "0").splitlines()[-1])["end"]
    assert end["state"] == "failed" and "boom password=*** (0001.py, line " in end["error"]["why"]
    assert SECRET not in json.dumps(end) + str(
        here.project.ask("SELECT message FROM ops_migrations.runs")
    )


@pytest.mark.xdist_group("platform")
@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("sys.exit(0)", "SystemExit: 0 (0004_broken.py, line 15); nothing of it remains"),
        (
            "os._exit(0)",
            "os._exit(0) was called, which ends the process (0004_broken.py, line 15); "
            "nothing of it remains",
        ),
        (
            "op.get_bind().rollback()",
            "it ends its own transaction (ROLLBACK, line 15), so what it committed remains",
        ),
        (
            f"print('token: {SECRET}'); {LEAKS[0]}",
            "why: boom password=*** (0004_broken.py, line 15); nothing of it remains",
        ),
    ],
)
def test_db_upgrade_fails_with_its_reason(platform: Checkout, code: str, says: str) -> None:
    """On the bastion: exit code 1, one document, the reason; no secret in what is printed, in the
    log, or in the history.
    """
    file = platform.root / "alembic" / "versions" / "0004_broken.py"
    try:
        assert platform.inv("db.upgrade").returncode == 0
        file.write_text(SAMPLE.format(code=code))
        done = platform.inv("db.upgrade", "--json")
        assert done.returncode == 1 and says in done.stderr, done.stdout + done.stderr
        assert says.removeprefix("why: ") in json.loads(done.stdout)["error"]["why"]
        later = platform.inv("db.attach", "--json", "db.history", "--json")
        history = platform.inv("db.history", "--json")
        assert (
            SECRET not in done.stdout + done.stderr + later.stdout + later.stderr + history.stdout
        )
        newest = json.loads(history.stdout)["runs"][0]
        assert newest["result"] == "failed" and newest["to"] == "0003"
    finally:
        file.unlink(missing_ok=True)


@pytest.mark.xdist_group("platform")
@pytest.mark.timeout(240)
def test_a_module_that_exits_fails_every_command(platform: Checkout) -> None:
    """`sys.exit(0)` at the top of a revision's file: no command ends with 0 and an empty stdout."""
    file = platform.root / "alembic" / "versions" / "0004_broken.py"
    file.write_text(SAMPLE.format(code="pass") + "\n\nos._exit(0)\n")
    try:
        for task in ("db.upgrade", "db.lint", "db.pending", "db.sql", "db.verify"):
            done = platform.inv(task, "--json")
            assert done.returncode == 2, done.stdout + done.stderr
            assert (
                "os._exit(0) was called, which ends the process (0004_broken.py, line "
                in json.loads(done.stdout)["error"]["why"]
            )
    finally:
        file.unlink()


def test_postgres_is_the_same_door() -> None:
    """The door that a task opens redacts."""
    assert access.offline(Path(__file__).resolve().parents[2]).target.redact is redacted
