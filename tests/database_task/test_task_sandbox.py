"""`database.run: task` as it is typed, on the sandbox: its tasks, its S3, its logs."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from ops.aws.session import AwsSession, of_overlay
from tests.checkout import Checkout
from tests.deploy import deploying as world

pytestmark = [pytest.mark.xdist_group("platform"), pytest.mark.timeout(300)]
REVISION = '''"""A revision of this test."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.execute("CREATE TABLE slow (id bigint)")
    op.execute("{statement}")


def downgrade() -> None:
    op.execute("DROP TABLE slow")
'''
VARIABLES = {
    "password": "DB_PASSWORD",
    "user": "DB_USERNAME",
    "host": "DB_HOST",
    "port": "DB_PORT",
    "name": "DB_NAME",
}


@pytest.fixture
def by_task(platform: Checkout, tmp_path: Path) -> Iterator[str]:
    """A file for `-f` with `database.run: task`; the database is at 0003 before and after."""
    assert platform.inv("db.upgrade", "--to", "0003", "--yes").returncode == 0
    yield configured(tmp_path)
    assert platform.inv("db.upgrade", "--to", "0003", "--yes").returncode == 0


def configured(folder: Path, **task: Any) -> str:
    database = {"run": "task", "task": {"service": "backend", "variables": VARIABLES, **task}}
    file = folder / "task.yaml"
    file.write_text(yaml.safe_dump({"environments": {"sandbox": {"database": database}}}))
    return str(file)


def cloud(platform: Checkout) -> AwsSession:
    overlay = yaml.safe_load((platform.root / ".sandbox" / "environment.yaml").read_text())
    aws = overlay["aws"]
    return of_overlay(aws["endpoint"], aws["access_key"], aws["secret_key"], "us-east-1")


@pytest.fixture
def slow(platform: Checkout) -> Iterator[Path]:
    file = platform.root / "alembic" / "versions" / "0004_slow.py"
    file.write_text(REVISION.format(statement="SELECT pg_sleep(60)"))
    yield file
    file.unlink()


def test_down_up_and_current_by_tasks(platform: Checkout, by_task: str) -> None:
    """Each document is the contract's; the password is nowhere outside the container: not in the
    output, RunTask's overrides, S3 or the log. Of S3 only the bundles stay.
    """
    done = platform.inv(
        *("-f", by_task, "db.downgrade", "--yes", "--json", "db.upgrade", "--yes", "--json"),
        *("db.current", "--json", "db.ping", "db.history", "--limit", "2"),
    )
    assert done.returncode == 0, done.stderr
    back, again, current = (json.loads(line) for line in done.stdout.splitlines()[:3])
    assert (back["to"], again["from"], again["to"]) == ("0002", "0002", "0003")
    assert {back["mode"], again["mode"]} == {"task"} and back["run"] != again["run"]
    assert current["revision"] == "0003" and current["drift"] == []
    text = " ".join(done.stdout.split())
    assert "answers in" in text and "db.upgrade done: 0002 → 0003" in text
    assert "upgrade 0003" in done.stderr and "MB to s3://" in done.stderr
    secret = json.loads((platform.root / ".sandbox" / "postgres" / "credentials.json").read_text())[
        "application"
    ]
    aws, bucket = cloud(platform), "dev-davidshaevel-terraform-state"
    objects = aws.client("s3").list_objects_v2(Bucket=bucket, Prefix="ops/tasks/")["Contents"]
    names = sorted(each["Key"].removeprefix("ops/tasks/").split("-")[0] for each in objects)
    assert names == ["bundles/code", "bundles/site"]
    ecs = aws.client("ecs")
    pages = ecs.get_paginator("list_tasks").paginate(
        cluster="dev-davidshaevel-cluster", desiredStatus="STOPPED"
    )
    tasks = [
        ecs.describe_tasks(cluster="dev-davidshaevel-cluster", tasks=page["taskArns"])["tasks"]
        for page in pages
        if page["taskArns"]
    ]
    text = json.dumps(tasks, default=str)
    assert "inv-db-" in text and "OPS_TASK_URL" in text
    assert secret not in text + done.stdout + done.stderr
    assert "X-Amz-Signature" not in done.stdout + done.stderr


def test_a_downgrade_asks_before_rows_are_lost(platform: Checkout, by_task: str) -> None:
    """The rows are counted by the task, before anything runs; without a terminal: exit code 3."""
    world.sql(platform, "UPDATE projects SET summary = 'It deploys itself.'")
    asked = platform.inv("-f", by_task, "db.downgrade")
    assert asked.returncode == 3 and "--yes" in asked.stderr
    assert "column public.projects.summary: 1 row\n" in asked.stderr
    assert platform.document("db.current")["revision"] == "0003"


def test_a_failing_revision_is_reported_as_from_here(
    platform: Checkout, by_task: str, slow: Path
) -> None:
    """The same three lines and exit code as on the bastion, apart from the place."""
    slow.write_text(REVISION.format(statement="SELECT 1/0"))
    ended = [platform.inv(*words, "db.upgrade") for words in (("-f", by_task), ())]
    assert [each.returncode for each in ended] == [1, 1]
    errors = [each.stderr[each.stderr.index("error: ") :].splitlines()[:2] for each in ended]
    assert errors[0] == errors[1] and "division by zero" in errors[0][1]
    attached = platform.inv("-f", by_task, "db.attach")
    assert attached.returncode == 1 and "division by zero" in attached.stderr


def test_a_run_is_cancelled_from_another_terminal(
    platform: Checkout, by_task: str, slow: Path
) -> None:
    """StopTask: the revision is rolled back, and both commands say so."""
    waiting = world.start(platform, "-f", by_task, "db.upgrade")
    world.read_until(waiting, "upgrade 0004")
    cancelled = platform.document("-f", by_task, "db.cancel")
    _, said = waiting.communicate(timeout=90)
    assert cancelled["state"] == "cancelled"
    assert waiting.returncode == 130 and "was cancelled" in said
    assert platform.document("db.pending")["pending"][-1]["revision"] == "0004"
    over = platform.inv("-f", by_task, "db.cancel")
    assert over.returncode == 3 and "nothing to cancel" in over.stderr


def test_a_lost_terminal_leaves_the_run(platform: Checkout, by_task: str, slow: Path) -> None:
    """SIGHUP: the task goes on, and `db.attach` has its end."""
    slow.write_text(REVISION.format(statement="SELECT pg_sleep(5)"))
    waiting = world.start(platform, "-f", by_task, "db.upgrade")
    world.read_until(waiting, "upgrade 0004")
    waiting.send_signal(signal.SIGHUP)
    _, said = waiting.communicate(timeout=90)
    assert waiting.returncode == 130 and "it continues in task" in said, said
    assert platform.document("-f", by_task, "db.attach")["to"] == "0004"
    assert platform.inv("db.downgrade", "--yes").returncode == 0


def test_a_killed_task_is_lost_and_never_done(platform: Checkout, by_task: str, slow: Path) -> None:
    """As after SIGKILL by the kernel (out of memory): another task reads what was recorded."""
    waiting = world.start(platform, "-f", by_task, "db.upgrade")
    world.read_until(waiting, "upgrade 0004")
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if "-I" in words and "OPS_TASK_SHA256" in words[-1] and str(platform.root) in process.cwd():
            process.kill()
    _, said = waiting.communicate(timeout=120)
    assert waiting.returncode == 1 and "is lost: its task was killed" in said, said
    assert "exit code 137" in said and "the database is at 0003" in said


def test_a_database_of_another_tool_is_adopted(platform: Checkout, by_task: str) -> None:
    """The task compares, and records the revision under the migration lock."""
    world.sql(platform, "DROP TABLE alembic_version")
    done = platform.inv("-f", by_task, "db.adopt")
    assert done.returncode == 0 and "recorded 0003" in done.stdout, done.stderr
    again = platform.inv("-f", by_task, "db.adopt")
    assert again.returncode == 3 and "it is at 0003 already" in again.stderr


def test_preflight_reads_pending_revisions_by_one_task(platform: Checkout, by_task: str) -> None:
    """For all services together; a sweep of health starts none, and can be healthy."""
    assert platform.inv("-f", by_task, "db.downgrade", "--yes").returncode == 0
    done = platform.inv("-f", by_task, "preflight", "health.db")
    assert "migrations  1 pending: 0003" in done.stdout + done.stderr, done.stderr
    assert done.stderr.count("starts (run") == 1
    assert done.returncode == 0 and "healthy  sandbox" in done.stdout


def test_a_bundle_that_was_changed_in_s3_is_not_run(platform: Checkout, by_task: str) -> None:
    """Its digest is part of a signed request; nothing of it is unpacked."""
    assert platform.inv("-f", by_task, "db.ping").returncode == 0
    s3, bucket = cloud(platform).client("s3"), "dev-davidshaevel-terraform-state"
    objects = s3.list_objects_v2(Bucket=bucket, Prefix="ops/tasks/bundles/code-")["Contents"]
    for each in objects:
        s3.put_object(Bucket=bucket, Key=each["Key"], Body=b"not ours")
    try:
        done = platform.inv("-f", by_task, "db.upgrade")
        assert done.returncode == 1 and "has the digest" in done.stderr, done.stderr
        assert "see who can write to s3://" in done.stderr
    finally:
        for each in objects:
            s3.delete_object(Bucket=bucket, Key=each["Key"])


def test_images_that_can_not_are_named(platform: Checkout, by_task: str, tmp_path: Path) -> None:
    """No such Python, an entryPoint that runs something else, an unknown service, no variable."""
    ecs = cloud(platform).client("ecs")
    found = ecs.describe_task_definition(taskDefinition="dev-davidshaevel-backend")
    container = dict(found["taskDefinition"]["containerDefinitions"][0])
    container |= {"entryPoint": ["python3", "-c", "print('not ours')"]}
    keep = ("taskRoleArn", "executionRoleArn", "networkMode", "cpu", "memory")
    rest = {key: found["taskDefinition"][key] for key in keep if key in found["taskDefinition"]}
    ecs.register_task_definition(
        family="ops-entry", containerDefinitions=[container], requiresCompatibilities=["FARGATE"],
        **rest,
    )  # fmt: skip
    cases: tuple[tuple[dict[str, Any], int, str], ...] = (
        ({"python": "python9"}, 1, "set database.task.python"),
        ({"task_definition": "ops-entry"}, 1, "exited with 0, and its output is not ours"),
        ({"task_definition": "absent"}, 3, "task definition absent does not exist"),
        ({"variables": {"password": "DB_PASS"}}, 2, "has no variable DB_PASS"),
    )
    for task, code, says in cases:
        done = platform.inv("-f", configured(tmp_path, **task), "db.current")
        assert (done.returncode, says in done.stderr) == (code, True), done.stderr
        assert len(done.stderr[done.stderr.index("error: ") :].splitlines()) == 3
    done = platform.inv("-f", configured(tmp_path), "db.tunnel")
    assert done.returncode == 3 and "only ECS tasks reach the database" in done.stderr
