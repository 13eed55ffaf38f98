"""Runs that are kept: so many of each kind, and no file is taken for a run that is none."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ops.core.config.settings import Settings
from ops.core.errors import ConfigError
from ops.health import history
from ops.health.model import Sweep
from ops.health.rules.stored_sweep import StoredSweep


def run(second: int, *groups: str, status: str = "ok", **more: Any) -> dict[str, Any]:
    checks = [
        {"group": group, "name": group, "status": status, "value": "", **more} for group in groups
    ]
    return {"at": f"2026-01-01T00:00:{second:02}.000+00:00", "environment": "dev", "checks": checks}


def test_many_small_runs_leave_the_whole_ones(tmp_path: Path) -> None:
    """Kept are so many of each set of groups: a watch over one group takes none of the others'
    places.
    """
    history.store_run(tmp_path, run(0, "ecs", "endpoints", "account"), limit=3)
    for second in range(1, 9):
        history.store_run(tmp_path, run(second, "certificates"), limit=3)
    kept = [sorted(check.group for check in each.checks) for each in history.stored_runs(tmp_path)]
    assert kept == [*[["certificates"]] * 3, ["account", "ecs", "endpoints"]]


def test_a_group_that_was_skipped_makes_another_kind(tmp_path: Path) -> None:
    """What was not looked at does not count."""
    both = run(0, "ecs", "logs")
    both["checks"][1]["status"] = "skipped"
    assert history.store_run(tmp_path, both, limit=1).name.endswith(".ecs.json")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "Expecting value"),
        ("[1]", "contains no health checks"),
        ("{}", "contains no health checks"),
        ('{"checks": [{}]}', "contains no health checks"),
        ('{"at": "x", "checks": []}', "environment"),
        ("[" * 100_000, "recursion"),
        (json.dumps({"at": "x", "environment": "dev", "checks": [{}]}), r"checks[0].group"),
        (json.dumps({"at": "x", "environment": "dev", "checks": [1]}), r"checks[0].group"),
        (
            json.dumps(run(0, "ecs", status="green")),
            r"checks[0].status: 'green', expected one of ok, failed",
        ),
        (json.dumps(run(0, "ecs", patterns=3)), r"checks[0].patterns"),
        (json.dumps(run(0, "ecs", numbers={"p50": "a"})), r"checks[0].numbers"),
        (json.dumps(run(0, "ecs", numbers=[1])), r"checks[0].numbers"),
        (json.dumps(run(0, "ecs", service=7)), r"checks[0].service"),
    ],
)
def test_a_file_that_is_no_run_is_refused_by_what_is_odd(
    tmp_path: Path, text: str, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2 and the place; a stored run like that is reported as unknown."""
    path = tmp_path / "1.ecs.json"
    path.write_text(text)
    with pytest.raises(ConfigError) as refused:
        history.read_run(path)
    assert why in refused.value.why and "--baseline" in refused.value.what
    capsys.readouterr()
    assert [*history.stored_runs(tmp_path)] == []
    assert f"unknown: stored run {path}" in capsys.readouterr().err


def test_a_run_is_read_back(tmp_path: Path) -> None:
    """Whatever is written can be compared with."""
    document = run(
        0, "ecs", numbers={"p50": 1, "errors/min": 0.5}, patterns=["error x"], service="backend"
    )
    assert history.read_run(
        history.write_run(tmp_path / "x", document)
    ) == StoredSweep.from_document(document)


def test_an_unwritable_folder_is_reported_and_ends_nothing(
    tmp_path: Path, settings: Callable[..., Settings], capsys: pytest.CaptureFixture[str]
) -> None:
    """`.ops` cannot be written: the run has its result, the next one has no baseline."""
    (tmp_path / ".ops").write_text("not a folder")
    place = settings().model_copy(update={"root": tmp_path})
    run_now = Sweep("rehearsal", "2026-01-01T00:00:00.000+00:00", 1.0, ())
    assert history.append(place, run_now) is None
    assert "this run could not be stored in" in capsys.readouterr().err
