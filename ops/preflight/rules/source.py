"""Preflight: what is to be deployed. The tools, the commit, its tests, the engine that builds it,
and the image in ECR.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from ops.aws.facts import Image, Repository, TaskDefinition
from ops.core.findings import Unknown
from ops.preflight.facts import ReleaseFacts
from ops.preflight.rules.result import (
    CheckResult,
    key,
    listed,
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

SHORTEST_REVISION = 7  # an abbreviated commit id of fewer characters proves nothing
SAME_ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}


def tools(facts: ReleaseFacts, environment: Environment) -> CheckResult:
    """git names the commit; no AWS CLI, docker program or terraform is asked for, since nothing
    here calls them.
    """
    found = [version for version in facts.tools.values() if isinstance(version, str)]
    if isinstance(facts.engine, EngineInfo):
        found.append(f"engine {facts.engine.version} (API {facts.engine.api})")
    missing = [(name, why) for name, why in facts.tools.items() if isinstance(why, Unknown)]
    if not missing:
        return ok(", ".join(found))
    name, why = missing[0]
    return refuse(
        f"{name} is needed and did not answer: {why.why}; found {listed(found) or 'nothing'}",
        f"install {name}, and see that it is on the PATH",
    )


def git(environment: Environment) -> str:
    """git in the application's checkout, as one types it in the project's folder."""
    return "git" if environment.source == "." else f"git -C {shlex.quote(environment.source)}"


def git_clean(facts: ReleaseFacts, environment: Environment) -> CheckResult:
    """The image is named after a commit, so it must hold what the commit holds (runbook section
    1).
    """
    checkout = facts.checkout
    if not isinstance(checkout, Checkout):
        return refuse_unknown(
            f"the checkout {environment.source}",
            checkout,
            f"correct environments.{facts.environment}.source, or name an image by --tag",
        )
    if checkout.changes:
        many = "1 change" if len(checkout.changes) == 1 else f"{len(checkout.changes)} changes"
        found = f"{many} not committed: {listed(checkout.changes)}; allowed: none"
        return refuse(
            found,
            f"{git(environment)} add -A && {git(environment)} commit, or "
            f"{git(environment)} stash -u",
        )
    return ok(f"commit {checkout.commit.short}, “{checkout.commit.subject}”")


def branch(facts: ReleaseFacts, environment: Environment) -> CheckResult:
    if not isinstance(facts.checkout, Checkout):
        return unknown(unread(facts))
    if facts.checkout.branch != environment.branch:
        return refuse(
            f"on {facts.checkout.branch or 'no branch'}; allowed: {environment.branch}",
            f"{git(environment)} switch {environment.branch}",
        )
    return ok(f"on {facts.checkout.branch}")


def pushed(facts: ReleaseFacts, environment: Environment) -> CheckResult:
    """As last fetched: nothing is fetched here."""
    if not isinstance(facts.checkout, Checkout):
        return unknown(unread(facts))
    there, commit = f"{environment.remote}/{environment.branch}", facts.checkout.commit.short
    push = f"{git(environment)} push {environment.remote} {environment.branch}"
    if facts.checkout.pushed is None:
        return warn(f"there is no {there} to compare with, so nobody else has seen {commit}", push)
    if not facts.checkout.pushed:
        return warn(f"{commit} is not in {there}: nobody else has it", push)
    return ok(f"{commit} is in {there}")


def unread(facts: ReleaseFacts) -> str:
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
            f"name their command under {key(facts, 'tests')}",
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
    """Needed only where the image is not in ECR yet."""
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
            f"create it, or correct {key(facts, 'repository')}",
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
    """With `--tag` the image must be there; without, the tag must be free or made from this very
    commit.
    """
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
        return asked_for(facts, name)
    if facts.image is None:
        return ok(f"{name} is free: it will be built and pushed")
    return tag_taken(facts, facts.image, name)


def asked_for(facts: ReleaseFacts, name: str) -> CheckResult:
    if not isinstance(facts.image, Image):
        return refuse(
            f"ECR holds no image {name}, and --tag never builds",
            f"inv {facts.service}.deploy without --tag, or name a tag that exists",
        )
    at = f", pushed {facts.image.pushed_at:%Y-%m-%d %H:%M} UTC" if facts.image.pushed_at else ""
    return ok(f"{name} is {facts.image.digest}{at}")


def tag_taken(facts: ReleaseFacts, found: Image, name: str) -> CheckResult:
    if not isinstance(facts.checkout, Checkout):
        return refuse(
            f"{name} is taken, and the commit to compare it with could not be read", "see git-clean"
        )
    commit = facts.checkout.commit
    if same_commit(commit.full, found.revision):
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


def same_commit(full: str, label: str | None) -> bool:
    return bool(label) and len(label or "") >= SHORTEST_REVISION and full.startswith(label or "")


def architecture(facts: ReleaseFacts, environment: Environment) -> CheckResult:
    """Fargate says `exec format error` of an image for another architecture, minutes later."""
    if not isinstance(facts.revision, TaskDefinition):
        return unknown("the task definition is not known")
    wanted = plain(facts.revision.architecture)
    if isinstance(facts.image, Image):
        return image_for(wanted, facts.image, facts)
    if stale := local_for_another(facts, wanted):
        return stale
    if not isinstance(facts.engine, EngineInfo):
        return unknown("the engine did not answer")
    here = plain(facts.engine.architecture)
    if here != wanted:
        return warn(
            f"the task definition wants {wanted}, the engine is {here}: it builds for "
            f"{wanted} only if it can emulate it",
            "build on a machine of that kind if it fails",
        )
    return ok(f"{wanted}: task definition and engine agree")


def image_for(wanted: str, found: Image, facts: ReleaseFacts) -> CheckResult:
    if not found.architecture:
        return unknown(
            f"the configuration of image {facts.tag} names no architecture or could not be "
            f"read; wanted: {wanted}"
        )
    if plain(found.architecture) != wanted:
        return refuse(
            f"image {facts.tag} is for {plain(found.architecture)}; the task definition "
            f"wants {wanted}",
            "build it again for that platform, from a new commit",
        )
    return ok(f"{wanted}: task definition and image agree")


def local_for_another(facts: ReleaseFacts, wanted: str) -> CheckResult | None:
    """An image in the engine, made from this commit for another platform, would be pushed as it
    is.
    """
    local = facts.local_image
    if (
        not isinstance(local, LocalImage)
        or not isinstance(facts.checkout, Checkout)
        or plain(local.architecture) == wanted
    ):
        return None
    if not same_commit(facts.checkout.commit.full, local.revision):
        return None
    return refuse(
        f"the engine holds this commit’s image for {plain(local.architecture)}; the task "
        f"definition wants {wanted}",
        f"docker rmi {local.id}",
    )


def plain(architecture: str) -> str:
    """`amd64` for `X86_64`, `arm64` for `aarch64`: ECS, the kernel and Docker each have a word of
    their own.
    """
    word = architecture.lower().split("/")[0]
    return SAME_ARCHITECTURE.get(word, word)
