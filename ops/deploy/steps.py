"""What the steps of a release do; the plan says which of them are needed (`ops.deploy.rules.plan`).

The roll-out itself, with its undo, is `ecs_rollout` or `terraform_rollout`.
"""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

from ops.aws import ecr
from ops.aws.facts import ServiceState
from ops.core import ui
from ops.core.apply import NoUndo, StepHandler
from ops.core.errors import OpsError, Unreachable
from ops.core.findings import Evidence, Finding, Unknown, Verdict
from ops.core.plan import Step
from ops.deploy import invalidate, verify
from ops.deploy.context import DeployContext, RolloutFailed
from ops.deploy.ecs_rollout import Update, register
from ops.tools import docker, git
from ops.tools.facts import Checkout


def step_handlers(work: DeployContext) -> dict[str, StepHandler]:
    """Verb → what does it, for `ops.apply.apply`."""
    acts = {
        "build": _build,
        "push": _push,
        "latest": _latest,
        "register": register,
        "watch": _watch_rollout,
    }
    acts |= {"invalidate": invalidate.invalidate, "prove": _prove_release}
    simple: dict[str, StepHandler] = {
        verb: NoUndo(partial(act, work)) for verb, act in acts.items()
    }
    if work.platform.settings.environment.rollout == "terraform":
        from ops.deploy.terraform_rollout import (
            step_handlers as by_terraform,
        )  # it builds upon this module

        return {**simple, "update": Update(work), **by_terraform(work)}
    return {**simple, "update": Update(work)}


def _build(work: DeployContext, step: Step) -> None:
    """From the commit itself (`git archive`), so that nothing uncommitted gets in (runbook 2, step
    1).
    """
    assert isinstance(work.facts.checkout, Checkout)
    commit, settings, service = work.facts.checkout.commit, work.platform.settings, work.service
    labels = {
        "org.opencontainers.image.revision": commit.full,
        "org.opencontainers.image.source": commit.source,
        "org.opencontainers.image.created": commit.at,
    }
    filled = service.filled_build_args(work.facts.tag or "", commit.full)
    with tempfile.TemporaryDirectory(prefix="inv-build-") as folder:
        git.archive(settings.source, commit.full, service.context, Path(folder))
        docker.build(
            work.platform.engine,
            Path(folder),
            dockerfile=service.dockerfile,
            name=work.image,
            labels=labels,
            build_args=filled,
            platform=step.values["platform"],
            progress=lambda line: ui.progress(f"  {line}"),
        )


def _push(work: DeployContext, step: Step) -> None:
    """The token comes by API and goes into the request's own header: never argv, never a file
    (runbook 2, steps 3 and 4).
    """
    token = ecr.token(work.platform.cloud)
    work.digest = docker.push(
        work.platform.engine,
        work.repository.uri,
        str(work.facts.tag),
        token,
        lambda line: ui.progress(f"  {line}"),
    )
    ui.progress(f"  {work.image} is {work.digest}")


def _latest(work: DeployContext, step: Step) -> None:
    """The runbook's second tag, only where the repository lets a tag move; without it the release
    is no worse.
    """
    try:
        docker.tag(work.platform.engine, work.image, work.repository.uri, "latest")
        docker.push(
            work.platform.engine,
            work.repository.uri,
            "latest",
            ecr.token(work.platform.cloud),
            lambda line: ui.progress(f"  {line}"),
        )
    except OpsError as error:
        evidence = (Evidence(error.what, error.why),)
        work.findings.append(
            Finding(
                "latest_not_moved", "the tag latest could not be moved to it", "certain", evidence
            )
        )
        ui.progress(f"  latest was not moved: {error.why}")


def _watch_rollout(work: DeployContext, step: Step) -> None:
    if work.deployment is None:
        raise Unreachable(
            "no deployment to watch", "the step before named none", f"inv {work.name}.status"
        )
    work.outcome = work.watch(
        work.deployment, work.timeout_s, patient=work.keep, bounded=work.within_s is not None
    )
    work.findings.extend(work.outcome.findings)
    if (
        work.outcome.verdict is Verdict.ROLLED_BACK
    ):  # by ECS itself, after new tasks may have been asked for pages
        invalidate.invalidate_for(work, work.deployment)
    if work.outcome.verdict is not Verdict.SUCCEEDED:
        raise RolloutFailed(work.outcome.verdict, work.outcome.why)


def _prove_release(work: DeployContext, step: Step) -> None:
    seen = verify.verify_images(work.platform, work.name, work.digest)
    if isinstance(seen.wrong, Unknown):
        work.unproven = verify.unverified_finding(seen.wrong, work.name)
        work.findings.append(work.unproven)
    elif isinstance(seen.state, ServiceState) and seen.scaled_to_zero and _ran_before(work):
        work.scaled_away = verify.scaled_to_zero_finding(seen.state, work.name)
        work.findings.append(work.scaled_away)
        return  # no task runs, so whatever the endpoints answer says nothing about the release
    tag = (
        work.facts.tag if invalidate.cache_is_current(work) else None
    )  # old pages are known of then, and no reason to go back
    work.after, finding = verify.verify_endpoints(work.platform, work.name, work.facts.answers, tag)
    if finding:
        work.findings.append(finding)
        raise RolloutFailed(Verdict.FAILED, finding.summary)


def _ran_before(work: DeployContext) -> bool:
    return isinstance(work.facts.state, ServiceState) and work.facts.state.desired > 0
