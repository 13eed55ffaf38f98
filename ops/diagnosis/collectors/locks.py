"""Evidence of locks: on Terraform's state, with the Terraform processes here, and our own."""

from __future__ import annotations

import socket
from datetime import UTC, datetime
from typing import Any

from ops.diagnosis.collectors.registry import Reader, collector
from ops.state import lock_admin
from ops.terraform import state_locks
from ops.terraform.rules.policies import why_owner_may_live
from ops.terraform.workspace import TerraformWorkspace


@collector("terraform/locks", "state backend, ps")
def terraform_locks(reader: Reader) -> Any:
    """The locks on the state, each with why its owner may be alive; None without Terraform."""
    if reader.environment.terraform is None:
        return None
    workspace = TerraformWorkspace.of(reader.platform)
    locks = state_locks.workspace_locks(workspace)
    host, now = socket.gethostname(), datetime.now(UTC)
    ours = any(lock.host == host for lock in locks)
    running = state_locks.terraform_processes(now) if ours else ()
    directory, limit_s = str(workspace.tf.directory.resolve()), workspace.config.lock_limit
    return {
        "host": host,
        "limit_s": limit_s,
        "locks": [
            {
                **lock.as_document(now),
                "on_this_host": lock.host == host,
                "text": lock.describe(now),
                "may_live": why_owner_may_live(lock, host, directory, running, now, limit_s),
            }
            for lock in locks
        ],
        "processes": [
            {
                "pid": each.pid,
                "started": each.started,
                "command": each.command[:200],
                "in_directory": each.directory in (None, directory),
            }
            for each in running
        ],
    }


@collector("locks", "locks in the state bucket")
def deploy_locks(reader: Reader) -> Any:
    """The held locks of deploys, as `lock.status --json` lists them; empty without a bucket."""
    if reader.environment.state is None:
        return []
    found = lock_admin.lock_status(reader.cloud, reader.platform.settings)
    return [{**each.as_document(), "text": each.as_text()} for each in found]
