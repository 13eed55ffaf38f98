"""The request for a deploy, and its state: what its steps learn (digest, revision, deployment)."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ops.aws import ecs
from ops.aws.facts import Image, Repository, ServiceState, TaskDefinition, TaskDefinitionArn
from ops.cdn.facts import EdgeProof
from ops.core import ui
from ops.core.apply import Journal
from ops.core.errors import Interrupted, OpsError, Refused
from ops.core.findings import Finding, Verdict
from ops.core.parallel import try_call
from ops.core.terminal.step import undisturbed
from ops.ecs import watch
from ops.ecs.model import Display, WatchOptions, WatchResult
from ops.health.before_after import BeforeAfter
from ops.http.facts import Answer
from ops.platform import Platform
from ops.preflight.facts import ReleaseFacts
from ops.preflight.model import Item
from ops.state import records
from ops.state.model import ReleaseRecord

if TYPE_CHECKING:
    from ops.core.config.settings import Service

_COUNTDOWN_S = 10.0  # on a terminal, before a failed rollout is undone


@dataclass(frozen=True)
class Rollback:
    """A rollback that ECS has accepted: the revision or image it leads to, and its deployment."""

    to: str
    deployment: str


@dataclass(frozen=True)
class DeployRequest:
    """The options of a deploy.

    `no_rollback`: leave a failed rollout in place. `no_wait`: do not watch the rollout.
    `timeout_s`: `--timeout` if given, which also bounds each Terraform command. `lock_wait_s`: how
    long to wait for a lock, ours or Terraform's. `yes`: nobody is asked, and no operator may stop
    the undo. `allow_destroy`: addresses that a Terraform rollout may destroy or replace.
    """

    tag: str | None = None
    skip: frozenset[str] = frozenset()
    no_rollback: bool = False
    no_wait: bool = False
    follow: bool = False
    yes: bool = False
    timeout_s: float | None = None
    lock_wait_s: float = 0.0
    allow_destroy: frozenset[str] = frozenset()


@dataclass
class DeployContext:
    """The state of one deploy or rollback, passed from step to step.

    `earlier` is the record of the release that a rollback goes to.
    `journal.guard` raises if our lock is lost. `rollback`: what undoes the rollout, None until ECS
    accepted it. `terraform_inputs`: digests of Terraform's variable files that are not committed,
    None if Terraform did not run.
    """

    platform: Platform
    name: str
    facts: ReleaseFacts
    request: DeployRequest
    make_display: Callable[[], Display]
    journal: Journal = field(default_factory=lambda: Journal(ui.progress))
    earlier: ReleaseRecord | None = None
    preflight: tuple[Item, ...] = ()
    health: BeforeAfter | None = None
    terraform_inputs: Mapping[str, str] | None = None
    changed_inputs: tuple[str, ...] = ()  # `x has changed`, since the last release
    superseded_by: str | None = None
    verification_problem: Finding | None = None
    unreached: Finding | None = None  # endpoints that this machine does not reach
    scaled_to_zero: Finding | None = None
    digest: str | None = None
    revision: TaskDefinition | None = None
    deployment: str | None = None
    watch_result: WatchResult | None = None
    rollback: Rollback | None = None
    rollback_result: WatchResult | None = None
    answers_after: tuple[Answer, ...] | None = None
    edge_proofs: Mapping[str, EdgeProof] | None = None  # by path; None if not compared
    invalidation_error: OpsError | None = None
    findings: list[Finding] = field(default_factory=list)
    kind: str = "deploy"  # or "restart", "rollback": the task's name

    def __post_init__(self) -> None:
        if isinstance(self.facts.image, Image):
            self.digest = self.facts.image.digest

    @property
    def timeout_s(self) -> float:
        """Longest wait for the rollout."""
        return self.request.timeout_s or self.platform.settings.environment.deploy_timeout

    @property
    def command(self) -> str:
        """The command line that continues this change."""
        to = f" --to {self.facts.tag}" if self.kind == "rollback" else ""
        return f"inv {self.name}.{self.kind}{to}"

    @property
    def interrupted(self) -> bool:
        """Whether a signal started the undo."""
        return isinstance(self.journal.cause, KeyboardInterrupt)

    @property
    def service(self) -> Service:
        return self.platform.settings.service(self.name)

    @property
    def repository(self) -> Repository:
        assert isinstance(self.facts.repository, Repository)  # the plan was refused otherwise
        return self.facts.repository

    @property
    def image(self) -> str:
        return f"{self.repository.uri}:{self.facts.tag}"

    def observer(self) -> watch.EcsObserver:
        """The reads of this service for a watch."""
        environment = self.platform.settings.environment
        return watch.EcsObserver(
            self.platform.cloud,
            environment.cluster,
            self.service.ecs_service,
            self.service.container,
        )

    def watch(
        self,
        deployment: str,
        timeout_s: float,
        *,
        leave_to_circuit_breaker: bool = False,
        timeout_includes_bake: bool = False,
        settle_s: float | None = None,
        detach: tuple[str, ...] = (),
        interrupt: str = "stop",
    ) -> WatchResult:
        """Watch `deployment` to its verdict; see `ops.ecs.watch.watch` for the options.

        `settle_s`: default as configured for the service. `detach` and `interrupt`: what `q` and
        Ctrl-C mean (`ops.ecs.model.WatchOptions`).
        """
        with undisturbed():
            return watch.watch(
                self.observer(),
                deployment,
                timeout_s=timeout_s,
                poll_s=self.platform.settings.environment.poll,
                display=self.make_display(),
                follow=self.request.follow,
                leave_to_circuit_breaker=leave_to_circuit_breaker,
                timeout_includes_bake=timeout_includes_bake,
                settle_s=self.service.settle if settle_s is None else settle_s,
                options=WatchOptions(
                    self.name,
                    detach,
                    interrupt,
                    lambda: records.typical_rollout_s(self.platform, self.name),
                ),
                sleep=self.pause,
            )

    def confirm_undo(self, target: str) -> None:
        """Raise Refused if the failed rollout stays in place.

        ECS still bakes it, or the operator stops the countdown and answers no.

        Without a terminal, and with `--yes`, there is no countdown. The first signal ends the
        countdown or the question and the rollback begins; after one that started the undo, it is
        the second, and stops it. A lost terminal never stops it.
        """
        if self.watch_result and self.watch_result.baking:
            why = (
                "all new tasks run, and ECS waits for the bake time; it ends the deployment itself"
            )
            raise Refused(f"rolling back to {target}", why, f"{self.command} watches it further")
        if self.request.yes or not ui.on_terminal():
            return
        try:
            if ui.countdown(what := f"rolling back to {target}", _COUNTDOWN_S):
                ui.confirm(what, yes=False, default=True, next=f"inv {self.name}.status")
        except Interrupted as lost:
            if self.interrupted and lost.signal_name != "SIGHUP":
                raise
            ui.progress(f"{lost}: rolling back to {target} now")

    def pause(self, seconds: float) -> None:
        """Sleep between two polls of a watch, then check that the lock is still ours."""
        time.sleep(seconds)
        self.journal.guard()


def running_now(platform: Platform, name: str) -> str:
    """What runs now, by deployment; "unknown" if it cannot be read."""
    cluster, service = platform.settings.environment.cluster, platform.settings.service(name)
    state = try_call(lambda: ecs.service(platform.cloud, cluster, service.ecs_service))
    if not isinstance(state, ServiceState):
        return "what runs now is unknown"
    counts = [
        f"{each.running} of {each.desired} tasks of {TaskDefinitionArn(each.task_definition).label}"
        f" ({each.id}, {each.status})"
        for each in state.deployments
    ]
    return f"running now: {', '.join(counts)}"


class RolloutFailed(OpsError):
    """A rollout ended with another verdict than "succeeded"."""

    def __init__(self, verdict: Verdict, why: str) -> None:
        self.verdict = verdict
        super().__init__(f"the rollout {verdict.value.replace('_', ' ')}", why, "")
