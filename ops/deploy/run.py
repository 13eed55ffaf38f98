"""Apply a deploy's plan to a verdict, and store the release record, however it ends."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from ops.aws.facts import TaskDefinition, image_tag
from ops.core import ui
from ops.core.apply import StepRecord, apply
from ops.core.errors import Cancelled, ConfigError, Detached, OpsError, Refused, TimedOut
from ops.core.findings import Evidence, Finding, Verdict
from ops.core.plan import Plan
from ops.core.text import format_error
from ops.deploy import verify
from ops.deploy.context import DeployContext, Rollback, RolloutFailed, running_now
from ops.deploy.handlers import step_handlers
from ops.deploy.result import DeployResult, Ending, record
from ops.deploy.rules.steps import LastHealthy, Rollout, VerifyRelease
from ops.state import records
from ops.state.rules.lock import Holder


def run(context: DeployContext, plan: Plan, me: Holder) -> DeployResult:
    """Apply the plan and store the release record, however it ends.

    Errors before a change are raised, with the deploy's document (`about`).
    """
    began = time.monotonic()
    try:
        ending = _carry_out(context, plan)
    except BaseException as error:
        ending = Ending(verdict_of(error), format_error(error))
        done = _finish(DeployResult(context, ending, time.monotonic() - began), plan, me)
        error.__dict__["about"] = done.document
        raise
    return _finish(DeployResult(context, ending, time.monotonic() - began), plan, me)


def _finish(done: DeployResult, plan: Plan, me: Holder) -> DeployResult:
    """Report what was not undone, run the health checks, and store the release record."""
    try:
        done = replace(done, left_in_place=report_not_undone(done))
        _finish_health_snapshot(done, me)
    finally:  # also if the health checks are interrupted
        did_something = any(not isinstance(step, VerifyRelease) for step in plan.steps)
        if done.verdict is not Verdict.SUCCEEDED or did_something or not _recorded(done.context):
            records.store(done.context.platform, record(done, me))
    return done


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

    Not if nothing was changed, after an interrupt, or while the rollout goes on (`--no-wait`).
    """
    health = done.context.health
    over = done.verdict is Verdict.SUCCEEDED or service_changed(done.context)
    if health is None or not over or done.verdict in (Verdict.INTERRUPTED, Verdict.STARTED):
        return
    try:
        health.end(
            {done.context.name: record(done, me)} if done.verdict is Verdict.SUCCEEDED else None
        )
    except KeyboardInterrupt:
        ui.progress(
            f"the health check after the deploy was interrupted; the deploy itself ended: "
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
        "verdict": document_verdict(error),
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
        "edge": None,
    }


def document_verdict(error: OpsError) -> str:
    """The verdict in the document of a change that did not start; "invalid" is exit code 2."""
    return "invalid" if isinstance(error, ConfigError) else verdict_of(error).value


def verdict_of(error: BaseException) -> Verdict:
    """The verdict of a deploy that ended by `error` before a change."""
    if isinstance(error, KeyboardInterrupt | Cancelled):
        return Verdict.INTERRUPTED
    if isinstance(error, TimedOut):
        return Verdict.TIMED_OUT
    return Verdict.REFUSED if isinstance(error, Refused) else Verdict.FAILED


def report_not_undone(done: DeployResult) -> str:
    """Report each change of a failed deploy that was not undone, also in the journal.

    Return what runs now, with the commands to continue; "" if nothing was left in place.
    """
    left_in_place, context = "", done.context
    if not done.exit_code or done.verdict in (Verdict.SUPERSEDED, Verdict.ROLLED_BACK):
        return left_in_place
    for entry, step in _changes(context):
        if not step.undo:
            context.journal.left.append(f"not undone: {step}: {step.why_no_undo}")
            ui.progress(context.journal.left[-1])
        if (not step.undo or entry.status == "left") and not _lock_lost(context):
            left_in_place = _left_in_place(context, step.last_healthy)
    return left_in_place


