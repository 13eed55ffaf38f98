"""Preflight check of the configured pages and API paths."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ops.core.findings import Unknown
from ops.preflight.facts import ReleaseFacts
from ops.preflight.rules.registry import preflight_check
from ops.preflight.rules.result import (
    CheckResult,
    config_key,
    join_limited,
    ok,
    service_config,
    unknown,
    warn,
)

if TYPE_CHECKING:
    from ops.core.config.settings import Environment


@preflight_check(
    "endpoints",
    section="endpoints",
    subject="the configured pages and API paths, as they answer now",
)
def endpoints(facts: ReleaseFacts, environment: Environment) -> CheckResult:
    """Check the endpoints as they answer now; only warns, so that a hotfix is possible."""
    ours = service_config(facts, environment)
    if not ours.endpoints:
        if "endpoints" in ours.model_fields_set:
            return ok("none, by configuration")
        return warn(
            "none are configured, so a deploy cannot be verified from outside",
            f"name them under {config_key(facts, 'endpoints')} ([] if there are none)",
        )
    if isinstance(facts.answers, Unknown):
        return unknown(facts.answers.why)
    bad = tuple(
        f"{answer.path}: {answer.problem}" for answer in facts.answers if not answer.healthy
    )
    if bad:
        return warn(
            f"{len(bad)} of {len(facts.answers)} unhealthy before the deploy: {join_limited(bad)}",
            "deploy if that fixes them; otherwise find the cause first",
        )
    return ok(f"{len(facts.answers)} of {len(facts.answers)} healthy")
