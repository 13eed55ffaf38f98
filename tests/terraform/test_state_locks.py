"""Locks as the S3 backend and DynamoDB keep them, on moto; and the processes of this host."""

from __future__ import annotations

import json
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ops.aws.session import AwsSession
from ops.core.errors import OpsError, Refused
from ops.terraform.facts import Backend
from ops.terraform.state_locks import parse_elapsed, read_locks, terraform_processes

INFO = {
    "ID": "8f3c",
    "Operation": "OperationTypeApply",
    "Info": "",
    "Who": "ana@laptop",
    "Version": "1.11.4",
    "Created": "2026-01-02T11:00:00.123456Z",
    "Path": "states/dev/terraform.tfstate",
}


def s3(cloud: AwsSession, key: str, **config: object) -> Backend:
    cloud.client("s3").create_bucket(Bucket="states")
    return Backend("s3", {"bucket": "states", "key": key, **config})


def test_a_lock_file_in_s3(cloud: AwsSession, tmp_path: Path) -> None:
    """`use_lockfile`: KEY.tflock beside the state."""
    backend = s3(cloud, "dev/terraform.tfstate", use_lockfile=True)
    assert read_locks(cloud, backend, None, tmp_path) == ()
    cloud.client("s3").put_object(
        Bucket="states", Key="dev/terraform.tfstate.tflock", Body=json.dumps(INFO)
    )
    (lock,) = read_locks(cloud, backend, "default", tmp_path)
    assert (lock.id, lock.who, lock.host, lock.command, lock.store) == (
        "8f3c",
        "ana@laptop",
        "laptop",
        "apply",
        "s3",
    )
    assert lock.created == datetime(2026, 1, 2, 11, tzinfo=UTC)


def test_a_workspace_has_a_lock_of_its_own(cloud: AwsSession, tmp_path: Path) -> None:
    """Below `env:/WORKSPACE/`, as the backend keeps it."""
    backend = s3(cloud, "terraform.tfstate")
    cloud.client("s3").put_object(
        Bucket="states", Key="env:/blue/terraform.tfstate.tflock", Body=json.dumps(INFO)
    )
    assert read_locks(cloud, backend, None, tmp_path) == ()
    assert [lock.id for lock in read_locks(cloud, backend, "blue", tmp_path)] == ["8f3c"]


def test_a_lock_in_dynamodb(cloud: AwsSession, tmp_path: Path) -> None:
    """`dynamodb_table`: LockID is BUCKET/KEY; the digest item beside it (…-md5) is no lock."""
    backend = s3(cloud, "dev/terraform.tfstate", dynamodb_table="locks")
    client = cloud.client("dynamodb")
    client.create_table(
        TableName="locks",
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "LockID", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "LockID", "AttributeType": "S"}],
    )
    client.put_item(
        TableName="locks",
        Item={"LockID": {"S": "states/dev/terraform.tfstate-md5"}, "Digest": {"S": "abc"}},
    )
    assert read_locks(cloud, backend, None, tmp_path) == ()
    client.put_item(
        TableName="locks",
        Item={"LockID": {"S": "states/dev/terraform.tfstate"}, "Info": {"S": json.dumps(INFO)}},
    )
    assert [(lock.id, lock.store) for lock in read_locks(cloud, backend, None, tmp_path)] == [
        ("8f3c", "dynamodb")
    ]


def test_what_cannot_be_read_is_refused_by_name(cloud: AwsSession, tmp_path: Path) -> None:
    """A missing table, and a backend that is neither S3 nor local."""
    with pytest.raises(Refused, match="lock table none"):
        read_locks(cloud, s3(cloud, "k", dynamodb_table="none"), None, tmp_path)
    with pytest.raises(OpsError, match="locks of backend gcs"):
        read_locks(cloud, Backend("gcs", {}), None, tmp_path)


def test_a_local_state_has_its_lock_beside_it(cloud: AwsSession, tmp_path: Path) -> None:
    """`.terraform.tfstate.lock.info` in the directory."""
    (tmp_path / ".terraform.tfstate.lock.info").write_text(json.dumps(INFO))
    assert [(lock.id, lock.store) for lock in read_locks(cloud, None, None, tmp_path)] == [
        ("8f3c", "local")
    ]


def test_a_terraform_that_runs_here_is_seen(tmp_path: Path) -> None:
    """By its name in `ps`, with the time that it began."""
    program = tmp_path / "terraform"
    program.symlink_to(shutil.which("sleep") or "/bin/sleep")
    running = subprocess.Popen([program, "30"])
    try:
        now = datetime.now(UTC)
        found = next(each for each in terraform_processes(now) if each.pid == running.pid)
        assert abs((found.started - now).total_seconds()) < 10
    finally:
        running.kill()
        running.wait()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("00:05", 5), ("02:03", 123), ("01:00:00", 3600), ("2-01:00:01", 2 * 86400 + 3601)],
)
def test_ages_as_ps_prints_them(text: str, seconds: int) -> None:
    """`[[DD-]HH:]MM:SS`."""
    assert parse_elapsed(text) == timedelta(seconds=seconds)
