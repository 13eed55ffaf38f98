"""Preflight checks of the state that a deploy meets: Terraform's lock, the schema."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ops.core.findings import Unknown
from ops.preflight.facts import ReleaseFacts
from ops.preflight.rules.registry import preflight_check
from ops.preflight.rules.result import (
    CheckResult,
    join_limited,
    ok,
    unknown,
    warn,
)

if TYPE_CHECKING:
    from ops.core.config.settings import Environment


@preflight_check(
    "state-lock",
    section="state",
    subject="the Terraform state lock, with rollout: terraform",
    needs=("credentials",),
    shared=True,
)
def state_lock(facts: ReleaseFacts, environment: Environment) -> CheckResult:
    """Check whether the Terraform state is locked; a lock is only a warning.

    An apply cannot run with it, but a deploy without changes can. A killed Terraform leaves its
    lock.
    """
    if facts.state_locks is None:
        return ok("not needed: rollout is ecs")
    if isinstance(facts.state_locks, Unknown):
        return unknown(facts.state_locks.why)
    if not facts.state_locks:
        return ok("Terraform's state is not locked")
    first = facts.state_locks[0]
    advice = (
        f"wait for it (--lock-wait DURATION); if its owner is dead: inv tf.unlock --id {first.id}"
    )
    return warn(f"Terraform's state is locked: {first.describe()}", advice)


@preflight_check(
    "migrations",
    section="state",
    subject="pending migrations of the database",
    needs=("credentials",),
    shared=True,
)
def migrations(facts: ReleaseFacts, environment: Environment) -> CheckResult:
    schema = facts.schema
    if environment.database is None or schema is None:
        return ok(f"environments.{facts.environment} has no database")
    if isinstance(schema, Unknown):
        return unknown(schema.why)
    if schema.pending:
        return warn(
            f"{len(schema.pending)} pending: {join_limited(schema.pending)}",
            "inv db.upgrade first, if the new code needs them",
        )
    return ok("none pending")
