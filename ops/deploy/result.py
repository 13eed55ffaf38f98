"""The request for a deploy, its result as text and JSON, and its release record."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from ops.aws.facts import TaskDefinition
from ops.core import findings
from ops.core.apply import Journal
from ops.core.errors import Refused
from ops.core.findings import Finding, Verdict
from ops.core.text import format_duration
from ops.deploy.context import DeployContext
from ops.health.before_after import BeforeAfter
from ops.health.model import Sweep
from ops.preflight.facts import ReleaseFacts, SchemaRevision
from ops.preflight.model import Item
from ops.state.rules.lock import Holder
from ops.tools.facts import Checkout


@dataclass(frozen=True)
class DeployRequest:
    """The options of a deploy.

    `no_rollback`: leave a failed rollout in place (`--no-rollback`).

    `allow_destroy`: addresses that a Terraform rollout may destroy or replace.
    """

    tag: str | None = None
    skip: frozenset[str] = frozenset()
    no_rollback: bool = False
    follow: bool = False
    yes: bool = False
    timeout_s: float | None = None
    wait_s: float = 0.0
    allow_destroy: frozenset[str] = frozenset()


@dataclass
class DeployResult:
    """The result of a deploy."""

    context: DeployContext
    journal: Journal
    preflight: tuple[Item, ...]
    verdict: Verdict = Verdict.SUCCEEDED
    why: str = ""
    next: str = ""
    left_in_place: str = ""  # what runs if a change was not undone, and the commands to continue
    took_s: float = 0.0
    findings: list[Finding] = field(default_factory=list)
    health: BeforeAfter | None = None

    def as_text(self) -> str:
        """The summary printed at the end."""
        context = self.context
        deployment = f" ({context.deployment})" if context.deployment else ""
        lines = [
            f"{self.verdict.value.replace('_', ' ')}: {context.name} "
            f"{context.facts.tag}{deployment} in {format_duration(self.took_s)}"
        ]
        if self.why:
            lines.append(f"  why: {self.why}")
        lines.extend(f" next: {text}" for text in (self.next, self.left_in_place) if text)
        lines.extend(self.health.lines() if self.health else ())
        if context.rollback_result and context.rollback_result.verdict is Verdict.SUCCEEDED:
            lines.append(
                f"  the service is back on what ran before "
                f"(deployment {context.rollback_result.deployment})"
            )
        if context.scaled_to_zero:
            lines.append(f"  not checked: {context.scaled_to_zero.summary}")
        elif context.digest and self.verdict is Verdict.SUCCEEDED:
            lines.append(f"  every running task has {context.digest}")
        if context.answers_after:
            healthy = sum(answer.healthy for answer in context.answers_after)
            lines.append(
                f"  {healthy} of {len(context.answers_after)} endpoints answer as they should"
            )
        return "\n".join(lines)

    def as_document(self) -> dict[str, Any]:
        """The document of `deploy --json` (design: "What --json prints is a contract")."""
        context, facts = self.context, self.context.facts
        return {
            "verdict": self.verdict.value,
            "service": context.name,
            "environment": facts.environment,
            "tag": facts.tag,
            "image": context.image,
            "digest": context.digest,
            "deployment": context.deployment,
            "took_s": round(self.took_s, 3),
            "why": self.why,
            "next": "; ".join(text for text in (self.next, self.left_in_place) if text),
            "steps": [entry.as_document() for entry in self.journal.entries],
            "health": self.health.as_document() if self.health else None,
            "findings": [findings.as_document(finding) for finding in self.findings],
            "skipped": [item.name for item in self.preflight if item.status == "skipped"],
            "not_undone": list(self.journal.left),
        }


@contextmanager
def refusing(facts: ReleaseFacts) -> Iterator[None]:
    """Add the verdict, service, environment and tag to a Refused raised inside.

    `--json` prints them.
    """
    try:
        yield
    except Refused as refusal:
        about = {
            "verdict": Verdict.REFUSED.value,
            "service": facts.service,
            "environment": facts.environment,
            "tag": facts.tag,
        }
        refusal.about = refusal.about or about
        raise


def record(done: DeployResult, me: Holder) -> dict[str, Any]:
    """The release record of this deploy (`inv SERVICE.releases`)."""
    document, facts = done.as_document(), done.context.facts
    commit = facts.checkout.commit if isinstance(facts.checkout, Checkout) else None
    revision = done.context.revision or facts.revision
    kept = (
        "verdict",
        "why",
        "service",
        "environment",
        "tag",
        "image",
        "digest",
        "deployment",
        "took_s",
        "findings",
        "skipped",
    )
    return {
        **{key: document[key] for key in kept},
        "at": me.at,
        "by": me.owner,
        "host": me.host,
        "commit": commit.full if commit else "",
        "subject": commit.subject if commit else "",
        "schema_revision": facts.schema.revision
        if isinstance(facts.schema, SchemaRevision)
        else None,
        "terraform_inputs": None
        if done.context.terraform_inputs is None
        else dict(done.context.terraform_inputs),
        "task_definition": revision.label if isinstance(revision, TaskDefinition) else "",
        "health": document["health"]["after"]
        if done.health and isinstance(done.health.after, Sweep)
        else None,
    }
