"""`inv db.snapshot` and `inv db.start` on the sandbox's RDS, which takes its time for them."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from ops.aws import rds, session
from ops.core.config.settings import Settings
from ops.core.errors import ConfigError, OpsError, Refused, TimedOut
from ops.migrations import plan, snapshot
from ops.migrations.snapshot import RdsWait
from ops.migrations.target import MigrationTarget
from ops.sandbox.aws import serve
from ops.sandbox.contracts import Timing
from tests.migrations.project import PLACE, Here, here, server
from tests.sandbox.aws_platform import ports

__all__ = ["here", "server"]  # fixtures


@pytest.fixture(scope="module")
def place() -> Iterator[Settings]:
    """An environment whose AWS has one RDS instance."""
    running = serve(ports(), Timing(snapshot=1.5, database=1.0))
    own = {"endpoint": running.url, **asdict(running.keys.operator)}
    environment: dict[str, Any] = {
        **PLACE,
        "aws": own,
        "database": {"instance": "demo-db", "snapshot": True},
    }
    settings = Settings(name="here", root=Path(), environment=environment)
    words = {
        "Engine": "postgres",
        "DBInstanceClass": "db.t4g.micro",
        "AllocatedStorage": 20,
        "MasterUsername": "u",
    }
    client(settings).create_db_instance(
        DBInstanceIdentifier="demo-db",
        EngineVersion="15.12",
        MasterUserPassword="not-shown-here",
        **words,
    )
    yield settings
    running.stop()


def client(settings: Settings) -> Any:
    return session.connect(settings).client("rds")


def wait(said: list[str], timeout_s: float = 20) -> RdsWait:
    return RdsWait(0.1, timeout_s, progress=said.append)


def take(
    settings: Settings, reason: str, wait: RdsWait, name: str | None = None
) -> snapshot.SnapshotResult:
    step = snapshot.TakeSnapshot(snapshot.instance_name(settings), reason, name)
    return snapshot.take_snapshot(settings, step, wait)


def start(settings: Settings, wait: RdsWait) -> snapshot.StartResult:
    return snapshot.InstanceStart.planned(settings, wait).apply()


def planned_start(settings: Settings) -> Any:
    return snapshot.InstanceStart.planned(settings, wait([])).preview().document["plan"]


def test_a_snapshot_is_waited_for_and_named_tellingly(place: Settings) -> None:
    """Its name says of what, why and when; its progress is shown; it carries who made it; a second
    one beside it waits its turn.
    """
    said: list[str] = []
    taken = take(place, "before 0001", wait(said))
    assert (
        re.fullmatch(r"demo-db-before-0001-\d{8}t\d{6}z-[0-9a-f]{4}", taken.name)
        and taken.took_s > 1
    )
    found = client(place).describe_db_snapshots(DBSnapshotIdentifier=taken.name)["DBSnapshots"][0]
    assert (
        found["Status"] == "available"
        and {"Key": "environment", "Value": "here"} in found["TagList"]
    )
    assert sum("creating" in line for line in said) >= 1
    with pytest.raises(Refused, match="snapshot"):
        take(place, "x", wait(said), taken.name)
    with pytest.raises(ConfigError):
        take(place, "x", wait(said), "no--name-")


def test_a_wait_that_is_too_long_says_what_goes_on(place: Settings) -> None:
    """--timeout ends the wait, not the snapshot."""
    with pytest.raises(TimedOut) as problem:
        take(place, "short", wait([], 0.2))
    assert "RDS continues by itself" in problem.value.why
    time.sleep(1.5)


def test_a_stopped_instance_is_started_and_one_that_stops_is_waited_for(place: Settings) -> None:
    """No snapshot while it is stopped, with what to type; then stopping → stopped → starting →
    available; available stays as it is.
    """
    client(place).stop_db_instance(DBInstanceIdentifier="demo-db")
    with pytest.raises(Refused) as problem:
        take(place, "x", wait([]))
    assert problem.value.next.startswith("inv db.start")
    assert [step["verb"] for step in planned_start(place)] == ["start"]
    said: list[str] = []
    found = start(place, wait(said))
    assert found.status == "available" and found.before in ("stopping", "stopped")
    assert "starting RDS instance demo-db" in said and "RDS instance demo-db is starting" in said
    assert start(place, wait([])).before == "available"
    assert planned_start(place) == []


def test_an_instance_that_is_gone_or_broken_is_three_lines(place: Settings) -> None:
    """A name that RDS does not know is a mistake in the configuration; storage-full is no state to
    wait in.
    """
    environment = {**place.environment.model_dump(), "database": {"instance": "none-such"}}
    other = Settings(name="here", root=Path(), environment=environment)
    with pytest.raises(ConfigError, match="none-such"):
        start(other, wait([]))
    none = Settings(name="none", root=Path(), environment=PLACE)
    with pytest.raises(ConfigError, match="names no RDS instance"):
        take(none, "x", wait([]))
    broken = rds.Instance("demo-db", "storage-full", "postgres", "15.12")
    with pytest.raises(OpsError, match="demo-db"):
        snapshot._wait_until_available(session.connect(place), broken, time.monotonic(), wait([]))


def test_a_migration_that_loses_rows_plans_a_snapshot_first(here: Here, place: Settings) -> None:
    """Where database.snapshot says so, and only where rows are lost; forward as well as back."""
    here.project.write(
        "0001", "CREATE TABLE t (id int); CREATE TABLE u (id int)", "DROP TABLE u; DROP TABLE t"
    )
    here.go()
    at = MigrationTarget(place, here.target.database)
    assert plan.plan_migration(at, "downgrade", None).snapshot is None, "no row, no snapshot"
    here.project.ask("INSERT INTO t VALUES (1)")
    planned = plan.plan_migration(at, "downgrade", None)
    assert planned.document["plan"][0]["says"] == "Take a snapshot of RDS instance demo-db"
    assert planned.steps_as_text().startswith("  1  Take a snapshot of RDS instance demo-db")
    assert plan.plan_migration(here.target, "downgrade", None).snapshot is None
    here.project.write("0002", "TRUNCATE t", "SELECT 1")
    assert (
        plan.plan_migration(at, "upgrade", None).document["plan"][0]["says"]
        == "Take a snapshot of RDS instance demo-db"
    )
