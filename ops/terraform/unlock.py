"""`tf.locks` and `tf.unlock`: who holds the state, and taking a dead owner's lock away, never by
`--yes`.

Terraform's lock says user, host, operation and time, but no process id. So on its owner's host the
running Terraforms are looked at, and elsewhere only the age speaks; where either says that the
owner may live, the lock's id must be typed."""

from __future__ import annotations

import socket
from datetime import UTC, datetime
from typing import Any

from ops.core import ui
from ops.core.errors import Refused
from ops.platform import Platform
from ops.terraform import backend as terraform_backend
from ops.terraform import program, state_locks
from ops.terraform.facts import StateLock
from ops.terraform.plan import TerraformWorkspace, ensure_initialised
from ops.terraform.rules.policies import why_owner_may_live


def held(place: TerraformWorkspace) -> tuple[StateLock, ...]:
    """Every lock on this environment's state, each once (S3 and DynamoDB may both keep it). Neither
    Terraform nor its `init` is needed.
    """
    backend = terraform_backend.backend(place.tf.directory, place.tf.backend_config)
    found = state_locks.held(
        place.platform.cloud, backend, place.configured.workspace, place.tf.directory
    )
    return tuple({lock.id: lock for lock in found}.values())


def of_environment(platform: Platform) -> tuple[StateLock, ...]:
    """The same of an environment. Raises ConfigError where it has no Terraform, or its directory is
    not there.
    """
    return held(TerraformWorkspace.of(platform))


def as_document(lock: StateLock) -> dict[str, Any]:
    """The shape of one lock in `tf.locks --json`."""
    age = lock.age_s(datetime.now(UTC))
    return {
        "name": lock.path,
        "owner": lock.who,
        "at": lock.created,
        "age_s": None if age is None else round(age, 1),
        "reason": lock.doing,
        "id": lock.id,
        "version": lock.version,
        "store": lock.store,
    }


def unlock(place: TerraformWorkspace, typed: str | None) -> StateLock:
    """Show the lock, and take it away where its id was typed, or where nothing speaks for a living
    owner and the answer is yes.
    """
    locks = held(place)
    if not locks:
        raise Refused(
            "the state is not locked",
            f"there is no lock on {place.tf.directory}'s state",
            "inv tf.locks",
        )
    if typed is not None and all(each.id != typed for each in locks):
        why = f"the state's lock is {locks[0].id}, of {locks[0].who or 'somebody'}"
        raise Refused(
            f"there is no lock {typed}",
            why,
            f"look (inv tf.locks), then: inv tf.unlock --id {locks[0].id}",
        )
    lock = next((each for each in locks if each.id == typed), locks[0])
    now = datetime.now(UTC)
    ui.progress(f"{lock.path}: {lock.describe(now)}")
    running = state_locks.processes(now) if lock.host == socket.gethostname() else ()
    directory = str(place.tf.directory.resolve())
    agree(
        lock,
        why_owner_may_live(
            lock, socket.gethostname(), directory, running, now, place.configured.lock_limit
        ),
        typed,
    )
    ensure_initialised(place)
    program.force_unlock(place.tf, lock.id)
    return lock


def agree(lock: StateLock, why: str, typed: str | None) -> None:
    """Raises Refused unless the operator means exactly this lock. `why`: what speaks for a living
    owner.
    """
    if why:
        ui.progress(f"its owner may be alive: {why}")
    if typed == lock.id:
        return
    what = f"taking away the lock of {lock.who or 'somebody'}"
    how = f"wait for it, or: inv tf.unlock --id {lock.id}"
    if typed is not None or not ui.on_terminal():
        raise Refused(what, why or "--yes does not answer this: the lock's id must be given", how)
    ui.confirm(what, yes=False, typed=lock.id if why else None, next=how)
