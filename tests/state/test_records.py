"""A release is remembered whatever happens: a bucket that is down, a kill, a spoiled file, two
deploys of one checkout (on moto).
"""

from __future__ import annotations

import json
import os
import re
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pytest_httpserver import HTTPServer

from ops.aws import s3, session
from ops.core.config.settings import Environment, Service, Settings
from ops.core.errors import Unreachable
from ops.platform import Platform
from ops.state import outbox, records
from ops.state.rules import records as rules
from tests import plain_aws
from tests.front_door import ROOT
from tests.waiting import until

SERVICE = {
    "ecs_service": "dev-backend",
    "container": "backend",
    "repository": "davidshaevel/backend",
}
PUT = """
import sys
from pathlib import Path
from ops.state import outbox
while True:
    document = {"tag": "a", "why": "x" * 200000}
    outbox.put(Path(sys.argv[1]), "ops/releases/test/backend/1-a.json", document)
"""


@pytest.fixture(scope="module")
def cloud() -> Iterator[session.AwsSession]:
    for endpoint in plain_aws.served():
        yield session.of_overlay(endpoint, "AKIATEST", "test", "us-east-1")


@pytest.fixture
def platform(cloud: session.AwsSession, tmp_path: Path) -> Platform:
    """A checkout in a folder of its own; its bucket does not exist yet, so that it is down."""
    environment: dict[str, Any] = {
        "account": "123456789012",
        "region": "us-east-1",
        "cluster": "dev",
        "services": {"backend": Service.model_validate(SERVICE)},
        "state": {"bucket": f"state-{secrets.token_hex(8)}"},
    }
    return Platform(
        Settings(name="test", root=tmp_path, environment=Environment.model_validate(environment)),
        cloud,
    )


def bucket_of(platform: Platform) -> str:
    assert platform.settings.environment.state
    return platform.settings.environment.state.bucket


def comes_up(platform: Platform) -> None:
    platform.cloud.client("s3").create_bucket(Bucket=bucket_of(platform))


def record(tag: str, day: int = 1) -> dict[str, Any]:
    return {
        "service": "backend",
        "tag": tag,
        "digest": f"sha256:{tag}",
        "at": f"2026-01-0{day}T00:00:00+00:00",
        "verdict": "succeeded",
    }


def pending(platform: Platform) -> list[Path]:
    return sorted((platform.settings.root / records.PENDING).glob("*"))


def put(platform: Platform, tag: str, wrong_s: float = 0.0, **more: Any) -> None:
    """As a machine whose clock is wrong by so many seconds writes it."""
    at = datetime.now(UTC) + timedelta(seconds=wrong_s)
    key = rules.key("ops", "test", "backend", at, tag)
    document = {**record(tag), "at": at.isoformat(), **more}
    assert s3.create(platform.cloud, bucket_of(platform), key, document)


def next_second(platform: Platform) -> None:
    """Until S3 would give another LastModified, which has whole seconds."""
    began = int(time.time())
    until(lambda: int(time.time()) > began)


def tags(platform: Platform) -> list[str]:
    return [str(found.tag) for found in records.read(platform, "backend")]


def test_a_record_is_written_and_nothing_stays_here(platform: Platform) -> None:
    """The ordinary way."""
    comes_up(platform)
    records.store(platform, record("a"))
    assert tags(platform) == ["a"] and pending(platform) == []


def test_an_environment_without_a_bucket_has_no_records(platform: Platform) -> None:
    """Nothing is read, and that is no error."""
    environment = platform.settings.environment.model_copy(update={"state": None})
    settings = platform.settings.model_copy(update={"environment": environment})
    without = Platform(settings, platform.cloud)
    assert records.read(without, "backend") == () == records.keys(without, "backend", 5)
    assert records.last_success(without, "backend") is None


