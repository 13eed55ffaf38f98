"""The last line of `SERVICE.releases`: where a rollback goes, or why nowhere."""

from __future__ import annotations

import pytest

from ops.core.errors import ConfigError, Refused
from ops.core.findings import Unknown
from ops.deploy.rollback.listed import ReleaseList
from ops.deploy.rules.rollback_target import NoRollbackTarget, RollbackTarget
from ops.state.records import Releases
from ops.state.rules.records import ReleaseRow

ROW = ReleaseRow(
    "abc1234",
    "sha256:1",
    "abc1234",
    "ada",
    "2026-11-30T10:00:00+00:00",
    "succeeded",
    current=True,
    in_ecr=True,
    recorded=True,
)
TARGET = RollbackTarget("abc1234", "sha256:1", "dev-backend:7")


@pytest.mark.parametrize(
    ("target", "line", "to", "why"),
    [
        (TARGET, "inv backend.rollback goes to abc1234", "abc1234", None),
        (
            RollbackTarget("abc1234", "sha256:1", unfinished=True),
            "inv backend.rollback completes the rollback to abc1234",
            "abc1234",
            None,
        ),
        (
            NoRollbackTarget("no release to roll backend back to", "no longer in ECR", "next"),
            "inv backend.rollback has no target: no longer in ECR",
            None,
            "no longer in ECR",
        ),
        (
            ConfigError("backend is watched here, not built or deployed", "no repository"),
            "inv backend.rollback is refused: backend is watched here, not built or deployed: "
            "no repository",
            None,
            "no repository",
        ),
        (
            Refused("whether ECR still holds abc1234 could not be read", "throttled", "next"),
            "inv backend.rollback is refused: whether ECR still holds abc1234 could not be read: "
            "throttled",
            None,
            "throttled",
        ),
        (
            Unknown("AccessDenied"),
            "inv backend.rollback: unknown: AccessDenied",
            None,
            "AccessDenied",
        ),
        (
            RollbackTarget("a\x1b[2Jb", "sha256:1"),
            "inv backend.rollback goes to a\\x1b[2Jb",
            "a\x1b[2Jb",
            None,
        ),
    ],
)
def test_where_a_rollback_goes(
    target: RollbackTarget | Refused | ConfigError | Unknown,
    line: str,
    to: str | None,
    why: str | None,
) -> None:
    listed = ReleaseList("backend", Releases((ROW,)), target)
    assert listed.text.splitlines()[-1] == line
    document = listed.document
    assert (document["rollback"]["to"], document["rollback"]["why"]) == (to, why)
    assert document["releases"][0]["tag"] == "abc1234"


def test_without_releases_nothing_is_added() -> None:
    listed = ReleaseList("backend", Releases(()), Refused("none", "none", "none"))
    assert listed.text == "no releases: no record, and no image in ECR"
