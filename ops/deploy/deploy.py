"""`inv SERVICE.deploy`: read facts, check, plan, apply, verify (runbook 2, steps 1 to 8).

The preflight checks refuse a deploy that cannot succeed. The plan holds only the steps that are
still needed, and applying it ends in a verdict. Any verdict but "succeeded" rolls the service back
to the last healthy revision, unless ECS already did so, a newer deployment superseded ours, or the
operator asked to keep it.
"""

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
from ops.core.plan import PlainStep, Plan, Step
from ops.core.text import format_error
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
from ops.preflight.read_facts import release_facts
from ops.preflight.rules.checks import check
from ops.state import lock, records
from ops.state.rules.lock import Holder
from ops.tools.facts import Checkout

_CHANGES = ("update", "tf-apply")  # the steps that change what runs


def plan_deploy(
    platform: Platform, name: str, request: DeployRequest
) -> tuple[ReleaseFacts, tuple[Item, ...], Plan]:
    """Read the facts, run the checks and make the plan.

    Raises Refused if a check fails, ConfigError for an invalid tag or an unknown check.
    """
    facts = release_facts(platform, name, request.tag, skip=request.skip)
    with refusing(facts):
        items = check(facts, platform.settings.environment, request.skip)
        ui.progress(report.as_text(items))
        report.refuse_if_blocked(items)
        schema_compat.report_schema_age(platform, facts)
        return facts, items, _planned(platform, facts, request)


def _planned(platform: Platform, facts: ReleaseFacts, request: DeployRequest) -> Plan:
    """The steps for the environment's rollout, by ECS or by Terraform."""
    service = platform.settings.service(facts.service)
    plan = plan_release(facts, service, rollback=not request.no_rollback)
    return (
        by_terraform(plan, service)
        if platform.settings.environment.rollout == "terraform"
        else plan
    )


def release(
    platform: Platform, name: str, request: DeployRequest, make_display: Callable[[], watch.Display]
) -> DeployResult:
    """Deploy, verify, and roll back on failure; the verdict is in the result.

    Errors before the service was changed are raised.
    """
    environment = platform.settings.environment
    if request.allow_destroy and environment.rollout != "terraform":
        why = f"{platform.settings.name} has rollout: {environment.rollout}, which destroys nothing"
        raise ConfigError("--allow-destroy", why, f"leave it out: inv {name}.deploy")
    question = f"deploy {name} to {platform.settings.name}"
    if environment.protected and not request.yes:
        ui.refuse_unanswerable(question)  # before the preflight, which would be in vain
    health = _start_health_snapshot(platform, name)
    facts, items, shown = plan_deploy(platform, name, request)
    ui.progress(shown.text)
    commit = facts.checkout.commit if isinstance(facts.checkout, Checkout) else None
    me = lock.myself(f"deploy {facts.tag}", commit.short if commit else "")
    location = lock.LockLocation.of(platform.cloud, platform.settings, name)
    with refusing(facts):
        if environment.protected:
            ui.confirm(
                f"deploy {name} {facts.tag} to {platform.settings.name}",
                yes=request.yes,
                typed=platform.settings.name,
            )
        with lock.hold(location, me, wait_s=request.wait_s) as ours:
            facts, plan = _replan_under_lock(platform, name, request, facts, shown)
            if plan != shown or (
                ours and ours.had_to_wait
            ):  # another deploy may have changed the health meanwhile
                health = _start_health_snapshot(platform, name)
            limit = request.timeout_s or environment.deploy_timeout
            interactive, bounds = not request.yes, (request.wait_s, request.timeout_s)
            context = DeployContext(
                platform,
                name,
                facts,
                limit,
                make_display,
                request.follow,
                interactive,
                request.no_rollback,
                *bounds,
            )
            context.allow_destroy = request.allow_destroy
            done = DeployResult(context, Journal(ui.progress), items, health=health)
            if ours:
                done.journal.guard = context.guard = replan_guard(done, ours)
            health.ready()
            run(done, plan, me)
    if done.verdict is not Verdict.SUCCEEDED:
        for contact in environment.contacts:
            ui.progress(f"contact: {contact}")
    return done


def _start_health_snapshot(platform: Platform, name: str) -> BeforeAfter:
    return BeforeAfter.begin(platform.settings, lambda: platform, f"deploy of {name}")


