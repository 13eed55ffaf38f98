"""The handlers of a deploy's steps; `ops.deploy.rules.plan` decides which are needed.

The rollout itself, with its undo, is `ecs_rollout` or `terraform_rollout`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from ops.aws import ecr
from ops.aws.facts import ServiceState
from ops.core import ui
from ops.core.apply import StepHandlers, StepProblem
from ops.core.errors import OpsError, Unreachable
from ops.core.findings import Evidence, Finding, Unknown, Verdict
from ops.core.invocation import invocation
from ops.core.text import format_count, short_digest
from ops.deploy import invalidate, verify
from ops.deploy.context import DeployContext, RolloutFailed
from ops.deploy.ecs_rollout import EcsRollout, restart_tasks
from ops.deploy.rules.steps import (
    BuildImage,
    InvalidatePages,
    PushImage,
    RestartService,
    TagLatest,
    VerifyRelease,
    WatchDeployment,
)
from ops.tools import docker, git
from ops.tools.facts import BuildOptions


def step_handlers(context: DeployContext) -> StepHandlers:
    """The handler of each step, for `ops.core.apply.apply`."""
    handlers, release = StepHandlers(), _ReleaseSteps(context)
    handlers.add(BuildImage, release.build)
    handlers.add(PushImage, release.push)
    handlers.add(TagLatest, release.tag_latest)
    handlers.add(WatchDeployment, release.watch)
    handlers.add(InvalidatePages, release.invalidate)
    handlers.add(VerifyRelease, release.verify)
    EcsRollout(context).add_to(handlers)
    handlers.add(RestartService, lambda step: restart_tasks(context, step))
    if context.platform.settings.environment.rollout == "terraform":
        from ops.deploy import terraform_rollback  # not needed by `rollout: ecs`

        terraform_rollback.add_handlers(handlers, context)
    return handlers


@dataclass(frozen=True)
class _ReleaseSteps:
    """The steps that are the same for each kind of rollout."""

    context: DeployContext

    def build(self, step: BuildImage) -> str:
        """Build the image from the commit itself.

        `git archive` leaves uncommitted files out (runbook 2, step 1).
        """
        labels = {
            "org.opencontainers.image.revision": step.commit.full,
            "org.opencontainers.image.source": step.commit.source,
            "org.opencontainers.image.created": step.commit.at,
        }
        platform, output = self.context.platform, docker.OutputCount(_detail)
        with tempfile.TemporaryDirectory(prefix="inv-build-") as folder:
            git.archive(platform.settings.source, step.commit.full, step.context, Path(folder))
            docker.build(
                platform.engine,
                Path(folder),
                dockerfile=step.dockerfile,
                name=step.image,
                labels=labels,
                build_args=step.build_args,
                platform=step.platform,
                progress=output.take,
                options=_with_paths(step.options, platform.settings.root),
            )
        return f"{step.platform} · {output.steps}"

    def push(self, step: PushImage) -> str:
        """Push the image to ECR.

        The token comes from the API and goes into the request's header, never into argv or a file
        (runbook 2, steps 3 and 4).
        """
        output = docker.OutputCount(_detail)
        self.context.digest = self._push(step.repository, step.tag, output.take)
        digest = short_digest(self.context.digest)
        return f"{output.layers} · {step.repository.partition('/')[2]}:{step.tag} is {digest}"

    def _push(self, repository: str, tag: str, progress: Callable[[str], None]) -> str:
        platform = self.context.platform
        token = ecr.token(platform.cloud, repository)
        return docker.push(platform.engine, repository, tag, token, progress)

    def tag_latest(self, step: TagLatest) -> None:
        """Move the tag `latest` (runbook 2).

        Only if the repository's tags are mutable; a failure does not fail the deploy.
        """
        image = f"{step.repository}:{step.tag}"
        try:
            docker.tag(self.context.platform.engine, image, step.repository, "latest")
            self._push(step.repository, "latest", _detail)
        except OpsError as error:
            evidence = (Evidence(error.what, error.why),)
            summary = "the tag latest could not be moved to it"
            finding = Finding("latest_not_moved", summary, "certain", evidence)
            self.context.findings.append(finding)
            ui.progress(f"  latest was not moved: {error.why}")

    def watch(self, step: WatchDeployment) -> str:
        """Watch the deployment; raise RolloutFailed unless it succeeds."""
        context = self.context
        if context.deployment is None:
            raise Unreachable(
                "no deployment to watch", "the step before named none", f"inv {context.name}.status"
            )
        result = context.watch_result = context.watch(
            context.deployment,
            context.timeout_s,
            leave_to_circuit_breaker=step.no_rollback,
            timeout_includes_bake=context.request.timeout_s is not None,
            detach=_detach_notice(context, no_rollback=step.no_rollback),
            interrupt="stop" if context.kind == "restart" else "roll back",
        )
        context.findings.extend(result.findings)
        if result.verdict is Verdict.ROLLED_BACK:
            # by ECS itself, after new tasks may have served pages
            invalidate.invalidate_for(context, context.deployment)
        if result.verdict is not Verdict.SUCCEEDED:
            raise RolloutFailed(result.verdict, result.why)
        return f"every task of {step.service} is new and healthy"

    def invalidate(self, step: InvalidatePages) -> str | StepProblem:
        """Invalidate the cache; a failure causes no undo, and decides the verdict at the end."""
        context = self.context
        context.invalidation_error = invalidate.invalidate(
            context, step.distribution, step.paths, context.deployment or step.running
        )
        found = context.invalidation_error
        if found:
            return StepProblem(found.what)
        return f"{', '.join(step.paths)} at {step.distribution}"

    def verify(self, step: VerifyRelease) -> str | StepProblem:
        """Verify the running images and the endpoints.

        Raises RolloutFailed if the rollout broke them. Endpoints that were unhealthy before, and
        what could not be verified, are a problem without an undo.
        """
        context = self.context
        checked = verify.verify_images(
            context.platform, step.service, step.digest or context.digest
        )
        if isinstance(checked.wrong, Unknown):
            context.verification_problem = verify.unverified_finding(checked.wrong, step.service)
            context.findings.append(context.verification_problem)
        elif (
            isinstance(checked.state, ServiceState)
            and checked.scaled_to_zero
            and _ran_before(context)
        ):
            finding = verify.scaled_to_zero_finding(checked.state, step.service)
            context.scaled_to_zero = finding
            context.findings.append(finding)
            return finding.summary  # the endpoints show nothing about the release
        tag = (
            context.facts.tag if invalidate.cache_is_current(context) else None
        )  # stale pages are expected then, and no reason to roll back
        pages = verify.verify_endpoints(context.platform, step.service, context.facts.answers, tag)
        context.answers_after = pages.answers
        if pages.broken:
            context.findings.append(pages.broken)
            raise RolloutFailed(Verdict.FAILED, pages.broken.summary)
        if pages.unreached:
            context.unreached = verify.unreached_finding(pages.unreached, step.service)
            context.findings.append(context.unreached)
        if invalidate.cache_is_current(context):
            self._verify_edge(step.service)
        unhealthy = any(not answer.healthy for answer in pages.answers)
        text = self._verified()
        return StepProblem(text) if unhealthy or context.verification_problem else text

    def _verified(self) -> str:
        """What was verified, in one line."""
        context, found = self.context, []
        if context.verification_problem:
            found.append(context.verification_problem.summary)
        elif context.digest:
            found.append(f"every running task has {short_digest(context.digest)}")
        if context.answers_after:
            healthy = sum(answer.healthy for answer in context.answers_after)
            found.append(
                f"{healthy} of {format_count(len(context.answers_after), 'endpoint')} healthy"
            )
        if context.unreached:
            found.append(context.unreached.summary)
        if context.edge_proofs:
            fresh = sum(proof.state == "fresh" for proof in context.edge_proofs.values())
            pages = format_count(len(context.edge_proofs), "page")
            found.append(f"{fresh} of {pages} without a version fresh at the CDN")
        return " · ".join(found)

    def _verify_edge(self, service: str) -> None:
        """Prove the pages that name no version; a stale one fails the deploy, without an undo.

        The service is healthy, and its earlier version would meet the same cache.
        """
        context = self.context
        context.edge_proofs, stale = verify.verify_edge(context.platform, service)
        for path, proof in context.edge_proofs.items():
            ui.detail(f"    edge {path}: {proof.state}: {proof.why}")
        if stale:
            context.findings.append(stale)
            context.verification_problem = context.verification_problem or stale


def _with_paths(options: BuildOptions, root: Path) -> BuildOptions:
    """The options with the secrets' files as absolute paths."""
    secrets = (
        replace(each, file=str(root / Path(each.file).expanduser())) if each.file else each
        for each in options.secrets
    )
    return replace(options, secrets=tuple(secrets))


def _detail(line: str) -> None:
    ui.detail(f"    {line}")


def _detach_notice(context: DeployContext, *, no_rollback: bool) -> tuple[str, ...]:
    """What it means to leave a rollout under way."""
    undone = context.kind != "restart" and not no_rollback
    lost = "rolled back by this run, nor " if undone else ""
    return (
        f"the {context.kind} goes on in ECS, and from then on it is not {lost}verified",
        f"to attach again: {invocation.as_typed(f'inv {context.name}.watch')}",
    )


def _ran_before(context: DeployContext) -> bool:
    return isinstance(context.facts.state, ServiceState) and context.facts.state.desired > 0
