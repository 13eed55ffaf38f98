"""`inv db.*` as it is typed, on the sandbox."""

from __future__ import annotations

import json
import signal
from typing import Any

import psycopg
import pytest

from tests.checkout import Checkout
from tests.deploy import deploying as world

pytestmark = [pytest.mark.xdist_group("platform"), pytest.mark.timeout(240)]
SLOW = '''"""Slow."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.execute("CREATE TABLE slow (id int)")
    op.execute("SELECT pg_sleep(60)")


def downgrade() -> None:
    op.execute("DROP TABLE slow")
'''


def test_forward_back_and_forward_on_one_line(platform: Checkout) -> None:
    """Four tasks are four runs on the bastion; each document is the contract's; the password is in
    none of what is printed or kept.
    """
    assert platform.inv("db.downgrade", "--to", "0002", "--yes").returncode == 0
    done = platform.inv(
        "db.upgrade",
        "--json",
        "db.current",
        "--json",
        "db.downgrade",
        "--json",
        "db.upgrade",
        "--json",
    )
    assert done.returncode == 0, done.stderr
    first, current, back, again = (json.loads(line) for line in done.stdout.splitlines())
    assert {each["mode"] for each in (first, back, again)} == {"remote"}
    assert (first["from"], first["to"], [each["revision"] for each in first["applied"]]) == (
        "0002",
        "0003",
        ["0003"],
    )
    assert current == {
        "revision": "0003",
        "head": "0003",
        "pending": [],
        "drift": [],
        "drift_unknown": None,
        "read_only": None,
    }
    assert (back["from"], back["to"]) == ("0003", "0002") and len(
        {first["run"], back["run"], again["run"]}
    ) == 3
    runs = platform.document("db.history")["runs"]
    assert [(run["verb"], run["result"]) for run in runs[:3]] == [
        ("db.upgrade", "done"),
        ("db.downgrade", "done"),
        ("db.upgrade", "done"),
    ]
    assert runs[0]["began_at"].endswith("+00:00")
    secret = json.loads((platform.root / ".sandbox" / "postgres" / "credentials.json").read_text())[
        "application"
    ]
    home = platform.root / ".sandbox" / "bastion" / "home" / ".cache" / "ecs-runbook" / "runs"
    kept = "".join(path.read_text() for path in home.rglob("*") if path.is_file())
    assert (
        "upgrade 0003" in kept and secret not in done.stdout + done.stderr + json.dumps(runs) + kept
    )


def test_variables_of_the_shell_and_of_the_bastion_redirect_nothing(platform: Checkout) -> None:
    """PG* variables on both sides lead elsewhere; reads through the tunnel and the run do not."""
    foreign: dict[str, Any] = {
        "PGHOSTADDR": "192.0.2.1",
        "PGSERVICE": "absent",
        "PGTARGETSESSIONATTRS": "standby",
        "PGOPTIONS": "-c default_transaction_read_only=on",
    }
    python = platform.root / ".sandbox" / "bastion" / "home" / "bin" / "python3"
    script = python.read_text()
    exports = "".join(f"export {name}={value!r}\n" for name, value in foreign.items())
    python.write_text(script.replace("#!/bin/sh\n", f"#!/bin/sh\n{exports}"))
    try:
        done = platform.inv("db.ping", "db.downgrade", "--yes", "db.upgrade", **foreign)
        assert done.returncode == 0 and "at 0003" in done.stdout, done.stderr
    finally:
        python.write_text(script)


def test_a_run_is_found_again_with_its_whole_log(platform: Checkout) -> None:
    """`db.attach` tells the newest run from its beginning to its end; one that is not known is
    named with those that are.
    """
    platform.inv("db.upgrade")
    newest = platform.document("db.history", "--limit", "1")["runs"][0]
    found = platform.inv("db.attach", "--json")
    assert (
        json.loads(found.stdout)["run"] == newest["run"]
        and f"{newest['verb'].removeprefix('db.')} 000" in found.stderr
    )
    unknown = platform.inv("db.attach", "--run", "nope")
    assert (
        unknown.returncode == 3 and "run nope" in unknown.stderr and newest["run"] in unknown.stderr
    )


def test_the_site_uses_the_new_column_when_it_is_there(platform: Checkout) -> None:
    """Expand: the same backend answers on both schemas; what is written into the column shows."""
    assert platform.inv("db.upgrade").returncode == 0
    (project,) = world.projects(platform)
    assert project["summary"].startswith("The site you are reading")
    world.sql(platform, "UPDATE projects SET summary = 'It deploys itself.'")
    assert world.projects(platform)[0]["summary"] == "It deploys itself."
    asked = platform.inv("db.downgrade")
    assert (
        asked.returncode == 3
        and "--yes" in asked.stderr
        and "column public.projects.summary: 1 row\n" in asked.stderr
    )
    assert platform.inv("db.downgrade", "--yes").returncode == 0
    assert world.projects(platform)[0]["summary"].startswith("The site you are reading")


