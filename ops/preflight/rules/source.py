"""Preflight checks of what is built: tools, commit, tests, engine."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from ops.aws.facts import Image
from ops.core.findings import Unknown
from ops.core.text import format_count
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
    unknown,
    warn,
)
from ops.tools.facts import DETACHED, AbsentContent, Checkout, EngineInfo

if TYPE_CHECKING:
    from ops.core.config.settings import Environment


@preflight_check(
    "tools",
    section="source",
    subject="git, and the versions in use",
    building=True,
    shared=True,
)
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


@preflight_check(
    "git-clean",
    section="source",
    subject="the checkout: is everything committed",
    needs=("tools",),
    building=True,
    shared=True,
)
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


def _git_command(environment: Environment) -> str:
    """Return the git command for the application's checkout."""
    return "git" if environment.source == "." else f"git -C {shlex.quote(environment.source)}"


@preflight_check(
    "branch",
    section="source",
    subject="the checkout: is it on the configured branch",
    needs=("tools",),
    building=True,
    shared=True,
)
def branch(facts: ReleaseFacts, environment: Environment) -> CheckResult:
    """Check the branch; a detached HEAD at the remote's branch, as in CI, is on that branch."""
    if not isinstance(facts.checkout, Checkout):
        return unknown(_why_unread(facts))
    if facts.checkout.branch == DETACHED and facts.checkout.at_remote:
        return ok(f"detached at {environment.remote}/{environment.branch}")
    if facts.checkout.branch != environment.branch:
        return refuse(
            f"on {facts.checkout.branch or 'no branch'}; allowed: {environment.branch}",
            f"{_git_command(environment)} switch {environment.branch}",
        )
    return ok(f"on {facts.checkout.branch}")


@preflight_check(
    "pushed",
    section="source",
    subject="the checkout: is HEAD in the remote's branch",
    needs=("tools",),
    building=True,
    shared=True,
)
def pushed(facts: ReleaseFacts, environment: Environment) -> CheckResult:
    """Check that HEAD is in the remote branch, as of the last fetch."""
    if not isinstance(facts.checkout, Checkout):
        return unknown(_why_unread(facts))
    there, commit = f"{environment.remote}/{environment.branch}", facts.checkout.commit.short
    push = f"{_git_command(environment)} push {environment.remote} {environment.branch}"
    if facts.checkout.pushed is None:
        return warn(f"there is no {there} to compare {commit} with", push)
    if not facts.checkout.pushed:
        return warn(f"{commit} is not in {there}", push)
    return ok(f"{commit} is in {there}")


def _why_unread(facts: ReleaseFacts) -> str:
    return (
        f"{facts.checkout.why} (see git-clean)"
        if isinstance(facts.checkout, Unknown)
        else "the checkout was not read"
    )


@preflight_check(
    "context",
    section="source",
    subject="the build context: submodules and Git LFS files",
    needs=("git-clean",),
    building=True,
)
def context(facts: ReleaseFacts, environment: Environment) -> CheckResult:
    """Check that this machine has what the commit only refers to."""
    absent = facts.absent_content
    if isinstance(facts.image, Image):
        return ok(f"not needed: {facts.tag} is in ECR already")
    if not isinstance(absent, AbsentContent):
        return unknown(absent.why if absent else "the commit was not read")
    if absent.submodules:
        return refuse(
            f"submodules are not checked out at the commit's version: "
            f"{join_limited(absent.submodules)}; the image would lack them",
            f"{_git_command(environment)} submodule update --init --recursive",
        )
    if absent.lfs_files:
        return refuse(
            f"Git LFS files are not on this machine: {join_limited(absent.lfs_files)}; the image "
            f"would have their pointers",
            f"{_git_command(environment)} lfs pull",
        )
    return ok("complete")


@preflight_check(
    "tests",
    section="source",
    subject="the service's `tests:` command",
    building=True,
)
def tests(facts: ReleaseFacts, environment: Environment) -> CheckResult:
    command = service_config(facts, environment).tests
    if command == []:
        return ok("none, by configuration")
    if command is None:
        return warn(
            "no tests are configured for this service",
            f"name their command under {config_key(facts, 'tests')} ([] if there are none)",
        )
    folder = f"{environment.source}/{service_config(facts, environment).context}"
    again = f"(cd {shlex.quote(folder)} && {shlex.join(command)})"
    if facts.tests is None:
        return CheckResult("skipped", f"not run this time: {shlex.join(command)}")
    if isinstance(facts.tests, Unknown):
        return refuse(f"the tests could not be run: {facts.tests.why}", again)
    if facts.tests.exit_code:
        return refuse(
            f"{shlex.join(command)} exited with {facts.tests.exit_code}; expected: "
            f"0\n{facts.tests.tail.strip()}",
            again,
        )
    return ok(f"{shlex.join(command)} passed")


@preflight_check(
    "engine",
    section="source",
    subject="the Docker engine that builds",
    building=True,
    shared=True,
)
def engine(facts: ReleaseFacts, environment: Environment) -> CheckResult:
    """Check that the Docker engine answers, if the image is not in ECR yet."""
    if isinstance(facts.engine, EngineInfo):
        return ok(f"{facts.engine.version} (API {facts.engine.api}), {facts.engine.architecture}")
    if isinstance(facts.image, Image):
        return ok(f"not needed: {facts.tag} is in ECR already")
    why = facts.engine.why if facts.engine else "not looked at"
    start = environment.overlay_hint or f"start it, or set environments.{facts.environment}.engine"
    return refuse(
        f"no Docker engine answers, and one is needed: {why}",
        start,
    )