def replan_guard(done: DeployResult, ours: lock.HeldLock) -> Callable[[], None]:
    """The guard for each step: the lock must be ours.

    Before the first change that must be certain; later only a lock known to be lost stops a
    deploy or its undo.
    """
    return lambda: ours.check(strict=not service_changed(done))


def _replan_under_lock(
    platform: Platform, name: str, request: DeployRequest, facts: ReleaseFacts, plan: Plan
) -> tuple[ReleaseFacts, Plan]:
    """Plan again under the lock, since things may have changed before it was taken.

    In a protected environment a changed plan is refused unless `--yes` was given.
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
    ui.progress(then.text)
    return now, then


def run(done: DeployResult, plan: Plan, me: Holder) -> None:
    """Apply the plan and store the release record, however it ends."""
    began, done.findings = time.monotonic(), done.context.findings
    try:
        _carry_out(done, plan)
    except BaseException as error:
        done.verdict, done.why = verdict_of(error), format_error(error)
        done.took_s = time.monotonic() - began
        error.__dict__["about"] = done.as_document()
        raise
    finally:
        done.took_s = time.monotonic() - began
        try:
            report_not_undone(done)
            _finish_health_snapshot(done, me)
        finally:  # also if the health checks are interrupted
            did_something = any(step.verb != "prove" for step in plan.steps)
            if (
                done.verdict is not Verdict.SUCCEEDED
                or did_something
                or not _recorded(done.context)
            ):
                records.store(done.context.platform, record(done, me))


def _recorded(context: DeployContext) -> bool:
    """Whether the last successful release is what runs.

    It is not if ECS finished a rollout whose deploy was killed.

    Unreadable records count as no: a second record of what runs does no harm.
    """
    if context.platform.settings.environment.state is None:
        return True
    try:
        last = records.last_success(context.platform, context.name)
    except OpsError as error:
        ui.progress(f"unknown: the last release's record: {error.why or error.what}")
        return False
    return last is not None and last.digest == context.digest


def _finish_health_snapshot(done: DeployResult, me: Holder) -> None:
    """Run the health checks after the deploy.

    Not if nothing was changed, nor after an interrupt.
    """
    over = done.verdict is Verdict.SUCCEEDED or service_changed(done)
    if done.health is None or not over or done.verdict is Verdict.INTERRUPTED:
        return
    try:
        done.health.end(
            {done.context.name: record(done, me)} if done.verdict is Verdict.SUCCEEDED else None
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
    """The `--json` document of a deploy that ended by `error` before it started.

    It has the fields of any other; unknown ones are None.
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
        "why": format_error(error),
        "steps": [],
        "health": None,
        "findings": [],
        "skipped": [],
        "not_undone": [],
    }


def verdict_of(error: BaseException) -> Verdict:
    """The verdict of a deploy that ended by `error` before a change."""
    if isinstance(error, KeyboardInterrupt | Cancelled):
        return Verdict.INTERRUPTED
    if isinstance(error, TimedOut):
        return Verdict.TIMED_OUT
    return Verdict.REFUSED if isinstance(error, Refused) else Verdict.FAILED


def report_not_undone(done: DeployResult) -> None:
    """Report each change of a failed deploy that was not undone, also in the document."""
    if done.verdict in (Verdict.SUCCEEDED, Verdict.SUPERSEDED, Verdict.ROLLED_BACK):
        return
    for entry in _changes(done):
        if not entry.step.undo:
            why = (
                "--no-rollback" if done.context.no_rollback else "no revision has been seen healthy"
            )
            done.journal.left.append(f"not undone: {entry.step}: {why}")
            ui.progress(done.journal.left[-1])
        if (not entry.step.undo or entry.status == "left") and not _lock_lost(done):
            done.left_in_place = _left_in_place(done.context, _rollback_target(entry.step))


def _rollback_target(step: Step) -> str | None:
    return step.values.get("back") if isinstance(step, PlainStep) else None


def _left_in_place(context: DeployContext, back: str | None) -> str:
    """What runs after a change that was not undone, and the commands to continue or go back."""
    if context.rollback:
        return _rollback_in_place(context, context.rollback)
    revision = (
        f"{context.revision.label} ({context.facts.tag})" if context.revision else context.image
    )
    said = f"ECS goes on with {revision}, and nobody watches it: inv {context.name}.status shows it"
    said += f", inv {context.name}.deploy --tag {context.facts.tag} watches it on"
    if back is None:
        return said
    before = context.facts.revision if isinstance(context.facts.revision, TaskDefinition) else None
    container = (
        before.container(context.service.container) if before and before.arn == back else None
    )
    tag = image_tag(str(container.get("image", ""))) if container else ""
    again = (
        f"inv {context.name}.deploy --tag {tag}"
        if tag
        else f"inv {context.name}.releases, then inv {context.name}.deploy --tag TAG"
    )
    return f"{said}, {again} goes back to {back.rsplit('/', 1)[-1]}"


