"""The result of a deploy as text and JSON, and its release record."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ops.aws.facts import Image, TaskDefinition
from ops.core import findings
from ops.core.errors import Refused
from ops.core.findings import Verdict
from ops.core.text import format_duration
from ops.deploy.context import DeployContext
from ops.ecs.rules.task_definition_diff import task_definition_diff
from ops.health.model import Sweep
from ops.preflight.facts import ReleaseFacts, SchemaRevision
from ops.state.model import ReleaseRecord
from ops.state.rules.lock import Holder
from ops.tools.facts import Checkout

_FAILED = (Verdict.FAILED, Verdict.ROLLED_BACK, Verdict.TIMED_OUT)
_DIAGNOSE = "inv troubleshoot.all"


@dataclass(frozen=True)
class Ending:
    """How the plan ended; `next` is the error's own advice."""

    verdict: Verdict
    why: str = ""
    next: str = ""


@dataclass(frozen=True)
class DeployResult:
    """The result of a deploy.

    `left_in_place`: what runs if a change was not undone, and the commands to continue, in lines.
    """

    context: DeployContext
    ending: Ending
    took_s: float
    left_in_place: str = ""

    @property
    def verdict(self) -> Verdict:
        return self.ending.verdict

    @property
    def exit_code(self) -> int:
        return self.verdict.exit_code

    @property
    def next(self) -> str:
        """The next commands: the error's, and those for a change left in place."""
        return "; ".join(self._next_lines())

    def _next_lines(self) -> list[str]:
        return [text for text in (self.ending.next, *self.left_in_place.split("\n")) if text]

    @property
    def text(self) -> str:
        """The summary printed at the end."""
        context = self.context
        deployment = f" ({context.deployment})" if context.deployment else ""
        lines = [
            f"{self.verdict.value.replace('_', ' ')}: {context.name} "
            f"{context.facts.tag}{deployment} in {format_duration(self.took_s)}"
        ]
        if self.ending.why:
            lines.append(f"  why: {self.ending.why}")
        lines.extend(f" next: {text}" for text in self._next_lines())
        if self.verdict in _FAILED:
            lines.append(f" next: {_DIAGNOSE}")
        lines.extend(context.health.lines() if context.health else ())
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
            lines.append(f"  {healthy} of {len(context.answers_after)} endpoints healthy")
        if context.edge_proofs:
            fresh = sum(proof.state == "fresh" for proof in context.edge_proofs.values())
            lines.append(
                f"  {fresh} of {len(context.edge_proofs)} pages without a version are fresh at the "
                f"CDN"
            )
        return "\n".join(lines)

    @property
    def document(self) -> dict[str, Any]:
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
            "why": self.ending.why,
            "next": self.next,
            "steps": [entry.as_document() for entry in context.journal.entries],
            "health": context.health.as_document() if context.health else None,
            "findings": [findings.as_document(finding) for finding in context.findings],
            "skipped": [item.name for item in context.preflight if item.status == "skipped"],
            "not_undone": list(context.journal.left),
            "edge": None
            if context.edge_proofs is None
            else [
                {"path": path, **proof.as_document()} for path, proof in context.edge_proofs.items()
            ],
            "task_definition_changes": _task_definition_changes(context),
        }


def _task_definition_changes(context: DeployContext) -> list[dict[str, str | None]] | None:
    """What this release changed in the task definition; None if it changed nothing, or unknown."""
    before, after = context.facts.revision, context.revision
    if not isinstance(before, TaskDefinition) or after is None:
        return None
    return [each.as_document() for each in task_definition_diff(before.document, after.document)]


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
    document, facts, health = done.document, done.context.facts, done.context.health
    commit = facts.checkout.commit if isinstance(facts.checkout, Checkout) else None
    earlier = done.context.earlier or ReleaseRecord()
    built_from = facts.image.revision if isinstance(facts.image, Image) else None
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
        "task_definition_changes",
    )
    return {
        **{key: document[key] for key in kept},
        "kind": done.context.kind,
        "at": me.at,
        "by": me.owner,
        "host": me.host,
        "commit": commit.full if commit else earlier.commit or built_from or "",
        "subject": commit.subject if commit else earlier.subject or "",
        "schema_revision": facts.schema.revision
        if isinstance(facts.schema, SchemaRevision)
        else None,
        "terraform_inputs": None
        if done.context.terraform_inputs is None
        else dict(done.context.terraform_inputs),
        "task_definition": revision.label if isinstance(revision, TaskDefinition) else "",
        "health": document["health"]["after"]
        if health and isinstance(health.after, Sweep)
        else None,
    }
