"""One release under way: what its steps learn (digest, revision, deployment) is handed from one to
the next here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ops.aws.facts import Image, Repository, TaskDefinition
from ops.core import ui
from ops.core.errors import Interrupted, OpsError, Refused
from ops.core.findings import Finding, Verdict
from ops.ecs import watch
from ops.ecs.rules.verdict import SETTLE_S
from ops.http.facts import Answer
from ops.platform import Platform
from ops.preflight.facts import ReleaseFacts

if TYPE_CHECKING:
    from ops.core.config.settings import Service

_COUNTDOWN_S = 10.0  # on a terminal, before a failed roll-out is undone


@dataclass(frozen=True)
class Rollback:
    """A rollback that ECS has accepted: the revision or image it leads to, and its deployment."""

    to: str
    deployment: str


@dataclass
class DeployContext:
    """One release under way. `asks`: let a person stop the undo; `keep`: a failing roll-out is left
    to ECS and to them; `wait_s`: how long to wait for somebody else's lock, ours or Terraform's;
    `within_s`: `--timeout`, where it was given, which bounds each of Terraform's commands too;
    `guard` raises where our lock is lost. `interrupted`: whether a signal started the undo.
    `rollback`: what undoes the roll-out, None until ECS accepted it. `allow_destroy`: addresses
    that Terraform may destroy or replace; `terraform_inputs`: digests of its variable files that
    are not committed, None where Terraform did not run."""

    platform: Platform
    name: str
    facts: ReleaseFacts
    timeout_s: float
    screen: Callable[[], watch.Display]
    follow: bool = False
    asks: bool = False
    keep: bool = False
    wait_s: float = 0.0
    within_s: float | None = None
    guard: Callable[[], None] = lambda: None
    interrupted: Callable[[], bool] = lambda: False
    allow_destroy: frozenset[str] = frozenset()
    terraform_inputs: Mapping[str, str] | None = None
    changed_inputs: tuple[str, ...] = ()  # `x has changed`, since the last release
    overtaken: str | None = None
    unproven: Finding | None = None
    scaled_away: Finding | None = None
    digest: str | None = None
    revision: TaskDefinition | None = None
    deployment: str | None = None
    outcome: watch.WatchResult | None = None
    rollback: Rollback | None = None
    undone: watch.WatchResult | None = None
    after: tuple[Answer, ...] | None = None
    not_invalidated: OpsError | None = None
    findings: list[Finding] = field(default_factory=list)

    def __post_init__(self) -> None:
        if isinstance(self.facts.image, Image):
            self.digest = self.facts.image.digest

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

    def eyes(self) -> watch.Observer:
        environment = self.platform.settings.environment
        return watch.ecs_observer(
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
        patient: bool = False,
        bounded: bool = False,
        settle_s: float = SETTLE_S,
    ) -> watch.WatchResult:
        """`patient`: where the service's own circuit breaker rolls back, leave that to it.
        `bounded`: `timeout_s` includes a bake time.
        """
        return watch.watch(
            self.eyes(),
            deployment,
            timeout_s=timeout_s,
            poll_s=self.platform.settings.environment.poll,
            screen=self.screen(),
            follow=self.follow,
            patient=patient,
            bounded=bounded,
            settle_s=settle_s,
            service=self.name,
            sleep=self.pause,
        )

    def confirm_undo(self, target: str) -> None:
        """Raises Refused where the failed roll-out stays: ECS still bakes it, or the operator stops
        the countdown and says no.

        Without a terminal, and with `--yes`, nothing is waited for. The first signal ends the
        countdown or the question and the rollback begins; after one that started the undo, it is
        the second, and stops it. A lost terminal never stops it.
        """
        if self.outcome and self.outcome.baking:
            why = (
                "all new tasks run, and ECS waits for the bake time; it ends the deployment itself"
            )
            raise Refused(
                f"rolling back to {target}", why, f"inv {self.name}.deploy watches it further"
            )
        if not self.asks or not ui.on_terminal():
            return
        try:
            if ui.countdown(f"rolling back to {target}", _COUNTDOWN_S) and _says_no(
                f"roll back to {target}? [Y/n] "
            ):
                raise Refused(
                    f"rolling back to {target}", "the answer was no", f"inv {self.name}.status"
                )
        except Interrupted as lost:
            if self.interrupted() and lost.signal_name != "SIGHUP":
                raise
            ui.progress(f"{lost}: rolling back to {target} now")

    def pause(self, seconds: float) -> None:
        """Between two looks of a watch: whoever took our lock over is noticed here, not only at the
        next step.
        """
        time.sleep(seconds)
        self.guard()


def _says_no(question: str) -> bool:
    return ui.read_answer(question).lower() in ("n", "no")


class RolloutFailed(OpsError):
    """A roll-out came to another verdict than "succeeded"; the release reads which."""

    def __init__(self, verdict: Verdict, why: str) -> None:
        self.verdict = verdict
        super().__init__(f"the roll-out {verdict.value.replace('_', ' ')}", why, "")
