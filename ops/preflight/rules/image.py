"""Preflight checks of the image: its repository and its tag in ECR."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from ops.aws.facts import Image, Repository
from ops.core.findings import Unknown
from ops.core.text import format_utc
from ops.preflight.facts import ReleaseFacts
from ops.preflight.rules.registry import preflight_check
from ops.preflight.rules.result import (
    CheckResult,
    config_key,
    join_limited,
    ok,
    refuse,
    refuse_unknown,
    service_config,
)
from ops.tools.facts import Checkout

if TYPE_CHECKING:
    from ops.core.config.settings import Environment

_SUGGESTED_TAGS = 3
_MIN_REVISION_LENGTH = 7  # an abbreviated commit id of fewer characters proves nothing


@preflight_check(
    "repository",
    section="image",
    subject="the ECR repository, and whether its tags move",
    needs=("credentials",),
    skippable=False,
)
def repository(facts: ReleaseFacts, environment: Environment) -> CheckResult:
    found, name = facts.repository, service_config(facts, environment).repository
    if isinstance(found, Unknown):
        return refuse_unknown(f"ECR repository {name}", found, "fix this, then inv preflight")
    if name is None:
        return refuse(
            f"{config_key(facts, 'repository')} is not set: the service is watched, not deployed",
            "set it to the ECR repository of its image",
        )
    if found is None:
        where = f"account {environment.account}, {environment.region}"
        return refuse(
            f"ECR has no repository {name} in {where}",
            f"create it, or correct {config_key(facts, 'repository')}",
        )
    latest = "latest is not used" if found.is_immutable("latest") else "latest is moved too"
    kind = "IMMUTABLE" if found.immutable else "MUTABLE"
    but = f" except for {join_limited(found.exclusions)}" if found.exclusions else ""
    return ok(f"{found.uri}, {kind}{but}: {latest}")


@preflight_check(
    "image",
    section="image",
    subject="the tag in ECR, and its commit",
    needs=("credentials", "tools", "repository"),
    skippable=False,
)
def image(facts: ReleaseFacts, environment: Environment) -> CheckResult:
    """Check that the tag exists with `--tag`, or else is free or built from this commit."""
    if facts.tag is None:
        return refuse_unknown(
            "the commit that names the image", None, "see git-clean, or name an image by --tag"
        )
    name = f"{service_config(facts, environment).repository}:{facts.tag}"
    if isinstance(facts.image, Unknown):
        return refuse_unknown(
            f"whether ECR has {name}", facts.image, "fix this, then inv preflight"
        )
    if facts.requested_tag:
        return _requested_image(facts, name)
    if facts.image is None:
        return ok(f"{name} is free: it will be built and pushed")
    return _tag_taken(facts, facts.image, name)


def _requested_image(facts: ReleaseFacts, name: str) -> CheckResult:
    if not isinstance(facts.image, Image):
        return refuse(
            f"ECR has no image {name}, and --tag never builds",
            f"inv {facts.service}.deploy without --tag, or {_another_tag(facts)}",
        )
    at = f", pushed {format_utc(facts.image.pushed_at)}" if facts.image.pushed_at else ""
    return ok(f"{name} is {facts.image.digest}{at}")


def _another_tag(facts: ReleaseFacts) -> str:
    near = get_close_matches(facts.tag or "", facts.newest_tags, n=1)
    if near:
        return f"did you mean --tag {near[0]}?"
    newest = ", ".join(facts.newest_tags[:_SUGGESTED_TAGS])
    return f"name a tag that exists; the newest: {newest}" if newest else "name a tag that exists"


def _tag_taken(facts: ReleaseFacts, found: Image, name: str) -> CheckResult:
    if not isinstance(facts.checkout, Checkout):
        return refuse(
            f"{name} is taken, and the commit to compare it with could not be read", "see git-clean"
        )
    commit = facts.checkout.commit
    if is_same_commit(commit.full, found.revision):
        return ok(f"{name} is in ECR already, made from this commit: {found.digest} is reused")
    made = (
        f"was made from {found.revision}"
        if found.revision
        else "does not state its commit (label org.opencontainers.image.revision)"
    )
    how = (
        "never moves there"
        if isinstance(facts.repository, Repository)
        and facts.repository.is_immutable(facts.tag or "")
        else "would be overwritten"
    )
    return refuse(
        f"{name} is taken by {found.digest}, which {made}, not from {commit.short}; the tag {how}",
        f"make a new commit, or --tag {facts.tag} to deploy the existing image",
    )


def is_same_commit(full: str, label: str | None) -> bool:
    return bool(label) and len(label or "") >= _MIN_REVISION_LENGTH and full.startswith(label or "")
