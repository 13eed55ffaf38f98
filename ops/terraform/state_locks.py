"""Read and remove locks on a Terraform state (`tf.locks`, `tf.unlock`).

Locks are read from the backend, without Terraform: an S3 lock file (`use_lockfile`: KEY.tflock
beside the state), a DynamoDB item (`dynamodb_table`: LockID = BUCKET/KEY, attribute Info), or a
local file.

A lock names user, host, operation and time, but no process id. So on the owner's host the running
Terraform processes are checked, and elsewhere only the age of the lock. If the owner may be alive,
the lock's id must be typed; `--yes` never removes a lock.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ops.aws import s3
from ops.aws.session import AwsSession
from ops.core import ui
from ops.core.errors import OpsError, Refused
from ops.core.result import Report
from ops.platform import Platform
from ops.terraform import files, program
from ops.terraform.facts import Backend, StateLock, TerraformProcess
from ops.terraform.rules.policies import why_owner_may_live
from ops.terraform.workspace import TerraformWorkspace, ensure_initialised
from ops.tools import shell

_PS_TIMEOUT_S = 15.0


def report_locks(workspace: TerraformWorkspace) -> Report:
    """Report the locks on a workspace's state (`tf.locks`)."""
    found, now = workspace_locks(workspace), datetime.now(UTC)
    document = {
        "environment": workspace.platform.settings.name,
        "locks": [lock.as_document(now) for lock in found],
    }
    lines = [f"{lock.path}: {lock.describe(now)}" for lock in found]
    return Report(document, "\n".join(lines) or "the state is not locked")


def environment_locks(platform: Platform) -> tuple[StateLock, ...]:
    """Return the locks on an environment's state.

    Raises ConfigError if it has no Terraform, or no such directory.
    """
    return workspace_locks(TerraformWorkspace.of(platform))


def workspace_locks(workspace: TerraformWorkspace) -> tuple[StateLock, ...]:
    """Return the locks on a workspace's state, each once: S3 and DynamoDB may both hold it.

    Neither Terraform nor its `init` is needed.
    """
    directory = workspace.tf.directory
    backend = files.read_backend(directory, workspace.tf.backend_config)
    cloud, name = workspace.platform.cloud, workspace.config.workspace
    found = read_locks(cloud, backend, name, directory, workspace.tf.program)
    return tuple({lock.id: lock for lock in found}.values())


def read_locks(
    cloud: AwsSession,
    backend: Backend | None,
    workspace: str | None,
    directory: Path,
    program_name: str = "terraform",
) -> tuple[StateLock, ...]:
    """Read the locks of a backend; None is a local state.

    Raises OpsError for a backend whose locks only Terraform can read.
    """
    kind, config = (backend.type, backend.config) if backend else ("local", {})
    if kind == "s3":
        return tuple(s3_locks(cloud, config, _state_key(config, workspace)))
    if kind == "local":
        return tuple(_local_locks(directory, config.get("path") or "terraform.tfstate"))
    how = f"{program_name} -chdir={directory} plan names the owner"
    raise OpsError(f"locks of backend {kind}", "only s3, DynamoDB and local ones can be read", how)


def _state_key(config: Any, workspace: str | None) -> str:
    """Return the key of a workspace's state in the S3 backend."""
    key = str(config.get("key") or "")
    if workspace in (None, "default"):
        return key
    return f"{config.get('workspace_key_prefix') or 'env:'}/{workspace}/{key}"


def s3_locks(cloud: AwsSession, config: Any, key: str) -> Iterator[StateLock]:
    bucket, table = str(config.get("bucket")), config.get("dynamodb_table")
    stored = s3.read(cloud, bucket, f"{key}.tflock")
    if stored:
        yield StateLock.from_document(stored.document, "s3")
    if table:
        there = cloud.in_region(str(config.get("region") or cloud.region))
        yield from dynamodb_locks(there, str(table), f"{bucket}/{key}")


def dynamodb_locks(cloud: AwsSession, table: str, lock_id: str) -> Iterator[StateLock]:
    missing = Refused(
        f"lock table {table}",
        f"there is no such DynamoDB table in this account in {cloud.region}",
        "correct dynamodb_table of the backend",
    )
    with cloud.translated(
        f"lock table {table} (dynamodb:GetItem)", {"ResourceNotFoundException": missing}
    ):
        answer = cloud.client("dynamodb").get_item(
            TableName=table, Key={"LockID": {"S": lock_id}}, ConsistentRead=True
        )
    info = (answer.get("Item") or {}).get("Info", {}).get("S")
    if info:
        yield StateLock.from_document(_parse_info(info), "dynamodb")


