"""What the steps of a release do, each beside its undo; the plan says which of them are needed (`ops.rules.release`).

A `Work` is one release under way: what its steps learn (digest, revision, deployment) is handed from one to the next here.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ops import ui
from ops.adapters import ecr, ecs, engine, git
from ops.apply import Doer
from ops.errors import OpsError, Refused, Unreachable
from ops.facts import ReleaseFacts
from ops.flows import cache, prove, watch
from ops.flows.gather import Platform
from ops.model import Answer, Checkout, Finding, Image, Repository, TaskDefinition, Verdict
from ops.plan import Step
from ops.rules.release import with_image

if TYPE_CHECKING:
    from ops.settings import Service


@dataclass
class Work:
    """One release under way. `asks`: ask an interrupted person before the undo; `keep`: a failing roll-out is left to ECS and to them."""

    platform: Platform
    name: str
    facts: ReleaseFacts
    timeout_s: float
    screen: Callable[[], watch.Screen]
    follow: bool = False
    asks: bool = False
    keep: bool = False
    digest: str | None = None
    revision: TaskDefinition | None = None
    deployment: str | None = None
    outcome: watch.Outcome | None = None
    undone: watch.Outcome | None = None
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
        assert isinstance(self.facts.repository, Repository)   # the plan was refused otherwise
        return self.facts.repository

    @property
    def image(self) -> str:
        return f"{self.repository.uri}:{self.facts.tag}"

    def eyes(self) -> watch.Eyes:
        environment = self.platform.settings.environment
        return watch.ecs_eyes(self.platform.cloud, environment.cluster, self.service.ecs_service, self.service.container)

    def watch(self, deployment: str, timeout_s: float, *, patient: bool = False) -> watch.Outcome:
        """`patient`: where the service's own circuit breaker rolls back, leave that to it."""
        return watch.watch(
            self.eyes(),
            deployment,
            timeout_s=timeout_s,
            poll_s=self.platform.settings.environment.poll,
            screen=self.screen(),
            follow=self.follow,
            patient=patient,
            service=self.name,
        )


class RolloutEnded(OpsError):
    """A roll-out came to another verdict than "succeeded"; the release reads which."""

    def __init__(self, verdict: Verdict, why: str) -> None:
        self.verdict = verdict
        super().__init__(f"the roll-out {verdict.value.replace('_', ' ')}", why, "")


@dataclass(frozen=True)
class Simple:
    """A step without an undo: an image that nobody runs harms nobody."""

    act: Callable[[Step], None]

    def do(self, step: Step) -> None:
        self.act(step)

    def undo(self, step: Step) -> None:
        raise OpsError(f"step {step.verb} has no undo", "a plan named one", "report this")


@dataclass(frozen=True)
class Update:
    """One UpdateService; its undo is another, back to the last revision seen healthy, watched to its own verdict."""

    work: Work

    def do(self, step: Step) -> None:
        work = self.work
        if "deployment" in step.values:
            work.deployment = step.values["deployment"]
            return
        assert work.revision is not None   # registered in the step before
        work.deployment = point_service_at(work, work.revision.arn)
        ui.say(f"  deployment {work.deployment}")

    def undo(self, step: Step) -> None:
        work, back = self.work, step.values["back"]
        if work.outcome and work.outcome.verdict in (Verdict.SUPERSEDED, Verdict.ROLLED_BACK):
            return
        if work.asks and ui.on_terminal() and ui.ask_on_stderr(f"go back to {back.rsplit('/', 1)[-1]}? [Y/n] ").lower() in ("n", "no"):
            raise Refused("going back", "the answer was no", f"inv {work.name}.status")
        deployment = way_back(work, back)
        if deployment is None:
            ui.say("  nothing to take back: the service had not been changed")
            return
        ui.say(f"going back to {back.rsplit('/', 1)[-1]}: deployment {deployment}")
        watch_back(work, deployment)


def watch_back(work: Work, deployment: str) -> None:
    """Watch the way back to its own verdict, then take out of the CDN's cache what the new version left there."""
    work.undone = work.watch(deployment, work.platform.settings.environment.deploy_timeout)   # a short --timeout is not the undo's
    if work.undone.verdict is not Verdict.SUCCEEDED:
        raise RolloutEnded(work.undone.verdict, work.undone.why)
    cache.follow(work, deployment)


def way_back(work: Work, back: str) -> str | None:
    """Id of the deployment that leads back, made now unless it is there; None where the service was never changed (UpdateService lost)."""
    environment = work.platform.settings.environment
    state = ecs.service(work.platform.cloud, environment.cluster, work.service.ecs_service)
    if state and state.primary and state.primary.task_definition == back:
        return None if len(state.deployments) == 1 else state.primary.id
    return point_service_at(work, back)


