"""Who holds a Terraform state, read where the backend keeps its lock, without Terraform: S3's lock
file, a DynamoDB item, a local file.

Sources: the S3 backend's `use_lockfile` (KEY.tflock beside the state) and `dynamodb_table` (LockID
= BUCKET/KEY, attribute Info)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ops.aws import s3
from ops.aws.session import AwsSession
from ops.core.errors import OpsError, Refused
from ops.terraform.facts import Backend, StateLock, TerraformProcess
from ops.terraform.output import lock_of
from ops.tools import shell

PROCESS_TIMEOUT = 15.0


def held(
    cloud: AwsSession, backend: Backend | None, workspace: str | None, directory: Path
) -> tuple[StateLock, ...]:
    """Every lock on this state. Raises OpsError for a backend whose locks can't be read from
    outside.
    """
    kind, config = (backend.type, backend.config) if backend else ("local", {})
    if kind == "s3":
        return tuple(in_s3(cloud, config, state_key(config, workspace)))
    if kind == "local":
        return tuple(in_folder(directory, config.get("path") or "terraform.tfstate"))
    how = f"terraform -chdir={directory} plan names the owner"
    raise OpsError(f"locks of backend {kind}", "only s3, DynamoDB and local ones can be read", how)


def state_key(config: Any, workspace: str | None) -> str:
    """Where the S3 backend keeps a workspace's state."""
    key = str(config.get("key") or "")
    return (
        key
        if workspace in (None, "default")
        else f"{config.get('workspace_key_prefix') or 'env:'}/{workspace}/{key}"
    )


def in_s3(cloud: AwsSession, config: Any, key: str) -> Iterator[StateLock]:
    name, table = str(config.get("bucket")), config.get("dynamodb_table")
    stored = s3.read(cloud, name, f"{key}.tflock")
    if stored:
        yield lock_of(dict(stored.document), "s3")
    if table:
        yield from in_table(cloud, str(table), f"{name}/{key}")


def in_table(cloud: AwsSession, table: str, identifier: str) -> Iterator[StateLock]:
    missing = Refused(
        f"lock table {table}",
        "there is no such DynamoDB table in this account",
        "correct dynamodb_table of the backend",
    )
    with cloud.translated(
        f"lock table {table} (dynamodb:GetItem)", {"ResourceNotFoundException": missing}
    ):
        answer = cloud.client("dynamodb").get_item(
            TableName=table, Key={"LockID": {"S": identifier}}, ConsistentRead=True
        )
    info = (answer.get("Item") or {}).get("Info", {}).get("S")
    if info:
        yield lock_of(parsed(info), "dynamodb")


def in_folder(directory: Path, state: str) -> Iterator[StateLock]:
    path = directory / state
    info = path.with_name(f".{path.name}.lock.info")
    if info.is_file():
        yield lock_of(parsed(info.read_text(encoding="utf-8")), "local")


def parsed(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def processes(now: datetime) -> tuple[TerraformProcess, ...]:
    """Every Terraform that runs on this host, its provider plugins left out (`ps`, as the runbook
    does).
    """
    done = shell.run(["ps", "-A", "-ww", "-o", "pid=,etime=,args="], timeout=PROCESS_TIMEOUT)
    found = [line.split(None, 2) for line in done.stdout.splitlines()]
    return tuple(
        TerraformProcess(
            int(pid), (now - elapsed(age)).astimezone(UTC), command, directory_of(int(pid))
        )
        for pid, age, command in (each for each in found if len(each) == 3)
        if Path(command.split()[0]).name in ("terraform", "tofu")
    )


def directory_of(pid: int) -> str | None:
    """Where a process works, as Linux shows it; None elsewhere, and for somebody else's."""
    try:
        return str(Path(f"/proc/{pid}/cwd").readlink())
    except OSError:
        return None


def elapsed(text: str) -> timedelta:
    """`[[DD-]HH:]MM:SS`, as ps prints a process's age."""
    days, _, clock = text.rpartition("-")
    parts = [int(part) for part in clock.split(":")]
    hours, minutes, seconds = [0] * (3 - len(parts)) + parts
    return timedelta(days=int(days or 0), hours=hours, minutes=minutes, seconds=seconds)
