"""`inv SERVICE.deploy`: gather, refuse or plan, apply, look again (runbook 2, steps 1 to 8).

The story of one deploy: the preflight refuses what could not go well; the plan holds only what the
world lacks; applying it ends in a verdict; a verdict other than "succeeded" takes the service back
to the last revision that was seen healthy, unless ECS did so already, a newer deployment took over,
or the operator wants it kept."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ops.aws.facts import TaskDefinition, image_tag
from ops.core import ui
from ops.core.apply import Journal, StepRecord, apply
from ops.core.errors import Cancelled, ConfigError, OpsError, Refused, TimedOut
from ops.core.findings import Evidence, Finding, Verdict
from ops.core.plan import Plan
from ops.deploy import schema_compat, verify
from ops.deploy.context import DeployContext, Rollback, RolloutFailed
from ops.deploy.result import DeployRequest, DeployResult, record, refusing
from ops.deploy.rules.plan import plan_image, plan_release
from ops.deploy.rules.terraform_plan import by_terraform
from ops.deploy.steps import step_handlers
from ops.ecs import display, watch
from ops.health.before_after import BeforeAfter
from ops.platform import Platform
from ops.preflight import report
from ops.preflight.facts import ReleaseFacts
from ops.preflight.model import Item
from ops.preflight.platform_reads import release_facts
from ops.preflight.rules.checks import check
from ops.state import lock, records
from ops.state.rules.lock import Holder
from ops.tools.facts import Checkout

_CHANGES = ("update", "tf-apply")  # the steps that change what runs


def plan_deploy(
    platform: Platform, name: str, request: DeployRequest
) -> tuple[ReleaseFacts, tuple[Item, ...], Plan]:
    """The facts, the checklist and the plan. Raises Refused where a check says no, ConfigError for
    a hostile tag or unknown check.
    """
    facts = release_facts(platform, name, request.tag, skip=request.skip)
    with refusing(facts):
        items = check(facts, platform.settings.environment, request.skip)
        ui.progress(report.as_text(items))
        report.refuse_if_blocked(items)
        schema_compat.report_schema_age(platform, facts)
        return facts, items, _planned(platform, facts, request)


def _planned(platform: Platform, facts: ReleaseFacts, request: DeployRequest) -> Plan:
    """The steps, by ECS or by Terraform as the environment says."""
    service = platform.settings.service(facts.service)
    plan = plan_release(facts, service, rollback=not request.keep)
    return (
        by_terraform(plan, service)
        if platform.settings.environment.rollout == "terraform"
        else plan
    )


def release(
    platform: Platform, name: str, request: DeployRequest, screen: Callable[[], watch.Display]
) -> DeployResult:
    """Deploy, prove, or undo. The verdict is in the answer; what stops a release before the service
    was touched is raised.
    """
    environment = platform.settings.environment
    if request.allow_destroy and environment.rollout != "terraform":
        why = f"{platform.settings.name} has rollout: {environment.rollout}, which destroys nothing"
        raise ConfigError("--allow-destroy", why, f"leave it out: inv {name}.deploy")
    question = f"deploy {name} to {platform.settings.name}"
    if environment.protected and not request.yes:
        ui.refuse_unanswerable(question)  # known now, so no checklist is gone through first
    around = _start_health_snapshot(platform, name)
    facts, items, shown = plan_deploy(platform, name, request)
    ui.progress(shown.as_text())
    commit = facts.checkout.commit if isinstance(facts.checkout, Checkout) else None
    me = lock.myself(f"deploy {facts.tag}", commit.short if commit else "")
    place = lock.LockLocation.of(platform.cloud, platform.settings, name)
    with refusing(facts):
        if environment.protected:
            ui.confirm(
                f"deploy {name} {facts.tag} to {platform.settings.name}",
                yes=request.yes,
                typed=platform.settings.name,
            )
        with lock.hold(place, me, wait_s=request.wait_s) as ours:
            facts, plan = _replan_under_lock(platform, name, request, facts, shown)
            if plan != shown or (
                ours and ours.waited
            ):  # what another deploy changed meanwhile is not this one's
                around = _start_health_snapshot(platform, name)
            limit = request.timeout_s or environment.deploy_timeout
            asks, bounds = not request.yes, (request.wait_s, request.timeout_s)
            work = DeployContext(
                platform, name, facts, limit, screen, request.follow, asks, request.keep, *bounds
            )
            work.allow_destroy = request.allow_destroy
            done = DeployResult(work, Journal(ui.progress), items, around=around)
            if ours:
                done.journal.guard = work.guard = replan_guard(done, ours)
            around.ready()
            run(done, plan, me)
    if done.verdict is not Verdict.SUCCEEDED:
        for contact in environment.contacts:
            ui.progress(f"contact: {contact}")
    return done


def _start_health_snapshot(platform: Platform, name: str) -> BeforeAfter:
    return BeforeAfter.begin(platform.settings, lambda: platform, f"deploy of {name}")


def replan_guard(done: DeployResult, ours: lock.HeldLock) -> Callable[[], None]:
    """Before anything was changed the lock must be known to be ours; later only a lost one stops a
    release, or its undo.
    """
    return lambda: ours.check(strict=not service_changed(done))


def _replan_under_lock(
    platform: Platform, name: str, request: DeployRequest, facts: ReleaseFacts, plan: Plan
) -> tuple[ReleaseFacts, Plan]:
    """The world may have moved while nobody held the lock. What was answered for in a protected
    environment must still hold.
    """
    now = release_facts(
        platform, name, request.tag, skip=request.skip, tests=False, say=lambda line: None
    )
    report.refuse_if_blocked(check(now, platform.settings.environment, request.skip))
    then = _planned(platform, now, request)
    if then == plan:
        return replace(facts, answers=now.answers), plan
    if platform.settings.environment.protected and not request.yes:
        raise Refused(
            "the world has moved since the plan was shown",
            "another deploy, or a push, came between",
            "run it again",
        )
    ui.progress("the world has moved since; the plan is now:")
    ui.progress(then.as_text())
    return now, then


def run(done: DeployResult, plan: Plan, me: Holder) -> None:
    """Carry the plan out and keep its record, however it ends."""
    began, done.findings = time.monotonic(), done.work.findings
    try:
        _carry_out(done, plan)
    except BaseException as error:
        done.verdict, done.why = verdict_of(error), _failure_text(error)
        done.took_s = time.monotonic() - began
        error.__dict__["about"] = done.as_document()
        raise
    finally:
        done.took_s = time.monotonic() - began
        try:
            report_not_undone(done)
            _finish_health_snapshot(done, me)
        finally:  # also where somebody interrupts the look
            did_something = any(step.verb != "prove" for step in plan.steps)
            if done.verdict is not Verdict.SUCCEEDED or did_something or not _recorded(done.work):
                records.store(done.work.platform, record(done, me))


def _recorded(work: DeployContext) -> bool:
    """Whether the last successful release is what runs. It is not where ECS finished a roll-out
    whose deploy had been killed.

    Unread counts as no: a second record of what runs does no harm.
    """
    if work.platform.settings.environment.state is None:
        return True
    try:
        last = records.last_success(work.platform, work.name)
    except OpsError as error:
        ui.progress(f"unknown: the last release's record: {error.why or error.what}")
        return False
    return last is not None and last.get("digest") == work.digest


def _finish_health_snapshot(done: DeployResult, me: Holder) -> None:
    """The platform after it. Not where nothing was changed, nor after an interrupt: whoever
    interrupts wants to get away.
    """
    over = done.verdict is Verdict.SUCCEEDED or service_changed(done)
    if done.around is None or not over or done.verdict is Verdict.INTERRUPTED:
        return
    try:
        done.around.end(
            {done.work.name: record(done, me)} if done.verdict is Verdict.SUCCEEDED else None
        )
    except KeyboardInterrupt:
        ui.progress(
            f"the look at the platform was interrupted; the deploy itself is over: "
            f"{done.verdict.value}"
        )
        raise


def document_of_error(
    name: str, error: OpsError, tag: str | None, environment: str | None = None
) -> dict[str, Any]:
    """The document of a deploy that ended by `error` before it had begun: the fields of any other,
    what is not known is None.
    """
    return {
        "verdict": verdict_of(error).value,
        "service": name,
        "environment": environment,
        "tag": tag,
        "image": None,
        "digest": None,
        "deployment": None,
        "took_s": None,
        "why": _failure_text(error),
        "steps": [],
        "health": None,
        "findings": [],
        "skipped": [],
        "not_undone": [],
    }


def verdict_of(error: BaseException) -> Verdict:
    """The verdict of a release that ended by `error`, before anything was changed."""
    if isinstance(error, KeyboardInterrupt | Cancelled):
        return Verdict.INTERRUPTED
    if isinstance(error, TimedOut):
        return Verdict.TIMED_OUT
    return Verdict.REFUSED if isinstance(error, Refused) else Verdict.FAILED


def _failure_text(error: BaseException) -> str:
    return (
        f"{error.what}: {error.why}"
        if isinstance(error, OpsError)
        else str(error) or type(error).__name__
    )


def report_not_undone(done: DeployResult) -> None:
    """A failed roll-out for which the plan had no way back: said, and in the document."""
    if done.verdict in (Verdict.SUCCEEDED, Verdict.SUPERSEDED, Verdict.ROLLED_BACK):
        return
    for entry in _changes(done):
        if not entry.step.undo:
            why = "--no-rollback" if done.work.keep else "no revision has been seen healthy"
            done.journal.left.append(f"not undone: {entry.step.says}: {why}")
            ui.progress(done.journal.left[-1])
        if (not entry.step.undo or entry.status == "left") and not _lock_lost(done):
            done.left = _left_in_place(done.work, entry.step.values.get("back"))


def _left_in_place(work: DeployContext, back: str | None) -> str:
    """What runs after a change that was not undone, and what to type to look at it, go on with it
    or go back.
    """
    if work.rollback:
        return rollback_in_place(work, work.rollback)
    revision = f"{work.revision.label} ({work.facts.tag})" if work.revision else work.image
    said = f"ECS goes on with {revision}, and nobody watches it: inv {work.name}.status shows it"
    said += f", inv {work.name}.deploy --tag {work.facts.tag} watches it on"
    if back is None:
        return said
    before = work.facts.revision if isinstance(work.facts.revision, TaskDefinition) else None
    container = before.container(work.service.container) if before and before.arn == back else None
    tag = image_tag(str(container.get("image", ""))) if container else ""
    again = (
        f"inv {work.name}.deploy --tag {tag}"
        if tag
        else f"inv {work.name}.releases, then inv {work.name}.deploy --tag TAG"
    )
    return f"{said}, {again} goes back to {back.rsplit('/', 1)[-1]}"


def rollback_in_place(work: DeployContext, sent: Rollback) -> str:
    """What became of a rollback that ECS accepted, where its undo did not complete."""
    became = {
        None: "ECS goes on with it; nobody watches it",
        Verdict.TIMED_OUT: "ECS goes on with it; nobody watches it",
        Verdict.SUCCEEDED: "the service is on it",
        Verdict.SUPERSEDED: "a newer deployment took over",
    }.get(work.undone.verdict if work.undone else None, "it failed too")
    return (
        f"the rollback to {sent.to} ({sent.deployment}) was sent and {became}: "
        f"inv {work.name}.status shows it"
    )


def _lock_lost(done: DeployResult) -> bool:
    """Whether somebody else holds our lock by now: then the service is theirs, and no advice of
    ours fits.
    """
    try:
        done.journal.guard()
    except OpsError:
        return True
    return False


def _carry_out(done: DeployResult, plan: Plan) -> None:
    """Apply the plan and settle the verdict; what fails before the service was touched is raised as
    it is.
    """
    work = done.work
    work.interrupted = lambda: isinstance(done.journal.cause, KeyboardInterrupt)
    try:
        apply(plan, step_handlers(work), done.journal)
        _final_verdict(done)
    except RolloutFailed as ended:
        done.verdict, done.why = _verdict_after_undo(work, ended.verdict), ended.why
    except KeyboardInterrupt as interruption:
        done.verdict, done.why = Verdict.INTERRUPTED, str(interruption) or "interrupted"
    except OpsError as error:
        if not service_changed(done):
            raise
        work.findings.append(_incomplete_finding(work.name, error))
        verdict = Verdict.TIMED_OUT if isinstance(error, TimedOut) else Verdict.FAILED
        done.verdict, done.why, done.next = (
            _verdict_after_undo(work, verdict),
            _failure_text(error),
            error.next,
        )


def _incomplete_finding(name: str, error: OpsError) -> Finding:
    """A deploy that stopped at an error goes on where it was when it is run again; `next` may be
    prose, a fix is commands.
    """
    evidence = (
        Evidence(error.what, error.why),
        *((Evidence("next", error.next),) if error.next else ()),
    )
    return Finding(
        "not_completed",
        error.what,
        "certain",
        evidence,
        (f"inv {name}.status", f"inv {name}.deploy"),
    )


def _final_verdict(done: DeployResult) -> None:
    """Every step is done; an endpoint that was ill before and still is makes no success, and is not
    blamed on the deploy.
    """
    work = done.work
    finding = verify.still_unhealthy(work.after or (), work.facts.answers, work.name)
    if finding:
        work.findings.append(finding)
        done.verdict, done.why = Verdict.FAILED, finding.summary
    if work.unproven:
        done.verdict, done.why = Verdict.FAILED, work.unproven.summary
    stale = work.not_invalidated
    if stale:
        done.verdict, done.why = (
            Verdict.TIMED_OUT if isinstance(stale, TimedOut) else Verdict.FAILED,
            f"{stale.what}: {stale.why}",
        )


def _changes(done: DeployResult) -> list[StepRecord]:
    """The steps that have changed what runs, or may have; one that was refused has not."""
    return [
        entry
        for entry in done.journal.entries
        if entry.step.verb in _CHANGES and entry.status != "refused"
    ]


def service_changed(done: DeployResult) -> bool:
    return bool(_changes(done))


def _verdict_after_undo(work: DeployContext, verdict: Verdict) -> Verdict:
    """A failure that was taken back is a roll-back, one that somebody overtook is superseded; a
    timeout stays one, also when undone.
    """
    if verdict is Verdict.FAILED and work.overtaken:
        return Verdict.SUPERSEDED
    undone = work.undone is not None and work.undone.verdict is Verdict.SUCCEEDED
    return Verdict.ROLLED_BACK if verdict is Verdict.FAILED and undone else verdict


def build_image(platform: Platform, name: str, *, push: bool) -> DeployContext:
    """`build`, or `build` and `push`, alone; nothing that runs is changed."""
    facts = release_facts(platform, name, None, tests=False)
    plan = plan_image(facts, push=push)
    ui.progress(plan.as_text())
    work = DeployContext(platform, name, facts, 0.0, display.create_display)
    apply(plan, step_handlers(work), Journal(ui.progress))
    return work
