"""Choose the release that a rollback goes to."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ops.aws.facts import Image
from ops.core.errors import ConfigError, Refused
from ops.core.findings import Unknown
from ops.core.text import format_timestamp, short_digest
from ops.health.rules.stored_sweep import InvalidSweep, StoredSweep
from ops.state.model import ReleaseRecord

_SHORTEST_PREFIX = 4  # characters of a commit or digest
_DIGEST = "sha256:"
ROLLBACK = "rollback"  # `kind` of a record
_REVISION = re.compile(r"(?:arn:\S+/)?(?:(?P<family>[A-Za-z0-9_-]+):)?(?P<number>\d{1,9})")
Images = Mapping[str, Image | Unknown | None]  # tag → image in ECR; None: ECR has no such tag


@dataclass(frozen=True)
class RunningRelease:
    """The image of the service's primary deployment; `digest` None if it is not known."""

    tag: str
    digest: str | None
    revision: str


@dataclass(frozen=True)
class RollbackTarget:
    """The release to go to: an image in ECR, and the revision that ran it.

    `revision` ("family:7") and `record` are None if only the image is known. `unfinished`: a
    rollback to it was interrupted.
    """

    tag: str
    digest: str
    revision: str | None = None
    record: ReleaseRecord | None = None
    unfinished: bool = False


class NoRollbackTarget(Refused):
    """No release can be rolled back to; `why` says it of each."""


def interrupted_rollback(reason: str) -> str | None:
    """The tag of a rollback from the reason of its lock, which a killed run leaves held."""
    action, _, tag = reason.partition(" ")
    return tag if action == ROLLBACK else None


def seen_healthy(record: ReleaseRecord, service: str) -> bool:
    """Whether the release succeeded and the health checks after it found its service healthy.

    Failed checks of other services do not count; checks that could not be read do.
    """
    if not record.succeeded or record.health is None:
        return False
    try:
        checks = StoredSweep.from_document(record.health).checks
    except InvalidSweep:
        return False
    own = [check.status for check in checks if check.service == service]
    return "ok" in own and not {"failed", "unknown"} & {*own}


def healthy_releases(records: Iterable[ReleaseRecord], service: str) -> tuple[ReleaseRecord, ...]:
    """The newest healthy release of each image, newest first."""
    found: dict[str, ReleaseRecord] = {}
    for record in records:
        if record.digest and record.tag and seen_healthy(record, service):
            found.setdefault(record.digest, record)
    return tuple(found.values())


def choose_target(
    service: str,
    records: Iterable[ReleaseRecord],
    running: RunningRelease,
    images: Images,
    interrupted: str | None = None,
) -> RollbackTarget:
    """The newest healthy release before the one that runs, with its image in ECR.

    A release that was rolled back from is not one (`release_stack`). The target of a rollback that
    was interrupted goes first: the tag `interrupted`, or what runs if that is an older release
    than the last one recorded. Raises NoRollbackTarget if there is none, Refused if ECR could not
    be read.
    """
    records = tuple(records)
    healthy = {str(each.digest): each for each in healthy_releases(records, service)}
    is_healthy = any(_runs(each, running) for each in healthy.values())
    stack = release_stack(records)
    for each in healthy.values():
        if each.tag == interrupted and not unavailable(each, images.get(interrupted or "")):
            return _target(each, unfinished=True)
    if running.digest in stack and running.digest in healthy and running.digest != stack[0]:
        return _target(healthy[running.digest], unfinished=True)
    passed_over = []
    for digest in dict.fromkeys(stack):
        record = healthy.pop(digest, None)
        if record is None or _runs(record, running):
            continue
        gone = unavailable(record, images.get(record.tag or ""))
        if gone is None:
            return _target(record)
        passed_over.append(f"{_title(record)}: {gone}")
    left = [
        f"{_title(each)} was rolled back from"
        for each in healthy.values()
        if not _runs(each, running)
    ]
    if left:
        left.append("no other release was seen healthy")
    raise NoRollbackTarget(
        f"no release to roll {service} back to",
        "; ".join([*passed_over, *left]) or _only(running, is_healthy=is_healthy),
        f"inv {service}.releases, then inv {service}.rollback --to TAG",
    )


