"""Preflight checks of the release: tools, commit, tests, engine, image."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from ops.aws.facts import Image, Repository, TaskDefinition
from ops.core.findings import Unknown
from ops.core.text import format_count
from ops.preflight.facts import ReleaseFacts
from ops.preflight.rules.result import (
    CheckResult,
    config_key,
    join_limited,
    ok,
    refuse,
    refuse_unknown,
    service_config,
    unknown,
    warn,
)
from ops.tools.facts import Checkout, EngineInfo, LocalImage

if TYPE_CHECKING:
    from ops.core.config.settings import Environment

_MIN_REVISION_LENGTH = 7  # an abbreviated commit id of fewer characters proves nothing
_ARCHITECTURE_ALIASES = {"x86_64": "amd64", "aarch64": "arm64"}


def tools(facts: ReleaseFacts, environment: Environment) -> CheckResult:
    """Check that git is available; no AWS CLI, docker or terraform program is needed."""
    found = [version for version in facts.tools.values() if isinstance(version, str)]
    if isinstance(facts.engine, EngineInfo):
        found.append(f"engine {facts.engine.version} (API {facts.engine.api})")
    missing = [(name, why) for name, why in facts.tools.items() if isinstance(why, Unknown)]
    if not missing:
        return ok(", ".join(found))
    name, why = missing[0]
    return refuse(
        f"{name} is needed and did not answer: {why.why}; found {join_limited(found) or 'nothing'}",
        f"install {name}, and see that it is on the PATH",
    )


def _git_command(environment: Environment) -> str:
    """Return the git command for the application's checkout."""
    return "git" if environment.source == "." else f"git -C {shlex.quote(environment.source)}"


def git_clean(facts: ReleaseFacts, environment: Environment) -> CheckResult:
    """Check that everything is committed: the image is named after the commit (runbook 1)."""
    checkout = facts.checkout
    if not isinstance(checkout, Checkout):
        return refuse_unknown(
            f"the checkout {environment.source}",
            checkout,
            f"correct environments.{facts.environment}.source, or name an image by --tag",
        )
    if checkout.changes:
        many = format_count(len(checkout.changes), "change")
        found = f"{many} not committed: {join_limited(checkout.changes)}; allowed: none"
        return refuse(
            found,
            f"{_git_command(environment)} add -A && {_git_command(environment)} commit, or "
            f"{_git_command(environment)} stash -u",
        )
    return ok(f"commit {checkout.commit.short}, “{checkout.commit.subject}”")


def branch(facts: ReleaseFacts, environment: Environment) -> CheckResult:
    if not isinstance(facts.checkout, Checkout):
        return unknown(_why_unread(facts))
    if facts.checkout.branch != environment.branch:
        return refuse(
            f"on {facts.checkout.branch or 'no branch'}; allowed: {environment.branch}",
            f"{_git_command(environment)} switch {environment.branch}",
        )
    return ok(f"on {facts.checkout.branch}")


def pushed(facts: ReleaseFacts, environment: Environment) -> CheckResult:
    """Check that HEAD is in the remote branch, as of the last fetch."""
    if not isinstance(facts.checkout, Checkout):
        return unknown(_why_unread(facts))
    there, commit = f"{environment.remote}/{environment.branch}", facts.checkout.commit.short
    push = f"{_git_command(environment)} push {environment.remote} {environment.branch}"
    if facts.checkout.pushed is None:
        return warn(f"there is no {there} to compare with, so nobody else has seen {commit}", push)
    if not facts.checkout.pushed:
        return warn(f"{commit} is not in {there}: nobody else has it", push)
    return ok(f"{commit} is in {there}")


def _why_unread(facts: ReleaseFacts) -> str:
    return (
        f"{facts.checkout.why} (see git-clean)"
        if isinstance(facts.checkout, Unknown)
        else "the checkout was not looked at"
    )


def tests(facts: ReleaseFacts, environment: Environment) -> CheckResult:
    command = service_config(facts, environment).tests
    if not command:
        return warn(
            "no tests are configured for this service",
            f"name their command under {config_key(facts, 'tests')}",
        )
    folder = f"{environment.source}/{service_config(facts, environment).context}"
    again = f"(cd {shlex.quote(folder)} && {shlex.join(command)})"
    if facts.tests is None:
        return CheckResult("skipped", f"not run this time: {shlex.join(command)}")
    if isinstance(facts.tests, Unknown):
        return refuse(
            f"the tests could not be run, so nobody saw them pass: {facts.tests.why}", again
        )
    if facts.tests.exit_code:
        return refuse(
            f"{shlex.join(command)} left with {facts.tests.exit_code}; allowed: "
            f"0\n{facts.tests.tail.strip()}",
            again,
        )
    return ok(f"{shlex.join(command)} passed")


def engine(facts: ReleaseFacts, environment: Environment) -> CheckResult:
    """Check that the Docker engine answers, if the image is not in ECR yet."""
    if isinstance(facts.engine, EngineInfo):
        return ok(f"{facts.engine.version} (API {facts.engine.api}), {facts.engine.architecture}")
    if isinstance(facts.image, Image):
        return ok(f"not needed: {facts.tag} is in ECR already")
    why = facts.engine.why if facts.engine else "not looked at"
    start = environment.overlay_hint or f"start it, or set environments.{facts.environment}.engine"
    return refuse(
        f"no Docker engine answers at "
        f"{environment.engine or 'DOCKER_HOST or the usual socket'}, and one is needed: "
        f"{why}",
        start,
    )