def _local_locks(directory: Path, state: str) -> Iterator[StateLock]:
    path = directory / state
    info = path.with_name(f".{path.name}.lock.info")
    if info.is_file():
        yield StateLock.from_document(_parse_info(info.read_text(encoding="utf-8")), "local")


def _parse_info(text: str) -> dict[str, Any]:
    """Parse a lock's record; a malformed one is a lock of which nothing else is known."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def unlock(workspace: TerraformWorkspace, lock_id: str | None) -> Report:
    """Remove a lock whose id was given, or after a confirmation if its owner is gone.

    (`tf.unlock`)
    """
    lock = _find_lock(workspace, lock_id)
    now = datetime.now(UTC)
    host = socket.gethostname()
    ui.progress(f"{lock.path}: {lock.describe(now)}")
    running = terraform_processes(now) if lock.host == host else ()
    directory = str(workspace.tf.directory.resolve())
    limit_s = workspace.config.lock_limit
    why = why_owner_may_live(lock, host, directory, running, now, limit_s)
    _confirm_removal(lock, why, lock_id)
    ensure_initialised(workspace)
    program.force_unlock(workspace.tf, lock.id)
    document = {
        "environment": workspace.platform.settings.name,
        "unlocked": lock.as_document(datetime.now(UTC)),
    }
    return Report(document, f"removed: {lock.describe()}")


def _find_lock(workspace: TerraformWorkspace, lock_id: str | None) -> StateLock:
    """Return the lock with this id, or any. Raises Refused if there is none."""
    locks = workspace_locks(workspace)
    if not locks:
        why = f"there is no lock on {workspace.tf.directory}'s state"
        raise Refused("the state is not locked", why, "inv tf.locks")
    if lock_id is None:
        return locks[0]
    found = next((each for each in locks if each.id == lock_id), None)
    if found is None:
        why = f"the state's lock is {locks[0].id}, of {locks[0].owner}"
        how = f"inv tf.locks, then: inv tf.unlock --id {locks[0].id}"
        raise Refused(f"there is no lock {lock_id}", why, how)
    return found


def _confirm_removal(lock: StateLock, why: str, typed: str | None) -> None:
    """Raise Refused unless the operator confirms the removal of exactly this lock.

    `why` is the reason why its owner may be alive; then the id must be typed.
    """
    if why:
        ui.progress(f"its owner may be alive: {why}")
    if typed == lock.id:
        return
    what = f"removing the lock of {lock.owner}"
    how = f"wait for it, or: inv tf.unlock --id {lock.id}"
    if typed is not None or not ui.on_terminal():
        raise Refused(what, why or "--yes does not confirm this: the lock's id must be given", how)
    ui.confirm(what, yes=False, typed=lock.id if why else None, next=how)


def terraform_processes(now: datetime) -> tuple[TerraformProcess, ...]:
    """List every Terraform that runs on this host, without its provider plugins (`ps`)."""
    done = shell.run(["ps", "-A", "-ww", "-o", "pid=,etime=,args="], timeout=_PS_TIMEOUT_S)
    rows = [line.split(None, 2) for line in done.stdout.splitlines()]
    return tuple(
        TerraformProcess(
            int(pid),
            (now - parse_elapsed(elapsed)).astimezone(UTC),
            command,
            _working_directory(int(pid)),
        )
        for pid, elapsed, command in (row for row in rows if len(row) == 3)
        if Path(command.split()[0]).name in ("terraform", "tofu")
    )


def _working_directory(pid: int) -> str | None:
    """Return a process's directory on Linux; None elsewhere, and for another user's process."""
    try:
        return str(Path(f"/proc/{pid}/cwd").readlink())
    except OSError:
        return None


def parse_elapsed(text: str) -> timedelta:
    """Parse `[[DD-]HH:]MM:SS`, the age of a process as ps prints it."""
    days, _, clock = text.rpartition("-")
    parts = [int(part) for part in clock.split(":")]
    hours, minutes, seconds = [0] * (3 - len(parts)) + parts
    return timedelta(days=int(days or 0), hours=hours, minutes=minutes, seconds=seconds)
