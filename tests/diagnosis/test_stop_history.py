"""Stopped tasks that ECS has forgotten are remembered on this machine."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ops.diagnosis import stop_history


def stop(name: str, ago: timedelta) -> dict[str, Any]:
    return {"taskArn": name, "createdAt": (datetime.now(UTC) - ago).isoformat()}


def settings(root: Path) -> Any:
    return SimpleNamespace(root=root, name="dev")


def names(found: dict[str, Any]) -> list[str]:
    return [each["taskArn"] for each in found["backend"]]


def test_a_forgotten_task_is_remembered_for_a_week(tmp_path: Path) -> None:
    old, new = stop("old", timedelta(days=8)), stop("new", timedelta(hours=2))
    stop_history.merge(settings(tmp_path), {"backend": [old, new]})
    found = stop_history.merge(settings(tmp_path), {"backend": [stop("now", timedelta(0))]})
    assert names(found) == ["now", "new"]


@pytest.mark.parametrize("content", ["{torn", "[]", '{"backend": 7}', '{"backend": [1, {}]}'])
def test_a_damaged_file_costs_only_what_it_held(tmp_path: Path, content: str) -> None:
    path = tmp_path / ".ops/evidence/dev/stopped-tasks.json"
    path.parent.mkdir(parents=True)
    path.write_text(content)
    found = stop_history.merge(settings(tmp_path), {"backend": [stop("now", timedelta(0))]})
    assert names(found) == ["now"]


def test_a_folder_that_cannot_be_written_is_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / ".ops").write_text("a file where the folder belongs")
    found = stop_history.merge(settings(tmp_path), {"backend": [stop("now", timedelta(0))]})
    assert names(found) == ["now"] and "not remembered" in capsys.readouterr().err
