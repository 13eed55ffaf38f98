"""Which release a rollback goes to, by table."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pytest_httpserver import HTTPServer

from ops.aws.facts import Image
from ops.aws.session import AwsSession
from ops.core.errors import ConfigError, Refused
from ops.core.findings import Unknown
from ops.deploy.rollback.read_target import read_target
from ops.deploy.rules.rollback_target import (
    Images,
    RunningRelease,
    choose_target,
    find_release,
    interrupted_rollback,
    seen_healthy,
)
from ops.platform import Platform
from ops.state.model import ReleaseRecord
from tests.aws_fixtures import make_settings


def health(*checks: tuple[str, str]) -> dict[str, Any]:
    rows = [
        {"group": "ecs", "name": f"{place}", "status": status, "service": service}
        for place, (service, status) in enumerate(checks)
    ]
    return {"at": "2026-11-30T10:00:00+00:00", "environment": "dev", "checks": rows}


HEALTHY = health(("backend", "ok"))


def release(tag: str, revision: int, verdict: str = "succeeded", **more: Any) -> ReleaseRecord:
    return ReleaseRecord(
        service="backend",
        tag=tag,
        digest=f"sha256:{tag}00",
        verdict=verdict,
        at="2026-11-30T10:00:00+00:00",
        commit=f"{tag}ffff",
        task_definition=f"dev-backend:{revision}",
        **{"health": HEALTHY, **more},
    )


FIRST, SECOND, THIRD = release("aaaa1", 1), release("bbbb2", 2), release("cccc3", 3)
FOURTH = release("eeee5", 5)
ALL = (THIRD, SECOND, FIRST)
BACK_TO_SECOND = replace(SECOND, kind="rollback")
IN_ECR: Images = {
    str(each.tag): Image(str(each.digest), str(each.tag), 1, None) for each in (*ALL, FOURTH)
}


def running(record: ReleaseRecord) -> RunningRelease:
    return RunningRelease(str(record.tag), record.digest, str(record.task_definition))


NEW = RunningRelease("dddd4", "sha256:dddd400", "dev-backend:4")


@pytest.mark.parametrize(
    ("records", "runs", "images", "expected"),
    [
        (ALL, running(THIRD), {}, SECOND),
        (ALL, NEW, {}, THIRD),  # deployed by hand, or still rolling out
        ((replace(THIRD, verdict="rolled_back"), SECOND, FIRST), running(SECOND), {}, FIRST),
        ((THIRD, replace(SECOND, verdict="failed"), FIRST), running(THIRD), {}, FIRST),
        ((THIRD, replace(SECOND, health=None), FIRST), running(THIRD), {}, FIRST),
        ((THIRD, replace(SECOND, digest=None), FIRST), running(THIRD), {}, FIRST),
        (ALL, running(THIRD), {"bbbb2": None}, FIRST),
        (ALL, running(THIRD), {"bbbb2": Image("sha256:other", "bbbb2", 1, None)}, FIRST),
        # the digest of what runs is unknown: by its tag
        (ALL, RunningRelease("cccc3", None, "dev-backend:3"), {}, SECOND),
        # the same image, released twice
        ((THIRD, replace(THIRD, at="2026-11-30T09:00:00+00:00"), FIRST), running(THIRD), {}, FIRST),
        # a second rollback goes one release further back, not to the one that the first left
        ((BACK_TO_SECOND, *ALL), running(SECOND), {}, FIRST),
        # also after another deploy, recorded or not
        ((FOURTH, BACK_TO_SECOND, *ALL), running(FOURTH), {}, SECOND),
        ((BACK_TO_SECOND, *ALL), NEW, {}, SECOND),
        # the one that was left runs again, by hand
        ((BACK_TO_SECOND, *ALL), running(THIRD), {}, SECOND),
        # released again since, or rolled forward to: a release like any other
        ((FOURTH, THIRD, BACK_TO_SECOND, *ALL), running(FOURTH), {}, THIRD),
        (
            (FOURTH, replace(THIRD, kind="rollback"), BACK_TO_SECOND, *ALL),
            running(FOURTH),
            {},
            THIRD,
        ),
        # a rollback that failed left nothing
        (
            (replace(BACK_TO_SECOND, verdict="rolled_back"), *ALL),
            running(THIRD),
            {},
            SECOND,
        ),
        # the first one, deployed again as the newest
        ((FIRST, SECOND, FIRST), running(FIRST), {}, SECOND),
        # a restart of what a rollback went to changes nothing
        ((replace(SECOND, kind="restart"), BACK_TO_SECOND, *ALL), running(SECOND), {}, FIRST),
    ],
)
def test_the_newest_release_seen_healthy(
    records: tuple[ReleaseRecord, ...],
    runs: RunningRelease,
    images: Images,
    expected: ReleaseRecord,
) -> None:
    found = choose_target("backend", records, runs, {**IN_ECR, **images})
    assert (found.tag, found.revision) == (expected.tag, expected.task_definition)
    assert not found.unfinished


def test_an_interrupted_rollback_is_finished_and_not_reversed() -> None:
    """The service runs an older release than the last one that was recorded."""
    found = choose_target("backend", ALL, running(SECOND), IN_ECR)
    assert (found.tag, found.unfinished) == ("bbbb2", True)


def test_of_two_rollbacks_in_a_row_the_second_is_finished_if_interrupted() -> None:
    records = (BACK_TO_SECOND, *ALL)
    found = choose_target("backend", records, running(FIRST), IN_ECR)
    assert (found.tag, found.unfinished) == ("aaaa1", True)


@pytest.mark.parametrize(
    ("reason", "runs", "expected"),
    [
        # ECS had rolled a deployment in flight back to the last release: not one further back
        ("rollback cccc3", running(THIRD), THIRD),
        ("rollback bbbb2", NEW, SECOND),
        ("rollback bbbb2", running(THIRD), SECOND),  # killed before it changed anything
        ("rollback aaaa1", running(THIRD), FIRST),  # named by --to
        ("rollback zzzz9", running(THIRD), SECOND),  # to what was not seen healthy
        ("deploy aaaa1", running(THIRD), SECOND),
        ("restart cccc3", running(THIRD), SECOND),
    ],
)
def test_the_lock_of_a_killed_rollback_names_its_target(
    reason: str, runs: RunningRelease, expected: ReleaseRecord
) -> None:
    found = choose_target("backend", ALL, runs, IN_ECR, interrupted_rollback(reason))
    assert found.tag == expected.tag
    assert found.unfinished is (reason == f"rollback {expected.tag}")


@pytest.mark.parametrize(
    ("records", "images", "why"),
    [
        ((), {}, "no release was seen healthy"),
        ((THIRD,), {}, "only the running release (cccc3) was seen healthy"),
        (
            (THIRD, SECOND),
            {"bbbb2": None},
            "bbbb2 (2026-11-30T10:00:00Z): no longer in ECR",
        ),
        ((THIRD, SECOND), {"bbbb2": Unknown("AccessDenied")}, "AccessDenied"),
        (
            (replace(THIRD, kind="rollback"), SECOND, THIRD),
            {},
            "bbbb2 (2026-11-30T10:00:00Z) was rolled back from; no other release was seen healthy",
        ),
    ],
)
def test_no_release_to_go_to(records: tuple[ReleaseRecord, ...], images: Images, why: str) -> None:
    with pytest.raises(Refused) as refused:
        choose_target("backend", records, running(THIRD), {**IN_ECR, **images})
    assert refused.value.why == why and refused.value.next


def test_records_behind_an_expired_login_name_the_login(
    httpserver: HTTPServer, cloud_at: Callable[[str], AwsSession], tmp_path: Path
) -> None:
    """`--to` would be refused for the same reason, so it is no advice."""
    httpserver.expect_request(re.compile("/.*")).respond_with_data(
        "<Error><Code>ExpiredToken</Code><Message>x</Message></Error>",
        status=400,
        content_type="text/xml",
    )
    name, services = "backend", {"backend": {"ecs_service": "b", "container": "b"}}
    settings = make_settings(state={"bucket": "b"}, services=services)
    settings = settings.model_copy(update={"root": tmp_path})
    platform = Platform(settings, cloud_at(httpserver.url_for("/")))
    with pytest.raises(Refused, match="the login has expired") as refused:
        read_target(platform, name, None, image_only=False)
    assert refused.value.next.startswith("renew aws.access_key")


@pytest.mark.parametrize(
    ("checks", "expected"),
    [
        ([("backend", "ok")], True),
        ([("backend", "ok"), ("frontend", "failed")], True),
        ([("backend", "ok"), ("backend", "failed")], False),
        ([("backend", "ok"), ("backend", "unknown")], False),
        ([("backend", "ok"), ("backend", "skipped")], True),
        ([("frontend", "ok")], False),
        ([], False),
    ],
)
def test_seen_healthy_is_what_the_checks_of_the_service_found(
    checks: list[tuple[str, str]], expected: bool
) -> None:
    assert seen_healthy(replace(FIRST, health=health(*checks)), "backend") is expected


@pytest.mark.parametrize(
    ("to", "expected"),
    [
        ("bbbb2", SECOND),
        ("2", SECOND),
        ("dev-backend:2", SECOND),
        ("arn:aws:ecs:us-east-1:123456789012:task-definition/dev-backend:2", SECOND),
        ("sha256:bbbb", SECOND),
        ("bbbb2f", SECOND),
        ("BBBB", SECOND),
        ("bbb", None),
        ("9", None),
        ("other:2", None),
        ("", None),
    ],
)
def test_a_release_by_tag_revision_digest_and_commit(
    to: str, expected: ReleaseRecord | None
) -> None:
    assert find_release("backend", to, ALL) == expected


def test_of_a_tag_s_releases_the_newest_that_succeeded() -> None:
    failed = replace(SECOND, verdict="failed", task_definition="dev-backend:9")
    assert find_release("backend", "bbbb2", (failed, SECOND)) == SECOND
    assert find_release("backend", "bbbb2", (failed,)) == failed


def test_the_beginning_of_several_is_an_error() -> None:
    with pytest.raises(ConfigError, match="bbbb2, bbbb9") as error:
        find_release("backend", "bbbb", (*ALL, release("bbbb9", 9)))
    assert error.value.exit_code == 2
