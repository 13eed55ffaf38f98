"""The database behind its release, and what a fault on the disk means for the next `up`."""

from __future__ import annotations

import json
import os
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from ops.sandbox import faults, lifecycle
from ops.sandbox.contracts import Paths
from ops.sandbox.database import Server, schema
from ops.sandbox.status import read
from tests.sandbox.faults_support import QUICK, Page, active, broken, clients, connect

BUCKET, FOLDER = "dev-davidshaevel-terraform-state", "ops/releases/sandbox/backend/"


@pytest.fixture
def root(unharmed: Path) -> Path:
    return unharmed


def records(root: Path) -> list[dict[str, Any]]:
    s3 = clients(root).s3
    keys = [
        each["Key"] for each in s3.list_objects_v2(Bucket=BUCKET, Prefix=FOLDER).get("Contents", ())
    ]
    return [json.loads(s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()) for key in keys]


def ask(root: Path, query: str) -> Any:
    with connect(root) as connection:
        found = connection.execute(query).fetchall()
    return found


def to_head(root: Path) -> None:
    """Upgrade as an operator does, and write a summary into the newest column."""
    record = read(Paths(root))
    assert record is not None and record.ports is not None
    schema.upgrade(Server(Paths(root), record.ports.database).login, "head")
    with connect(root) as connection:
        connection.execute("UPDATE public.projects SET summary = 'kept'")


AWAY = 0.3  # seconds
COLUMN = (
    "SELECT count(*) FROM information_schema.columns WHERE table_name = 'projects' AND "
    "column_name = 'summary'"
)
REVISION = "SELECT version_num FROM alembic_version"


def test_a_release_that_knows_a_newer_schema(root: Path) -> None:
    """A database that is not at the head stays as it is: a record says that what runs was released
    on the next revision.
    """
    assert ask(root, REVISION) == [("0002",)] and records(root) == []
    with broken(root, "schema-behind"):
        [record] = records(root)
        health = json.loads(Page(root, "/api/health").body)
        assert (
            record["schema_revision"] == "0003"
            and record["verdict"] == "succeeded"
            and record["service"] == "backend"
        )
        assert (
            record["tag"] == health["version"]
            and record["digest"].startswith("sha256:")
            and record["commit"].startswith(record["tag"])
        )
        assert ask(root, REVISION) == [("0002",)]
    assert records(root) == []


def test_a_failed_deploy_of_a_newer_schema_is_no_release(root: Path) -> None:
    """Whatever a deploy that was taken back has recorded: health reads the last release that
    succeeded, and so does the fault.
    """
    failed = json.dumps({"verdict": "failed", "schema_revision": "0003"})
    clients(root).s3.put_object(Bucket=BUCKET, Key=f"{FOLDER}0-failed.json", Body=failed)
    with broken(root, "schema-behind"):
        assert [(record["verdict"], record["schema_revision"]) for record in records(root)] == [
            ("failed", "0003"),
            ("succeeded", "0003"),
        ]
    clients(root).s3.delete_object(Bucket=BUCKET, Key=f"{FOLDER}0-failed.json")


def test_a_schema_at_its_head_goes_one_back_and_returns_with_its_rows(root: Path) -> None:
    """The newest revision is taken back by its own downgrade; mended, its column and what was in it
    are there again.
    """
    to_head(root)
    with broken(root, "schema-behind"):
        assert ask(root, REVISION) == [("0002",)] and ask(root, COLUMN) == [(0,)]
        assert records(root)[0]["schema_revision"] == "0003"
        assert Page(root, "/api/projects").status == 200
    assert ask(root, REVISION) == [("0003",)] and ask(
        root, "SELECT summary FROM public.projects"
    ) == [("kept",)]


def test_after_a_kill_the_next_up_mends_what_lies_on_the_disk(root: Path) -> None:
    """The supervisor dies with faults of every kind: what was in memory is gone with it, the
    database is as it was, nothing is active.
    """
    to_head(root)
    for name in ("schema-behind", "page-500", "state-lock"):
        faults.send_request(root, "break", name)
    kill(root)
    assert active(root) == {"schema-behind"}, "it lies on the disk"
    assert lifecycle.up(root, rollout="ecs", timing=replace(QUICK, latency=AWAY)).ready
    assert active(root) == set() and Page(root, "/about").status == 200
    assert ask(root, REVISION) == [("0003",)] and ask(
        root, "SELECT summary FROM public.projects"
    ) == [("kept",)]


def test_aws_and_the_site_can_be_far_away(root: Path) -> None:
    """With `Timing.latency` every AWS call and every page takes that much longer, once: nothing is
    added behind the CDN.
    """

    def call() -> float:
        began = time.monotonic()
        sts.get_caller_identity()
        return time.monotonic() - began

    sts = clients(root).sts
    sts.get_caller_identity()
    assert AWAY <= min(call() for _ in range(3)) < 2 * AWAY
    for where in ("site", "alb"):
        assert AWAY <= min(Page(root, "/health", where).took for _ in range(3)) < 2 * AWAY, where


def test_down_and_up_leave_a_healthy_world(root: Path) -> None:
    """A changed password and a wrong health path are gone after `down` and `up`: both services are
    healthy.
    """
    for name in ("database-password", "tasks-unhealthy"):
        faults.send_request(root, "break", name)
    lifecycle.down(root)
    assert not Paths(root).token.exists()
    assert lifecycle.up(root, rollout="ecs", timing=QUICK).ready
    assert (
        active(root) == set()
        and json.loads(Page(root, "/api/health").body)["database"] == "connected"
    )
    connect(root).close()


def kill(root: Path) -> None:
    record = read(Paths(root))
    assert record is not None and record.pid is not None
    process = psutil.Process(record.pid)
    os.kill(record.pid, signal.SIGKILL)
    process.wait(10)