def test_an_older_image_is_told_that_the_schema_is_newer(platform: Checkout) -> None:
    """`deploy --tag OLD`, released before a migration: said with the way back, and not refused,
    since an expanded schema works.
    """
    tag = world.commit(platform, {"backend/NOTE": "before the migration"}, "Before the migration")
    done = platform.inv("db.downgrade", "--to", "0002", "--yes", "backend.deploy", "db.upgrade")
    assert done.returncode == 0, done.stderr
    said = platform.inv("backend.deploy", "--tag", tag, "--plan")
    assert (
        said.returncode == 0
        and f"the database is at 0003, {tag} was released at 0002: inv db.downgrade --to 0002"
        in said.stderr
    )


def test_a_cancelled_run_is_rolled_back_there(platform: Checkout) -> None:
    """`db.cancel` from another terminal: both are told, exit 130 for who waited, and the schema is
    where it was.
    """
    slow = platform.root / "alembic" / "versions" / "0004_slow.py"
    slow.write_text(SLOW)
    try:
        waiting = world.start(platform, "db.upgrade", "--to", "0004")
        world.read_until(waiting, "continues unattended")
        world.read_until(waiting, "upgrade 0004")
        cancelled = platform.document("db.cancel")
        _, said = waiting.communicate(timeout=60)
        assert (
            cancelled["state"] == "cancelled"
            and waiting.returncode == 130
            and "was cancelled" in said
        )
        assert platform.document("db.pending")["pending"][-1]["revision"] == "0004"
    finally:
        slow.unlink()


def test_an_interrupted_watcher_without_a_terminal_takes_the_run_with_it(
    platform: Checkout,
) -> None:
    """SIGTERM of the command cancels the run on the bastion and waits for its rollback: nothing
    goes on that nobody watches.
    """
    slow = platform.root / "alembic" / "versions" / "0004_slow.py"
    slow.write_text(SLOW)
    try:
        waiting = world.start(platform, "db.upgrade", "--to", "0004")
        world.read_until(waiting, "continues unattended")
        world.read_until(waiting, "upgrade 0004")
        waiting.terminate()
        _, said = waiting.communicate(timeout=60)
        assert (
            waiting.returncode == 130
            and "was cancelled" in said
            and "the database is at 0003" in said
        ), said
    finally:
        slow.unlink()


def test_a_lost_terminal_leaves_it_running(platform: Checkout) -> None:
    """SIGHUP: the run goes on there, and `db.attach` has its end."""
    slow = platform.root / "alembic" / "versions" / "0004_slow.py"
    slow.write_text(SLOW.replace("pg_sleep(60)", "pg_sleep(3)"))
    try:
        waiting = world.start(platform, "db.upgrade", "--to", "0004")
        world.read_until(waiting, "continues unattended")
        world.read_until(waiting, "upgrade 0004")
        waiting.send_signal(signal.SIGHUP)
        _, said = waiting.communicate(timeout=60)
        assert (
            waiting.returncode == 130
            and "it continues on the bastion" in said
            and " next: inv db.attach --run" in said
        ), said
        assert platform.document("db.attach")["to"] == "0004"
        assert platform.inv("db.downgrade").returncode == 0
    finally:
        slow.unlink()


def test_a_tunnel_is_kept_open_for_a_persons_tools(platform: Checkout) -> None:
    """The psql line holds everything but the password, and the port answers while the command
    runs.
    """
    process = world.start(platform, "db.tunnel", "--json", "--timeout", "30")
    assert process.stdout
    found = json.loads(process.stdout.readline())
    secret = json.loads((platform.root / ".sandbox" / "postgres" / "credentials.json").read_text())[
        "application"
    ]
    words = dict(
        word.split("=", 1) for word in found["psql"].removeprefix("psql ").strip("'").split()
    )
    with psycopg.connect(**words, password=secret) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert secret not in found["psql"]
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0


def test_the_projects_own_revisions_go_there_and_back(platform: Checkout) -> None:
    """db.verify passes for each of them, on a database of its own."""
    found = platform.document("db.verify")
    assert found["verified"] and [each["revision"] for each in found["revisions"]] == [
        "0001",
        "0002",
        "0003",
    ]
    assert platform.document("db.ping")["reachable"] is True


def test_where_nothing_can_be_done_three_lines_say_so(platform: Checkout) -> None:
    """An unknown revision, an account that is not set up here, a revision without a message: exit
    2.
    """
    cases: tuple[tuple[tuple[str, ...], dict[str, Any], str], ...] = (
        (("db.upgrade", "--to", "nope"), {}, "revision nope"),
        (("db.current",), {"INVOKE_ENV": "dev"}, "profile davidshaevel-dev"),
        (("db.revision", ""), {}, "its value is empty"),
    )
    for words, environment, says in cases:
        done = platform.inv(*words, **environment)
        assert (
            done.returncode == 2
            and says in done.stderr
            and " next: " in done.stderr
            and "Traceback" not in done.stderr
        )
