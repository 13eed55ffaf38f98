"""`inv SERVICE.releases --diff A B`: what lies between two releases."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ops.aws import ecr, ecs
from ops.core import ui
from ops.core.errors import ConfigError
from ops.core.findings import Unknown
from ops.core.parallel import Reads
from ops.core.text import short_digest
from ops.deploy.rules.rollback_target import find_release
from ops.ecs.rules.task_definition_diff import Difference, task_definition_diff
from ops.platform import Platform
from ops.preflight.rules.checks import validate_tag
from ops.state import records
from ops.state.model import ReleaseRecord
from ops.tools import git
from ops.tools.facts import CommitRange

_RECORDS = 100  # the newest ones, searched for the two releases


@dataclass(frozen=True)
class ReleaseComparison:
    """Two releases and their differences; each part is Unknown if it could not be read."""

    before: ReleaseRecord
    after: ReleaseRecord
    commits: CommitRange | Unknown
    changes: tuple[Difference, ...] | Unknown
    exit_code: int = 0

    @property
    def document(self) -> dict[str, Any]:
        known = None if isinstance(self.commits, Unknown) else self.commits
        changes = None if isinstance(self.changes, Unknown) else self.changes
        return {
            "before": _as_document(self.before),
            "after": _as_document(self.after),
            "commits": known and {"added": list(known.added), "removed": list(known.removed)},
            "image_changed": self._changed("digest"),
            "task_definition": None
            if changes is None
            else [each.as_document() for each in changes],
            "schema_changed": self._changed("schema_revision"),
            "unknown": [each.why for each in self._unknown()],
        }

    def _unknown(self) -> tuple[Unknown, ...]:
        parts = (self.commits, self.changes)
        return tuple(each for each in parts if isinstance(each, Unknown))

    def _changed(self, field: str) -> bool | None:
        values = getattr(self.before, field), getattr(self.after, field)
        return values[0] != values[1] if all(values) else None

    @property
    def text(self) -> str:
        lines = [f"{_title(self.before)} → {_title(self.after)}"]
        if isinstance(self.commits, Unknown):
            lines.append(f"  commits: unknown: {self.commits.why}")
        else:
            lines.append("  commits:" if self.commits.any else "  commits: the same")
            lines += [f"    + {each}" for each in self.commits.added]
            lines += [f"    - {each}" for each in self.commits.removed]
        digests = (short_digest(each.digest or "") for each in (self.before, self.after))
        lines.append(self._line("image", "digest", *digests))
        if isinstance(self.changes, Unknown):
            lines.append(f"  task definition: unknown: {self.changes.why}")
        else:
            labels = f"{self.before.task_definition} → {self.after.task_definition}"
            lines.append(
                f"  task definition: {labels}" if self.changes else "  task definition: the same"
            )
            lines += [f"    {each}" for each in self.changes]
        schema = (self.before.schema_revision or "", self.after.schema_revision or "")
        lines.append(self._line("schema", "schema_revision", *schema))
        return "\n".join(lines).translate(ui.CONTROL)  # tags and subjects come from outside

    def _line(self, what: str, field: str, before: str, after: str) -> str:
        changed = self._changed(field)
        if changed is None:
            return f"  {what}: unknown: {before or 'not recorded'} → {after or 'not recorded'}"
        return f"  {what}: {before} → {after}" if changed else f"  {what}: the same ({after})"


def compare(platform: Platform, service: str, one: str, other: str) -> ReleaseComparison:
    """Compare two releases, each named as `rollback --to` names it.

    Raises ConfigError for a name of none or several.
    """
    keys = records.keys(platform, service, _RECORDS)
    found = records.fetch(platform, keys) if keys else ()
    before, after = (_release(platform, service, name, found) for name in (one, other))
    with Reads() as reads:
        commits = reads.submit(_commits, platform, before, after)
        changes = reads.submit(_changes, platform, before, after)
    return ReleaseComparison(before, after, commits.value, changes.value)


def _release(
    platform: Platform, service: str, name: str, found: tuple[ReleaseRecord, ...]
) -> ReleaseRecord:
    """The record that `name` names, else what ECR knows of the tag."""
    record = find_release(service, name, found) if name else None
    if record is not None:
        return record
    repository = platform.settings.service(service).repository or ""
    try:
        image = ecr.image(platform.cloud, repository, validate_tag(name))
    except ConfigError:
        image = None
    if image is None:
        why = "no release, and no image in ECR, has that name"
        if not repository:
            why = f"no release has that name, and {service} has no repository"
        raise ConfigError(f"--diff {name or repr(name)}", why, f"inv {service}.releases")
    return ReleaseRecord(service=service, tag=name, digest=image.digest)


def _commits(
    platform: Platform, before: ReleaseRecord, after: ReleaseRecord
) -> CommitRange | Unknown:
    for each in (before, after):
        if not each.commit:
            return Unknown(f"no record names the commit of {each.tag}")
    return git.commits_between(platform.settings.source, str(before.commit), str(after.commit))


def _changes(
    platform: Platform, before: ReleaseRecord, after: ReleaseRecord
) -> tuple[Difference, ...] | Unknown:
    documents = []
    for each in (before, after):
        if not each.task_definition:
            return Unknown(f"no record names the revision of {each.tag}")
        revision = ecs.task_definition(platform.cloud, each.task_definition)
        if revision is None:
            return Unknown(f"ECS has deleted revision {each.task_definition}")
        documents.append(revision.document)
    return task_definition_diff(*documents)


def _title(record: ReleaseRecord) -> str:
    about = ", ".join(filter(None, ((record.at or "")[:19].replace("T", " "), record.verdict)))
    return f"{record.tag} ({about or 'no record of a release'})"


def _as_document(record: ReleaseRecord) -> dict[str, Any]:
    names = ("tag", "digest", "commit", "task_definition", "schema_revision", "at", "verdict")
    return {name: getattr(record, name) for name in names}