def repository(facts: ReleaseFacts, environment: Environment) -> CheckResult:
    found, name = facts.repository, service_config(facts, environment).repository
    if isinstance(found, Unknown):
        return refuse_unknown(
            f"ECR repository {name}", found, "correct what it says, then inv preflight"
        )
    if found is None:
        where = f"account {environment.account}, {environment.region}"
        return refuse(
            f"ECR has no repository {name} in {where}",
            f"create it, or correct {config_key(facts, 'repository')}",
        )
    return ok(
        f"{found.uri}, "
        + (
            "IMMUTABLE: a tag is pushed once, and there is no latest"
            if found.immutable
            else "MUTABLE: latest moves too"
        )
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
            f"whether ECR holds {name}", facts.image, "correct what it says, then inv preflight"
        )
    if facts.requested_tag:
        return _requested_image(facts, name)
    if facts.image is None:
        return ok(f"{name} is free: it will be built and pushed")
    return _tag_taken(facts, facts.image, name)


def _requested_image(facts: ReleaseFacts, name: str) -> CheckResult:
    if not isinstance(facts.image, Image):
        return refuse(
            f"ECR holds no image {name}, and --tag never builds",
            f"inv {facts.service}.deploy without --tag, or name a tag that exists",
        )
    at = f", pushed {facts.image.pushed_at:%Y-%m-%d %H:%M} UTC" if facts.image.pushed_at else ""
    return ok(f"{name} is {facts.image.digest}{at}")


def _tag_taken(facts: ReleaseFacts, found: Image, name: str) -> CheckResult:
    if not isinstance(facts.checkout, Checkout):
        return refuse(
            f"{name} is taken, and the commit to compare it with could not be read", "see git-clean"
        )
    commit = facts.checkout.commit
    if _is_same_commit(commit.full, found.revision):
        return ok(f"{name} is in ECR already, made from this commit: {found.digest} is reused")
    made = (
        f"was made from {found.revision}"
        if found.revision
        else "does not say its commit (label org.opencontainers.image.revision)"
    )
    how = (
        "never moves there"
        if isinstance(facts.repository, Repository) and facts.repository.immutable
        else "would be overwritten"
    )
    return refuse(
        f"{name} is taken by {found.digest}, which {made}, not from {commit.short}; the tag {how}",
        f"commit anew, or --tag {facts.tag} to deploy what is there",
    )


def _is_same_commit(full: str, label: str | None) -> bool:
    return bool(label) and len(label or "") >= _MIN_REVISION_LENGTH and full.startswith(label or "")


def architecture(facts: ReleaseFacts, environment: Environment) -> CheckResult:
    """Check the CPU architecture; Fargate reports a mismatch late, as `exec format error`."""
    if not isinstance(facts.revision, TaskDefinition):
        return unknown("the task definition is not known")
    wanted = _architecture(facts.revision.architecture)
    if isinstance(facts.image, Image):
        return _image_architecture(wanted, facts.image, facts)
    if stale := _local_image_mismatch(facts, wanted):
        return stale
    if not isinstance(facts.engine, EngineInfo):
        return unknown("the engine did not answer")
    here = _architecture(facts.engine.architecture)
    if here != wanted:
        return warn(
            f"the task definition wants {wanted}, the engine is {here}: it builds for "
            f"{wanted} only if it can emulate it",
            "build on a machine of that kind if it fails",
        )
    return ok(f"{wanted}: task definition and engine agree")


def _image_architecture(wanted: str, found: Image, facts: ReleaseFacts) -> CheckResult:
    if not found.architecture:
        return unknown(
            f"the configuration of image {facts.tag} names no architecture or could not be "
            f"read; wanted: {wanted}"
        )
    if _architecture(found.architecture) != wanted:
        return refuse(
            f"image {facts.tag} is for {_architecture(found.architecture)}; the task definition "
            f"wants {wanted}",
            "build it again for that platform, from a new commit",
        )
    return ok(f"{wanted}: task definition and image agree")


def _local_image_mismatch(facts: ReleaseFacts, wanted: str) -> CheckResult | None:
    """Refuse a local image of this commit built for another platform: it would be pushed."""
    local = facts.local_image
    if (
        not isinstance(local, LocalImage)
        or not isinstance(facts.checkout, Checkout)
        or _architecture(local.architecture) == wanted
    ):
        return None
    if not _is_same_commit(facts.checkout.commit.full, local.revision):
        return None
    return refuse(
        f"the engine holds this commit’s image for {_architecture(local.architecture)}; the task "
        f"definition wants {wanted}",
        f"docker rmi {local.id}",
    )


def _architecture(architecture: str) -> str:
    """Return `amd64` for `X86_64`, `arm64` for `aarch64`."""
    word = architecture.lower().split("/")[0]
    return _ARCHITECTURE_ALIASES.get(word, word)
