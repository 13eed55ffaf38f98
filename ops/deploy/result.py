"""One release as it was asked for, as it went, and as it is told: to a person, with `--json`, and
in its record.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from ops.aws.facts import TaskDefinition
from ops.core import findings, ui
from ops.core.apply import Journal
from ops.core.errors import Refused
from ops.core.findings import Finding, Verdict
from ops.deploy.context import DeployContext
from ops.health.before_after import BeforeAfter
from ops.health.model import Sweep
from ops.preflight.facts import ReleaseFacts, SchemaRevision
from ops.preflight.model import Item
from ops.state.rules.lock import Holder
from ops.tools.facts import Checkout


@dataclass(frozen=True)
class DeployRequest:
    """What was asked of a release. `keep`: leave a failed roll-out as it is (`--no-rollback`).

    `allow_destroy`: addresses that a Terraform rollout may destroy or replace.
    """

    tag: str | None = None
    skip: frozenset[str] = frozenset()
    keep: bool = False
    follow: bool = False
    yes: bool = False
    timeout_s: float | None = None
    wait_s: float = 0.0
    allow_destroy: frozenset[str] = frozenset()


@dataclass
class DeployResult:
    """How a release went."""

    work: DeployContext
    journal: Journal
    items: tuple[Item, ...]
    verdict: Verdict = Verdict.SUCCEEDED
    why: str = ""
    next: str = ""
    left: str = (
        ""  # what runs where a change was not undone, and the commands that go on from there
    )
    took_s: float = 0.0
    findings: list[Finding] = field(default_factory=list)
    around: BeforeAfter | None = None

    def as_text(self) -> str:
        """What a person reads at the end."""
        work = self.work
        deployment = f" ({work.deployment})" if work.deployment else ""
        lines = [
            f"{self.verdict.value.replace('_', ' ')}: {work.name} "
            f"{work.facts.tag}{deployment} in {ui.took(self.took_s)}"
        ]
        if self.why:
            lines.append(f"  why: {self.why}")
        lines.extend(f" next: {text}" for text in (self.next, self.left) if text)
        lines.extend(self.around.lines() if self.around else ())
        if work.undone and work.undone.verdict is Verdict.SUCCEEDED:
            lines.append(
                f"  the service is back on what ran before (deployment {work.undone.deployment})"
            )
        if work.scaled_away:
            lines.append(f"  not checked: {work.scaled_away.summary}")
        elif work.digest and self.verdict is Verdict.SUCCEEDED:
            lines.append(f"  every running task has {work.digest}")
        if work.after:
            lines.append(
                f"  {sum(answer.healthy for answer in work.after)} of {len(work.after)} "
                f"endpoints answer as they should"
            )
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
            "next": "; ".join(text for text in (self.next, self.left) if text),
            "steps": [entry.as_document() for entry in self.journal.entries],
            "health": self.around.as_document() if self.around else None,
            "findings": [findings.as_document(finding) for finding in self.findings],
            "skipped": [item.name for item in self.items if item.status == "skipped"],
            "not_undone": list(self.journal.left),
        }


@contextmanager
def refusing(facts: ReleaseFacts) -> Iterator[None]:
    """A refusal meanwhile says with `--json` what was to be deployed, and is a verdict like any
    other.
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
    """What the team remembers of this release (`inv SERVICE.releases`)."""
    document, facts = done.as_document(), done.work.facts
    commit = facts.checkout.commit if isinstance(facts.checkout, Checkout) else None
    revision = done.work.revision or facts.revision
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
        if done.work.terraform_inputs is None
        else dict(done.work.terraform_inputs),
        "task_definition": revision.label if isinstance(revision, TaskDefinition) else "",
        "health": document["health"]["after"]
        if done.around and isinstance(done.around.after, Sweep)
        else None,
    }
