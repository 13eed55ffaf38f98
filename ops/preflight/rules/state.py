"""Preflight checks of the state that a deploy meets: Terraform's lock, the schema."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ops.core.config.problems import suggestion
from ops.core.findings import Unknown
from ops.preflight.facts import ReleaseFacts, TerraformFacts
from ops.preflight.rules.registry import preflight_check
from ops.preflight.rules.result import (
    CheckResult,
    join_limited,
    ok,
    refuse,
    refuse_unknown,
    unknown,
    warn,
)
from ops.terraform.rules.version import satisfies

if TYPE_CHECKING:
    from ops.core.config.settings import Environment


@preflight_check(
    "terraform",
    section="state",
    subject="Terraform: program, version, image variables, with rollout: terraform",
    shared=True,
)
def terraform(facts: ReleaseFacts, environment: Environment) -> CheckResult:
    """Check before the build what a rollout by Terraform needs."""
    found = facts.terraform
    if found is None:
        return ok("not needed: rollout is ecs")
    if isinstance(found, Unknown):
        return refuse_unknown(
            "Terraform", found, f"correct environments.{facts.environment}.terraform, or install it"
        )
    for constraint in found.constraints:
        if satisfies(found.version, constraint) is False:
            return refuse(
                f"{found.program} {found.version} does not meet required_version {constraint}",
                "install a version that does, and put it first on PATH",
            )
    for service, variable in sorted(found.variables.items()):
        if variable not in found.declared:
            key = f"environments.{facts.environment}.services.{service}.image_variable"
            return refuse(
                f"no file declares the variable {variable} ({key}); Terraform would ignore it",
                suggestion(variable, found.declared, f"declare it, or correct {key}"),
            )
    return _wrong_kind(found, facts, environment) or ok(_terraform_summary(found))


def _wrong_kind(
    found: TerraformFacts, facts: ReleaseFacts, environment: Environment
) -> CheckResult | None:
    """A warning for a variable whose default is of the other kind, a tag or an image URI."""
    for service, variable in sorted(found.variables.items()):
        default, kind = (
            found.defaults.get(variable, ""),
            environment.services[service].image_variable_kind,
        )
        is_uri = not set("/:@").isdisjoint(default)  # no tag has one of these; nginx:latest does
        if default and is_uri != (kind == "uri"):
            key = f"environments.{facts.environment}.services.{service}.image_variable_kind"
            return warn(
                f"{variable} gets a {kind}, but its default is {default}",
                f"set {key} to {'uri' if is_uri else 'tag'} if the variable takes that",
            )
    return None


def _terraform_summary(found: TerraformFacts) -> str:
    parts = [f"{found.program} {found.version}"]
    if not found.initialised:
        parts.append("init will run")
    if found.untracked:
        parts.append(f"files that git does not have: {join_limited(found.untracked)}")
    return ", ".join(parts)


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
    if environment.database is None:
        return ok(f"environments.{facts.environment} has no database")
    if schema is None:
        return ok(f"environments.{facts.environment}.database has no revisions")
    if isinstance(schema, Unknown):
        return unknown(schema.why)
    if schema.pending:
        return warn(
            f"{len(schema.pending)} pending: {join_limited(schema.pending)}",
            "inv db.upgrade first, if the new code needs them",
        )
    return ok(f"none pending, read {schema.way}" if schema.way else "none pending")
