"""A failed connection names the RDS instance if it is stopped."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ops.aws import rds, session
from ops.core.config.settings import Settings
from ops.core.errors import OpsError, Unreachable
from ops.migrations.target import MigrationTarget
from ops.postgres import access
from ops.ssh.errors import BeyondBastion
from tests.migrations.project import PLACE

WHERE = "database app on db.internal:5432"
FAILED = Unreachable(f"cannot connect to {WHERE}", "timeout expired", "check the network")
BEYOND = BeyondBastion("bastion to db.internal", "connection refused", "check the network")
OTHER = Unreachable("the bastion", "no route to host", "check the network")


def settings(**database: Any) -> Settings:
    return Settings(name="here", root=Path(), environment={**PLACE, "database": database})


def opened(monkeypatch: pytest.MonkeyPatch, error: OpsError, **database: Any) -> Unreachable:
    """The error of a command that fails with `error` while the database is open."""

    @contextmanager
    def open_database(*_given: Any, **_more: Any) -> Iterator[Any]:
        yield SimpleNamespace(target=SimpleNamespace(where=WHERE))

    monkeypatch.setattr(access, "open_database", open_database)
    monkeypatch.setattr(session, "connect", lambda _settings: None)
    with (
        pytest.raises(Unreachable) as raised,
        MigrationTarget.opened(settings(**database)),
    ):
        raise error
    return raised.value


def answer(monkeypatch: pytest.MonkeyPatch, status: str) -> list[str]:
    asked: list[str] = []

    def instance(_cloud: Any, name: str) -> rds.Instance:
        asked.append(name)
        return rds.Instance(name, status, "postgres", "15.12")

    monkeypatch.setattr(rds, "instance", instance)
    return asked


@pytest.mark.parametrize("status", ["stopped", "stopping"])
@pytest.mark.parametrize("error", [FAILED, BEYOND])
def test_a_stopped_instance_is_named(
    monkeypatch: pytest.MonkeyPatch, error: Unreachable, status: str
) -> None:
    """From here and through the bastion; the first line still says what failed."""
    answer(monkeypatch, status)
    found = opened(monkeypatch, error, instance="demo-db")
    assert found.what == error.what and found.next.startswith("inv db.start")
    assert f"RDS instance demo-db is {status}" in found.why and error.why in found.why


@pytest.mark.parametrize("status", ["available", "starting", "backing-up"])
def test_another_state_explains_nothing(monkeypatch: pytest.MonkeyPatch, status: str) -> None:
    """The error of the connection stays as it was."""
    answer(monkeypatch, status)
    assert opened(monkeypatch, FAILED, instance="demo-db") is FAILED


def test_rds_is_asked_only_after_a_failed_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not without an instance, and not for an error of something else."""
    asked = answer(monkeypatch, "stopped")
    assert opened(monkeypatch, FAILED, host="db.internal") is FAILED
    assert opened(monkeypatch, OTHER, instance="demo-db") is OTHER
    assert not asked


def test_a_state_that_can_not_be_read_is_no_second_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without rds:DescribeDBInstances the first error is reported."""

    def denied(_cloud: Any, _name: str) -> rds.Instance:
        raise Unreachable("RDS instance demo-db", "access denied")

    monkeypatch.setattr(rds, "instance", denied)
    assert opened(monkeypatch, FAILED, instance="demo-db") is FAILED