def point_service_at(work: Work, revision: str) -> str:
    """One UpdateService; the id of the deployment that it made."""
    environment = work.platform.settings.environment
    state = ecs.update_service(work.platform.cloud, environment.cluster, work.service.ecs_service, revision)
    if not state.primary:
        what = f"service {state.name} has no PRIMARY deployment after UpdateService"
        raise OpsError(what, "ECS did not start one", f"inv {work.name}.status")
    return state.primary.id


def doers(work: Work) -> dict[str, Doer]:
    """Verb → what does it, for `ops.apply.apply`."""
    acts = {"build": build, "push": push, "latest": latest, "register": register, "watch": watch_rollout}
    acts |= {"invalidate": cache.invalidate, "prove": prove_release}
    simple: dict[str, Doer] = {verb: Simple(lambda step, act=act: act(work, step)) for verb, act in acts.items()}  # type: ignore[misc]
    if work.platform.settings.environment.rollout == "terraform":
        from ops.flows.terraform_rollout import doers as by_terraform  # it builds upon this module

        return {**simple, "update": Update(work), **by_terraform(work)}
    return {**simple, "update": Update(work)}


def build(work: Work, step: Step) -> None:
    """From the commit itself (`git archive`), so that nothing uncommitted gets in (runbook 2, step 1)."""
    assert isinstance(work.facts.checkout, Checkout)
    commit, settings, service = work.facts.checkout.commit, work.platform.settings, work.service
    labels = {
        "org.opencontainers.image.revision": commit.full,
        "org.opencontainers.image.source": commit.source,
        "org.opencontainers.image.created": commit.at,
    }
    filled = {key: text.format(tag=work.facts.tag, commit=commit.full) for key, text in service.build_args.items()}
    with tempfile.TemporaryDirectory(prefix="inv-build-") as folder:
        git.archive(settings.source, commit.full, service.context, Path(folder))
        engine.build(
            work.platform.engine,
            Path(folder),
            dockerfile=service.dockerfile,
            name=work.image,
            labels=labels,
            build_args=filled,
            platform=step.values["platform"],
            progress=lambda line: ui.say(f"  {line}"),
        )


def push(work: Work, step: Step) -> None:
    """The token comes by API and goes into the request's own header: never argv, never a file (runbook 2, steps 3 and 4)."""
    token = ecr.token(work.platform.cloud)
    work.digest = engine.push(work.platform.engine, work.repository.uri, str(work.facts.tag), token, lambda line: ui.say(f"  {line}"))
    ui.say(f"  {work.image} is {work.digest}")


def latest(work: Work, step: Step) -> None:
    """The runbook's second tag, only where the repository lets a tag move."""
    engine.tag(work.platform.engine, work.image, work.repository.uri, "latest")
    engine.push(work.platform.engine, work.repository.uri, "latest", ecr.token(work.platform.cloud), lambda line: ui.say(f"  {line}"))


def register(work: Work, step: Step) -> None:
    """From the service's own revision, not the family's latest; an equal latest revision (left by a killed run) is used."""
    assert isinstance(work.facts.revision, TaskDefinition)
    wanted = with_image(work.facts.revision.document, work.service.container, work.image)
    newest = ecs.task_definition(work.platform.cloud, work.facts.revision.label.rsplit(":", 1)[0])
    if newest and newest.status == "ACTIVE" and newest.arn != work.facts.revision.arn and same_content(newest, wanted):
        work.revision = newest
    else:
        work.revision = ecs.register(work.platform.cloud, wanted)
    ui.say(f"  revision {work.revision.label}")


def same_content(newest: TaskDefinition, wanted: dict[str, object]) -> bool:
    keys = ("containerDefinitions", "cpu", "memory", "taskRoleArn", "executionRoleArn", "volumes", "networkMode", "runtimePlatform")
    return all(newest.document.get(key) == wanted.get(key) for key in keys)


def watch_rollout(work: Work, step: Step) -> None:
    if work.deployment is None:
        raise Unreachable("no deployment to watch", "the step before named none", f"inv {work.name}.status")
    work.outcome = work.watch(work.deployment, work.timeout_s, patient=work.keep)
    work.findings.extend(work.outcome.findings)
    if work.outcome.verdict is Verdict.ROLLED_BACK:   # by ECS itself, after new tasks may have been asked for pages
        cache.follow(work, work.deployment)
    if work.outcome.verdict is not Verdict.SUCCEEDED:
        raise RolloutEnded(work.outcome.verdict, work.outcome.why)


def prove_release(work: Work, step: Step) -> None:
    prove.images(work.platform, work.name, work.digest)
    tag = work.facts.tag if cache.fresh(work) else None   # old pages are known of then, and no reason to go back
    work.after, finding = prove.endpoints(work.platform, work.name, work.facts.answers, tag)
    if finding:
        work.findings.append(finding)
        raise RolloutEnded(Verdict.FAILED, finding.summary)