def _only(running: RunningRelease, *, is_healthy: bool) -> str:
    """Why there is no release to choose from."""
    name = running.tag or running.revision
    only = f"only the running release ({name}) was seen healthy"
    return only if is_healthy else "no release was seen healthy"


def release_stack(records: Iterable[ReleaseRecord]) -> tuple[str, ...]:
    """Digests of the successful releases that no rollback left, the last one first.

    A release is put on top of the one before it; a rollback takes off those above its target. A
    digest is there again if it was released again later.
    """
    stack: list[str] = []
    for record in reversed(tuple(records)):
        if not record.succeeded or not record.digest:
            continue
        if record.kind == ROLLBACK and record.digest in stack:
            while stack[-1] != record.digest:
                stack.pop()
        elif stack[-1:] != [record.digest]:
            stack.append(record.digest)
    return tuple(reversed(stack))


def _title(record: ReleaseRecord) -> str:
    return f"{record.tag} ({format_timestamp(record.at or '')})"


def _target(record: ReleaseRecord, *, unfinished: bool = False) -> RollbackTarget:
    return RollbackTarget(
        record.tag or "", record.digest or "", record.task_definition or None, record, unfinished
    )


def _runs(record: ReleaseRecord, running: RunningRelease) -> bool:
    if running.digest is None:
        return record.tag == running.tag
    return record.digest == running.digest


def unavailable(record: ReleaseRecord, image: Image | Unknown | None) -> str | None:
    """Why the release's image cannot be deployed, or None. Raises Refused if that is not known."""
    if isinstance(image, Unknown):
        what = f"whether ECR still holds {record.tag} could not be read"
        raise Refused(what, image.why, image.login or "inv preflight")
    if image is None:
        return "no longer in ECR"
    if record.digest and image.digest != record.digest:
        return f"its tag is another image now ({short_digest(image.digest)})"
    return None


def find_release(service: str, to: str, records: Iterable[ReleaseRecord]) -> ReleaseRecord | None:
    """Find the newest record that `to` names, successful ones first; else None.

    `to` is a tag, a revision ("7", "family:7", an ARN), or the beginning of a digest or commit.
    Raises ConfigError if it is the beginning of several.
    """
    ordered = sorted(records, key=lambda record: not record.succeeded)
    for matches in (_has_tag, _has_revision):
        found = next((record for record in ordered if matches(record, to)), None)
        if found:
            return found
    by_prefix = [record for record in ordered if _has_prefix(record, to)]
    names = {record.digest or record.tag: record.tag or "?" for record in by_prefix}
    if len(names) > 1:
        raise ConfigError(
            f"--to {to}",
            f"it is the beginning of {len(names)} releases: {', '.join(sorted(names.values()))}",
            f"name one of these tags: inv {service}.releases",
        )
    return by_prefix[0] if by_prefix else None


def _has_tag(record: ReleaseRecord, to: str) -> bool:
    return record.tag == to


def _has_revision(record: ReleaseRecord, to: str) -> bool:
    return revision_label(to, record.task_definition or "") == record.task_definition != ""


def revision_label(to: str, beside: str) -> str | None:
    """`family:number` if `to` is a revision; a number alone is of the family of `beside`."""
    match = _REVISION.fullmatch(to)
    if match is None:
        return None
    return f"{match['family'] or beside.rpartition(':')[0]}:{match['number']}"


def _has_prefix(record: ReleaseRecord, to: str) -> bool:
    beginning = to.removeprefix(_DIGEST).lower()
    if len(beginning) < _SHORTEST_PREFIX:
        return False
    names = ((record.digest or "").removeprefix(_DIGEST), record.commit or "", record.tag or "")
    return any(name.lower().startswith(beginning) for name in names)
