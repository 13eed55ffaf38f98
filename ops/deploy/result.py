"""The result of a deploy as text and JSON, and its release record."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ops.aws.facts import Image, TaskDefinition, image_tag
from ops.core import findings
from ops.core.errors import Refused
from ops.core.findings import Verdict
from ops.core.text import format_duration, short_digest, short_ids
from ops.deploy.context import DeployContext
from ops.ecs.display import first_reason
from ops.ecs.rules.task_definition_diff import task_definition_diff
from ops.health.model import Change, Sweep
from ops.preflight.facts import ReleaseFacts, SchemaRevision
from ops.state.model import ReleaseRecord
from ops.state.rules.lock import Holder
from ops.tools.facts import Checkout

_FAILED = (Verdict.FAILED, Verdict.ROLLED_BACK, Verdict.TIMED_OUT)
# findings that do not decide the verdict
_MINOR = ("latest_not_moved", "task_definition_ignored", "terraform_state_differs")
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
        """The next commands that the text prints."""
        return "; ".join([*self._next_lines(), *self._diagnosis()])

    def _next_lines(self) -> list[str]:
        """The error's commands, and those for a change left in place."""
        return [text for text in (self.ending.next, *self.left_in_place.split("\n")) if text]

    def _diagnosis(self) -> list[str]:
        """The commands that find the cause of a failure."""
        return [*self._logs(), _DIAGNOSE] if self.verdict in _FAILED else []

    @property
    def text(self) -> str:
        """The summary printed at the end: what happened, what changed, why, and what to type."""
        context = self.context
        verdict, took = self.verdict.value.replace("_", " "), format_duration(self.took_s)
        lines = [f"{verdict}  {context.name} {context.facts.tag} in {took}{self._serving()}"]
        lines += [f"  changed  {text}" for text in self._changes()]
        lines += [f"  cause    {text}" for text in self._causes()]
        lines += [f"  next     {text}" for text in self._next_lines()]
        if diagnosis := self._diagnosis():
            lines.append(f"  next     {' · '.join(diagnosis)}")
        if context.scaled_to_zero:
            lines.append(f"  not checked: {context.scaled_to_zero.summary}")
        lines.extend(context.health.lines(_made_by(context)) if context.health else ())
        return short_ids("\n".join(lines))

    def _serving(self) -> str:
        """What serves after a rollback that succeeded."""
        sent, result = self.context.rollback, self.context.rollback_result
        if sent is None or result is None or result.verdict is not Verdict.SUCCEEDED:
            return ""
        return f" · {sent.to} serves again, as deployment {sent.deployment}"

    def _changes(self) -> list[str]:
        """The image and the revision before and after, in one line."""
        before, after = self.context.facts.revision, self.context.revision
        if self.verdict is not Verdict.SUCCEEDED or not isinstance(before, TaskDefinition):
            return []
        if after is None or after.arn == before.arn:
            return []
        images = [_image_of(each, self.context.service.container) for each in (before, after)]
        image = [f"image {images[0]} → {images[1]}"] if images[0] != images[1] else []
        same = before.family == after.family
        to = f":{after.label.rpartition(':')[2]}" if same else after.label
        return [" · ".join([*image, f"revision {before.label} → {to}"])]

    def _causes(self) -> list[str]:
        """The first finding of a failure, as the last lines repeat it; else the reason."""
        why = self.ending.why
        found = next((each for each in self.context.findings if each.cause not in _MINOR), None)
        if self.verdict not in _FAILED or found is None or found.cause == "not_completed":
            return [why] if why else []
        reason = f"{found.cause}: {first_reason(found)}"
        known = why in reason or found.summary in why or bool(_codes(reason) & _codes(why))
        return [reason] if known else [reason, why]

    def _logs(self) -> list[str]:
        """The command that prints the log of the first task that failed."""
        fixes = [command for each in self.context.findings for command in each.fix]
        return [each for each in fixes if f"{self.context.name}.logs " in each][:1]

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


def _codes(text: str) -> set[str]:
    """The codes of stop reasons in a text, such as ECS-ESSENTIAL."""
    return set(re.findall(r"\b[A-Z]+(?:-[A-Z]+)+\b", text))


def _image_of(revision: TaskDefinition, container: str) -> str:
    """The tag or digest of a container's image."""
    found = revision.container(container)
    image = str(found.get("image", "")) if found else ""
    return image_tag(image) or short_digest(image.partition("@")[2])


def _made_by(context: DeployContext) -> Callable[[Change], bool]:
    """Whether a change of health is this release itself: the service's image and revision."""
    return lambda change: (
        change.key is not None
        and change.key.subject == context.name
        and change.key.kind in ("image", "revision")
    )


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
    watched = done.context.watch_result
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
        "rollout_s": watched.took_s if watched else None,
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
