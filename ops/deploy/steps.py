"""The handlers of a deploy's steps; `ops.deploy.rules.plan` decides which are needed.

The rollout itself, with its undo, is `ecs_rollout` or `terraform_rollout`.
"""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

from ops.aws import ecr
from ops.aws.facts import ServiceState
from ops.core import ui
from ops.core.apply import StepHandlers
from ops.core.errors import OpsError, Unreachable
from ops.core.findings import Evidence, Finding, Unknown, Verdict
from ops.core.plan import PlainStep
from ops.deploy import invalidate, verify
from ops.deploy.context import DeployContext, RolloutFailed
from ops.deploy.ecs_rollout import Update, register
from ops.tools import docker, git
from ops.tools.facts import Checkout


def step_handlers(context: DeployContext) -> StepHandlers:
    """The handler of each step, for `ops.core.apply.apply`."""
    acts = {
        "build": _build,
        "push": _push,
        "latest": _latest,
        "register": register,
        "watch": _watch_rollout,
    }
    acts |= {"invalidate": invalidate.invalidate, "prove": _prove_release}
    handlers, update = StepHandlers(), Update(context)
    for verb, act in acts.items():
        handlers.add_verb(verb, partial(act, context))
    handlers.add_verb("update", update.do, update.undo)
    if context.platform.settings.environment.rollout == "terraform":
        from ops.deploy.terraform_rollout import add_handlers  # it imports this module

        add_handlers(handlers, context)
    return handlers


def _build(context: DeployContext, step: PlainStep) -> None:
    """Build the image from the commit itself.

    `git archive` leaves uncommitted files out (runbook 2, step 1).
    """
    assert isinstance(context.facts.checkout, Checkout)
    commit, settings, service = (
        context.facts.checkout.commit,
        context.platform.settings,
        context.service,
    )
    labels = {
        "org.opencontainers.image.revision": commit.full,
        "org.opencontainers.image.source": commit.source,
        "org.opencontainers.image.created": commit.at,
    }
    filled = service.filled_build_args(context.facts.tag or "", commit.full)
    with tempfile.TemporaryDirectory(prefix="inv-build-") as folder:
        git.archive(settings.source, commit.full, service.context, Path(folder))
        docker.build(
            context.platform.engine,
            Path(folder),
            dockerfile=service.dockerfile,
            name=context.image,
            labels=labels,
            build_args=filled,
            platform=step.values["platform"],
            progress=lambda line: ui.progress(f"  {line}"),
        )


def _push(context: DeployContext, step: PlainStep) -> None:
    """Push the image to ECR.

    The token comes from the API and goes into the request's header, never into argv or a file
    (runbook 2, steps 3 and 4).
    """
    token = ecr.token(context.platform.cloud)
    context.digest = docker.push(
        context.platform.engine,
        context.repository.uri,
        str(context.facts.tag),
        token,
        lambda line: ui.progress(f"  {line}"),
    )
    ui.progress(f"  {context.image} is {context.digest}")


def _latest(context: DeployContext, step: PlainStep) -> None:
    """Move the tag `latest` (runbook 2).

    Only if the repository's tags are mutable; a failure does not fail the deploy.
    """
    try:
        docker.tag(context.platform.engine, context.image, context.repository.uri, "latest")
        docker.push(
            context.platform.engine,
            context.repository.uri,
            "latest",
            ecr.token(context.platform.cloud),
            lambda line: ui.progress(f"  {line}"),
        )
    except OpsError as error:
        evidence = (Evidence(error.what, error.why),)
        context.findings.append(
            Finding(
                "latest_not_moved", "the tag latest could not be moved to it", "certain", evidence
            )
        )
        ui.progress(f"  latest was not moved: {error.why}")


def _watch_rollout(context: DeployContext, step: PlainStep) -> None:
    """Watch the deployment; raise RolloutFailed unless it succeeds."""
    if context.deployment is None:
        raise Unreachable(
            "no deployment to watch", "the step before named none", f"inv {context.name}.status"
        )
    context.watch_result = context.watch(
        context.deployment,
        context.timeout_s,
        leave_to_circuit_breaker=context.no_rollback,
        timeout_includes_bake=context.requested_timeout_s is not None,
    )
    context.findings.extend(context.watch_result.findings)
    if (
        context.watch_result.verdict is Verdict.ROLLED_BACK
    ):  # by ECS itself, after new tasks may have served pages
        invalidate.invalidate_for(context, context.deployment)
    if context.watch_result.verdict is not Verdict.SUCCEEDED:
        raise RolloutFailed(context.watch_result.verdict, context.watch_result.why)


def _prove_release(context: DeployContext, step: PlainStep) -> None:
    """Verify the running images and the endpoints; raise RolloutFailed if unhealthy."""
    seen = verify.verify_images(context.platform, context.name, context.digest)
    if isinstance(seen.wrong, Unknown):
        context.verification_problem = verify.unverified_finding(seen.wrong, context.name)
        context.findings.append(context.verification_problem)
    elif isinstance(seen.state, ServiceState) and seen.scaled_to_zero and _ran_before(context):
        context.scaled_to_zero = verify.scaled_to_zero_finding(seen.state, context.name)
        context.findings.append(context.scaled_to_zero)
        return  # no task runs, so the endpoints show nothing about the release
    tag = (
        context.facts.tag if invalidate.cache_is_current(context) else None
    )  # stale pages are expected then, and no reason to roll back
    context.answers_after, finding = verify.verify_endpoints(
        context.platform, context.name, context.facts.answers, tag
    )
    if finding:
        context.findings.append(finding)
        raise RolloutFailed(Verdict.FAILED, finding.summary)


def _ran_before(context: DeployContext) -> bool:
    return isinstance(context.facts.state, ServiceState) and context.facts.state.desired > 0
