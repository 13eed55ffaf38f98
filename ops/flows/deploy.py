"""`inv SERVICE.deploy`: gather, refuse or plan, apply, look again (runbook 2, steps 1 to 8).

The story of one deploy: the preflight refuses what could not go well; the plan holds only what the world lacks; applying it ends in a
verdict; a verdict other than "succeeded" takes the service back to the last revision that was seen healthy, unless ECS did so already, a
newer deployment took over, or the operator wants it kept.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ops import ui
from ops.apply import Journal, apply
from ops.errors import OpsError
from ops.facts import ReleaseFacts
from ops.flows import preflight, prove, watch
from ops.flows.gather import Platform, release_facts
from ops.flows.steps import RolloutEnded, Work, doers
from ops.model import Finding, Item, Verdict
from ops.plan import Plan
from ops.rules import health
from ops.rules.preflight import check
from ops.rules.release import plan_image, plan_release


@dataclass(frozen=True)
class Request:
    """What was asked of a release. `keep`: leave a failed roll-out as it is (`--no-rollback`)."""

    tag: str | None = None
    skip: frozenset[str] = frozenset()
    keep: bool = False
    follow: bool = False
    yes: bool = False
    timeout_s: float | None = None


@dataclass
class Release:
    """How a release went."""

    work: Work
    journal: Journal
    items: tuple[Item, ...]
    verdict: Verdict = Verdict.SUCCEEDED
    why: str = ""
    took_s: float = 0.0
    findings: list[Finding] = field(default_factory=list)

    def as_text(self) -> str:
        """What a person reads at the end."""
        work = self.work
        deployment = f" ({work.deployment})" if work.deployment else ""
        lines = [f"{self.verdict.value.replace('_', ' ')}: {work.name} {work.facts.tag}{deployment} in {ui.took(self.took_s)}"]
        if self.why:
            lines.append(f"  why: {self.why}")
        for change in health.changes(work.facts.answers, work.after or ()):
            lines.append(f"  {change.name}: {change.before} → {change.after}")
        if work.digest and self.verdict is Verdict.SUCCEEDED:
            lines.append(f"  every running task has {work.digest}")
        return "\n".join(lines)

    def as_document(self) -> dict[str, Any]:
        """The shape that `deploy --json` prints (design: "What --json prints is a contract")."""
        work, facts = self.work, self.work.facts
        return {
            "verdict": self.verdict.value,
            "service": work.name,
            "environment": facts.environment,
            "tag": facts.tag,
            "image": work.image,
            "digest": work.digest,
            "deployment": work.deployment,
            "took_s": round(self.took_s, 3),
            "why": self.why,
            "steps": [entry.as_document() for entry in self.journal.entries],
            "health": {
                "before": health.as_document(facts.answers),
                "after": health.as_document(work.after if work.after is not None else ()),
                "changes": [vars(change) for change in health.changes(facts.answers, work.after or ())],
            },
            "findings": [finding_document(finding) for finding in self.findings],
            "skipped": [item.name for item in self.items if item.status == "skipped"],
            "not_undone": list(self.journal.left),
        }


def finding_document(finding: Finding) -> dict[str, Any]:
    return {
        "cause": finding.cause,
        "summary": finding.summary,
        "confidence": finding.confidence,
        "evidence": [{"source": evidence.source, "text": evidence.text} for evidence in finding.evidence],
        "fix": list(finding.fix),
    }


def look(platform: Platform, name: str, request: Request, *, keep: bool | None = None) -> tuple[ReleaseFacts, tuple[Item, ...], Plan]:
    """The facts, the checklist and the plan. Raises Refused where a check says no, ConfigError for a hostile tag or unknown check."""
    facts = release_facts(platform, name, request.tag, skip=request.skip)
    items = check(facts, platform.settings.environment, request.skip)
    ui.say(preflight.as_text(items))
    preflight.refuse_if_blocked(items)
    return facts, items, plan_release(facts, platform.settings.service(name), rollback=not request.keep)


def release(platform: Platform, name: str, request: Request, screen: Callable[[], watch.Screen]) -> Release:
    """Deploy, prove, or undo. The verdict is in the answer; what stops a release before anything has changed is raised."""
    facts, items, plan = look(platform, name, request)
    environment = platform.settings.environment
    ui.say(plan.as_text())
    if environment.protected:
        ui.confirm(f"deploy {name} {facts.tag} to {platform.settings.name}", yes=request.yes, typed=platform.settings.name)
    work = Work(platform, name, facts, request.timeout_s or environment.deploy_timeout, screen, request.follow, asks=not request.yes)
    done = Release(work, Journal(ui.say), items)
    began = time.monotonic()
    try:
        carry_out(done, plan)
    finally:
        done.took_s = time.monotonic() - began
    done.findings = work.findings
    if done.verdict is not Verdict.SUCCEEDED:
        for contact in environment.contacts:
            ui.say(f"contact: {contact}")
    return done


def carry_out(done: Release, plan: Plan) -> None:
    """Apply the plan and settle the verdict; what fails before the service was touched is raised as it is."""
    work = done.work
    try:
        apply(plan, doers(work), done.journal)
        settle(done)
    except RolloutEnded as ended:
        done.verdict, done.why = after_undo(work, ended.verdict), ended.why
    except KeyboardInterrupt as interruption:
        done.verdict, done.why = Verdict.INTERRUPTED, str(interruption) or "interrupted"
    except OpsError as error:
        if not touched(done):
            raise
        work.findings.append(Finding("not_proven", error.what, "certain", fix=(error.next,) if error.next else ()))
        done.verdict, done.why = after_undo(work, Verdict.FAILED), f"{error.what}: {error.why}"


def settle(done: Release) -> None:
    """Every step is done; an endpoint that was ill before and still is makes no success, and is not blamed on the deploy."""
    work = done.work
    finding = prove.still_unhealthy(work.after or (), work.facts.answers, work.name)
    if finding:
        work.findings.append(finding)
        done.verdict, done.why = Verdict.FAILED, finding.summary


def touched(done: Release) -> bool:
    return any(entry.step.verb == "update" for entry in done.journal.entries)


def after_undo(work: Work, verdict: Verdict) -> Verdict:
    """A failure that was taken back is a roll-back; a timeout stays one, also when undone."""
    undone = work.undone is not None and work.undone.verdict is Verdict.SUCCEEDED
    return Verdict.ROLLED_BACK if verdict is Verdict.FAILED and undone else verdict


def make_image(platform: Platform, name: str, request: Request, *, push: bool) -> Work:
    """`build`, or `build` and `push`, alone; nothing that runs is changed."""
    facts = release_facts(platform, name, None, skip=request.skip | {"tests"}, tests=False)
    plan = plan_image(facts, push=push)
    ui.say(plan.as_text())
    work = Work(platform, name, facts, 0.0, lambda: watch.Screen)  # type: ignore[arg-type,return-value]  # no step here watches
    apply(plan, doers(work), Journal(ui.say))
    return work