@pytest.mark.parametrize(("repository", "text"), [("r", ", and no image in ECR"), (None, "")])
def test_the_images_of_a_service_without_a_repository_are_not_read(
    platform: Platform, repository: str | None, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether ECR has an image of it is unknown, never false."""
    comes_up(platform)
    monkeypatch.setattr("ops.aws.ecr.images", lambda *_: ())
    environment = platform.settings.environment
    service = environment.services["backend"].model_copy(update={"repository": repository})
    settings = platform.settings.model_copy(
        update={"environment": environment.model_copy(update={"services": {"backend": service}})}
    )
    found = Platform(settings, platform.cloud)
    assert records.releases(found, "backend").text == f"no releases: no record{text}"
    records.store(found, record("a"))
    (row,) = records.releases(found, "backend").rows
    assert row.in_ecr is (False if repository else None)


def test_what_could_not_be_written_is_sent_by_the_next_deploy(
    platform: Platform, capsys: pytest.CaptureFixture[str]
) -> None:
    """The bucket is down: said, kept here. The next release sends both, each once."""
    records.store(platform, record("a", 1))
    (path,) = pending(platform)
    said = capsys.readouterr().err
    assert str(path) in said and "no such bucket" in said and "to be sent later" in said
    comes_up(platform)
    records.store(platform, record("b", 2))
    assert tags(platform) == ["b", "a"] and pending(platform) == []


def test_what_could_not_be_written_is_sent_when_releases_are_listed(
    platform: Platform, capsys: pytest.CaptureFixture[str]
) -> None:
    """`releases` sends it too; while the bucket is down it says that something is not
    listed.
    """
    records.store(platform, {**record("a"), "subject": "Say hello\x1b[2J"})
    assert platform.settings.environment.state
    assert "no such bucket" in records.send_pending(platform)
    comes_up(platform)
    found = records.releases(platform, "backend")
    (row,) = found.rows
    assert row.tag == "a" and row.recorded and row.in_ecr is None and pending(platform) == []
    assert "unknown: images" in capsys.readouterr().err
    text = found.text
    assert (
        text.startswith("  when (UTC)")
        and "Say hello\\x1b[2J" in text
        and text.endswith("● runs now · ? unknown")
    )


def test_another_environments_records_wait_for_their_own_bucket(platform: Platform) -> None:
    """Only what belongs to this environment is sent."""
    path = outbox.put(
        platform.settings.root / records.PENDING,
        "ops/releases/production/backend/1-a.json",
        record("x"),
    )
    comes_up(platform)
    records.store(platform, record("a"))
    assert tags(platform) == ["a"] and pending(platform) == [path]


@pytest.mark.parametrize(
    "body", [b'{"tag": "a", "ver', b"[1]", b"\xff\xfe"], ids=["cut off", "a list", "no text"]
)
def test_a_spoiled_file_is_set_aside(
    platform: Platform, body: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    """A disk that was full, a crash of the machine: the file is kept under another name, said once,
    and stops no record.
    """
    comes_up(platform)
    folder = platform.settings.root / records.PENDING
    path = outbox.put(folder, "ops/releases/test/backend/1-a.json", {})
    path.write_bytes(body)
    records.store(platform, record("b"))
    assert tags(platform) == ["b"] and "set aside" in capsys.readouterr().err
    assert pending(platform) == [path.with_suffix(".bad")]
    records.store(platform, record("c", 2))
    assert tags(platform) == ["c", "b"] and "set aside" not in capsys.readouterr().err


def test_where_nothing_can_be_kept_here_the_bucket_is_enough(
    platform: Platform, capsys: pytest.CaptureFixture[str]
) -> None:
    """`.ops` cannot be written: the record goes out at once; where that fails too, its loss is said
    and the release ends as it ended.
    """
    (platform.settings.root / ".ops").write_text("not a folder")
    records.store(platform, record("a"))
    assert "the release record is lost" in capsys.readouterr().err
    comes_up(platform)
    records.store(platform, record("b"))
    assert tags(platform) == ["b"] and capsys.readouterr().err == ""


def test_two_deploys_of_one_checkout_send_each_record_once(platform: Platform) -> None:
    """Both find the same files waiting: none stumbles over a file that the other has sent, and
    nothing is doubled.
    """
    for number in range(8):
        records.store(platform, record(str(number), number + 1))
    assert len(pending(platform)) == 8
    comes_up(platform)
    barrier, said = threading.Barrier(4), []

    def deploy() -> None:
        barrier.wait()
        said.append(records.send_pending(platform))

    threads = [threading.Thread(target=deploy) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert said == [""] * 4 and pending(platform) == []
    assert tags(platform) == [str(number) for number in reversed(range(8))]


def test_a_kill_leaves_a_whole_record_or_none(tmp_path: Path) -> None:
    """kill -9 while it is written, again and again: what waits under its name can always be
    read.
    """
    for _ in range(5):
        process = subprocess.Popen(
            [sys.executable, "-c", PUT, str(tmp_path)], env={**os.environ, "PYTHONPATH": str(ROOT)}
        )
        until(lambda: list(outbox.pending(tmp_path, "ops/")))
        process.kill()
        process.wait()
        ((key, path),) = outbox.pending(tmp_path, "ops/releases/test/")
        assert (
            key == "ops/releases/test/backend/1-a.json"
            and json.loads(path.read_text())["tag"] == "a"
        )
        path.unlink()


def test_a_wrong_clock_does_not_stay_the_last_release(platform: Platform) -> None:
    """One laptop three days ahead, then another: the second is the newest, in the list and for
    whoever asks what was released last.
    """
    comes_up(platform)
    put(platform, "ahead", wrong_s=3 * 86400)
    next_second(platform)
    put(platform, "right")
    put(platform, "broken", wrong_s=60, verdict="failed")
    assert tags(platform) == ["broken", "right", "ahead"]
    last = records.last_success(platform, "backend")
    assert last and last.tag == "right"
    listed = records.releases(platform, "backend").rows
    assert [row.tag for row in listed] == ["broken", "right", "ahead"]
    assert all(
        abs(datetime.fromisoformat(row.at) - datetime.now(UTC)) < timedelta(minutes=5)
        for row in listed
    )


def test_a_record_that_is_sent_late_is_no_newer_for_it(platform: Platform) -> None:
    """It waited for two hours here; meanwhile another machine released, and that one stays the
    last.
    """
    records.store(platform, record("late"))
    (path,) = pending(platform)
    ago = time.time() - 7200
    os.utime(path, (ago, ago))
    comes_up(platform)
    put(platform, "meanwhile")
    next_second(platform)
    assert records.send_pending(platform) == ""
    assert tags(platform) == ["meanwhile", "late"]
    last = records.last_success(platform, "backend")
    assert last and last.tag == "meanwhile"
    (_, late) = records.releases(platform, "backend").rows
    waited = datetime.now(UTC) - datetime.fromisoformat(late.at)
    assert timedelta(minutes=115) < waited < timedelta(minutes=125)


def test_what_waits_here_is_sent_in_the_order_in_which_it_happened(platform: Platform) -> None:
    """The clock was set back between the two: the keys say otherwise."""
    records.store(platform, record("first", 9))
    records.store(platform, record("second", 1))
    found = outbox.pending(platform.settings.root / records.PENDING, "ops/")
    assert [json.loads(path.read_text())["tag"] for _, path in found] == ["first", "second"]


def test_a_listing_that_is_none_is_not_taken_for_no_release(
    httpserver: HTTPServer, platform: Platform
) -> None:
    """A web page, or an empty answer, in place of S3's."""
    httpserver.expect_request(re.compile(".*")).respond_with_data(
        "<html/>", content_type="application/xml"
    )
    elsewhere = Platform(
        platform.settings,
        session.of_overlay(httpserver.url_for("/"), "AKIATEST", "test", "us-east-1"),
    )
    with pytest.raises(Unreachable):
        records.last_success(elsewhere, "backend")