def _left_in_place(context: DeployContext, back: LastHealthy | None) -> str:
    """What runs after a change that was not undone, and the commands to continue or go back."""
    if context.kind == "restart":
        return f"nothing watches the restart any more: inv {context.name}.watch"
    if context.rollback:
        return _rollback_in_place(context, context.rollback)
    revision = (
        f"{context.revision.label} ({context.facts.tag})" if context.revision else context.image
    )
    said = f"ECS continues with {revision} unwatched: inv {context.name}.status shows it"
    said += f", inv {context.name}.deploy --tag {context.facts.tag} watches it on"
    if back is None:
        return said
    before = context.facts.revision if isinstance(context.facts.revision, TaskDefinition) else None
    container = (
        before.container(context.service.container) if before and before.arn == back.arn else None
    )
    tag = image_tag(str(container.get("image", ""))) if container else ""
    again = (
        f"inv {context.name}.deploy --tag {tag}"
        if tag
        else f"inv {context.name}.releases, then inv {context.name}.deploy --tag TAG"
    )
    return f"{said}, {again} returns to {back.label}"


def _rollback_in_place(context: DeployContext, sent: Rollback) -> str:
    """What became of a rollback that ECS accepted, where its undo did not complete."""
    became = {
        None: "ECS continues with it unwatched",
        Verdict.TIMED_OUT: "ECS continues with it unwatched",
        Verdict.SUCCEEDED: "the service is on it",
        Verdict.SUPERSEDED: "a newer deployment took over",
    }.get(context.rollback_result.verdict if context.rollback_result else None, "it failed too")
    text = (
        f"the rollback to {sent.to} ({sent.deployment}) was sent and {became}: "
        f"inv {context.name}.status shows it"
    )
    failed = context.rollback_result and context.rollback_result.verdict is Verdict.FAILED
    return f"{text}\n{running_now(context.platform, context.name)}" if failed else text


def _lock_lost(context: DeployContext) -> bool:
    """Whether another run holds our lock by now.

    Then our advice on the service does not apply.
    """
    try:
        context.journal.guard()
    except OpsError:
        return True
    return False


def _carry_out(context: DeployContext, plan: Plan) -> Ending:
    """Apply the plan; errors before a change are raised."""
    try:
        apply(plan, step_handlers(context), context.journal)
        return _final_ending(context)
    except Detached:
        return _started(context)
    except RolloutFailed as ended:
        return Ending(_verdict_after_undo(context, ended.verdict), ended.why)
    except KeyboardInterrupt as interruption:
        return Ending(Verdict.INTERRUPTED, str(interruption) or "interrupted")
    except OpsError as error:
        if not service_changed(context):
            raise
        context.findings.append(_incomplete_finding(context, error))
        verdict = Verdict.TIMED_OUT if isinstance(error, TimedOut) else Verdict.FAILED
        return Ending(_verdict_after_undo(context, verdict), format_error(error), error.next)


def _incomplete_finding(context: DeployContext, error: OpsError) -> Finding:
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
        (f"inv {context.name}.status", context.command),
    )


def _final_ending(context: DeployContext) -> Ending:
    """The verdict after the last step.

    An endpoint that was unhealthy before and still is fails the deploy, without blaming it.
    """
    if context.request.no_wait and service_changed(context):
        return _started(context)
    environment = context.platform.settings.environment
    finding = verify.still_unhealthy(
        context.answers_after or (),
        context.facts.answers,
        context.name,
        environment.site or environment.alb or "",
    )
    if finding:
        context.findings.append(finding)
    stale = context.invalidation_error
    if stale:
        verdict = Verdict.TIMED_OUT if isinstance(stale, TimedOut) else Verdict.FAILED
        return Ending(verdict, format_error(stale))
    problem = context.verification_problem or finding
    return Ending(Verdict.FAILED, problem.summary) if problem else Ending(Verdict.SUCCEEDED)


def _started(context: DeployContext) -> Ending:
    """The ending of a rollout that is no longer watched: `--no-wait`, or `q`."""
    watch = f"inv {context.name}.watch"
    if context.kind == "restart":
        return Ending(Verdict.STARTED, next=f"{watch} watches and verifies it")
    how = f"{watch}, then inv {context.name}.deploy --tag {context.facts.tag}"
    return Ending(Verdict.STARTED, next=f"{how}, which verifies it")


def _changes(context: DeployContext) -> list[tuple[StepRecord, Rollout]]:
    """The steps that changed the service, or may have; refused ones did not."""
    return [
        (entry, entry.step)
        for entry in context.journal.entries
        if isinstance(entry.step, Rollout) and entry.status != "refused"
    ]


def service_changed(context: DeployContext) -> bool:
    return bool(_changes(context))


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
