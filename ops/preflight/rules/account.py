"""Preflight check of the AWS credentials."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ops.core.findings import Unknown
from ops.preflight.facts import ReleaseFacts
from ops.preflight.rules.registry import preflight_check
from ops.preflight.rules.result import (
    CheckResult,
    ok,
    refuse,
    refuse_unknown,
)

if TYPE_CHECKING:
    from ops.core.config.settings import Environment


@preflight_check(
    "credentials",
    section="account",
    subject="account and region of the AWS credentials",
    shared=True,
    skippable=False,
)
def credentials(facts: ReleaseFacts, environment: Environment) -> CheckResult:
    """Check that the credentials belong to the configured account (STS GetCallerIdentity)."""
    if isinstance(facts.identity, Unknown):
        login = facts.identity.login or _login(environment)
        return refuse_unknown("whose credentials these are", facts.identity, login)
    found = facts.identity
    if found.account != environment.account:
        ours_is = f"environment {facts.environment} is account {environment.account}"
        return refuse(
            f"they belong to account {found.account} ({found.arn}); {ours_is}",
            _other_credentials(facts, environment),
        )
    return ok(f"account {found.account}, {environment.region}, as {found.arn}")


def _login(environment: Environment) -> str:
    if environment.overlay:
        return environment.overlay_hint or f"correct {environment.overlay}"
    if environment.aws.profile:
        return f"aws sts get-caller-identity --profile {environment.aws.profile}"
    return "aws sts get-caller-identity"


def _other_credentials(facts: ReleaseFacts, environment: Environment) -> str:
    if environment.overlay:
        return _login(environment)
    profile = f"environments.{facts.environment}.aws.profile"
    return (
        f"correct {profile} ({environment.aws.profile})"
        if environment.aws.profile
        else f"AWS_PROFILE=NAME inv …, or set {profile}"
    )