def _rollback_in_place(context: DeployContext, sent: Rollback) -> str:
    """What became of a rollback that ECS accepted, where its undo did not complete."""
    became = {
        None: "ECS goes on with it; nobody watches it",
        Verdict.TIMED_OUT: "ECS goes on with it; nobody watches it",
        Verdict.SUCCEEDED: "the service is on it",
        Verdict.SUPERSEDED: "a newer deployment took over",
    }.get(context.rollback_result.verdict if context.rollback_result else None, "it failed too")
    return (
        f"the rollback to {sent.to} ({sent.deployment}) was sent and {became}: "
        f"inv {context.name}.status shows it"
    )


def _lock_lost(done: DeployResult) -> bool:
    """Whether another run holds our lock by now.

    Then our advice on the service does not apply.
    """
    try:
        done.journal.guard()
    except OpsError:
        return True
    return False


def _carry_out(done: DeployResult, plan: Plan) -> None:
    """Apply the plan and set the verdict; errors before a change are raised."""
    context = done.context
    context.interrupted = lambda: isinstance(done.journal.cause, KeyboardInterrupt)
    try:
        apply(plan, step_handlers(context), done.journal)
        _final_verdict(done)
    except RolloutFailed as ended:
        done.verdict, done.why = _verdict_after_undo(context, ended.verdict), ended.why
    except KeyboardInterrupt as interruption:
        done.verdict, done.why = Verdict.INTERRUPTED, str(interruption) or "interrupted"
    except OpsError as error:
        if not service_changed(done):
            raise
        context.findings.append(_incomplete_finding(context.name, error))
        verdict = Verdict.TIMED_OUT if isinstance(error, TimedOut) else Verdict.FAILED
        done.verdict, done.why, done.next = (
            _verdict_after_undo(context, verdict),
            format_error(error),
            error.next,
        )


def _incomplete_finding(name: str, error: OpsError) -> Finding:
    """The finding for a deploy that stopped at an error; running it again continues.

    `next` may be prose, a fix is commands.
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
    """Set the verdict after the last step.

    An endpoint that was unhealthy before and still is fails the deploy, without blaming it.
    """
    context = done.context
    finding = verify.still_unhealthy(
        context.answers_after or (), context.facts.answers, context.name
    )
    if finding:
        context.findings.append(finding)
        done.verdict, done.why = Verdict.FAILED, finding.summary
    if context.verification_problem:
        done.verdict, done.why = Verdict.FAILED, context.verification_problem.summary
    stale = context.invalidation_error
    if stale:
        done.verdict, done.why = (
            Verdict.TIMED_OUT if isinstance(stale, TimedOut) else Verdict.FAILED,
            format_error(stale),
        )


def _changes(done: DeployResult) -> list[StepRecord]:
    """The steps that changed the service, or may have; refused ones did not."""
    return [
        entry
        for entry in done.journal.entries
        if entry.step.verb in _CHANGES and entry.status != "refused"
    ]


def service_changed(done: DeployResult) -> bool:
    return bool(_changes(done))


def _verdict_after_undo(context: DeployContext, verdict: Verdict) -> Verdict:
    """The verdict after the undo.

    A failure that was undone is a rollback, one whose deployment was superseded is superseded;
    a timeout stays one.
    """
    if verdict is Verdict.FAILED and context.superseded_by:
        return Verdict.SUPERSEDED
    undone = (
        context.rollback_result is not None and context.rollback_result.verdict is Verdict.SUCCEEDED
    )
    return Verdict.ROLLED_BACK if verdict is Verdict.FAILED and undone else verdict


def build_image(platform: Platform, name: str, *, push: bool) -> DeployContext:
    """Run `build`, or `build` and `push`, alone; the service is not changed."""
    facts = release_facts(platform, name, None, tests=False)
    plan = plan_image(facts, push=push)
    ui.progress(plan.text)
    context = DeployContext(platform, name, facts, 0.0, display.create_display)
    apply(plan, step_handlers(context), Journal(ui.progress))
    return context
