"""Release records: written after every release, and sent later if the bucket refuses.

Each is one JSON object in the Terraform state's bucket, under a prefix. A record holds no secret:
names, digests, verdicts, findings (redacted when they were made). It is first written to the disk
and then sent, so that neither a kill nor Ctrl-C loses it.
"""

from __future__ import annotations

import secrets
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from ops.aws import ecr, ecs, s3
from ops.core import ui
from ops.core.errors import OpsError
from ops.core.files import write_json
from ops.core.findings import Unknown
from ops.core.parallel import Reads, gather, try_call
from ops.core.terminal import layout
from ops.platform import Platform
from ops.state import outbox
from ops.state.model import TAGS, InvalidRecord, ReleaseRecord
from ops.state.rules import records as rules

if TYPE_CHECKING:
    from ops.aws.facts import Image
    from ops.core.config.settings import State

T = TypeVar("T")
SHOWN = 20  # records read in one batch, and listed
_TYPICAL_OF = 8  # records that an estimate is made from
_MAX_RECORDS = 100  # records searched for the running images
PENDING = ".ops/pending"
# a record sent with a longer delay states it, since S3's time is then not the release's
_LATE_S = 60
_NOT_SENT = Exception  # any error: the release is over, and its verdict stands


def store(platform: Platform, record: Mapping[str, Any]) -> None:
    """Write a record, or keep it here to send later.

    Never raises except for an interrupt: a record must not spoil a release.
    """
    settings = platform.settings
    state = settings.environment.state
    if state is None:
        if "state" not in settings.environment.absent:
            ui.progress("no release record: the environment has no state bucket")
        return
    at = datetime.fromisoformat(str(record["at"]))
    key = rules.key(state.prefix, settings.name, str(record["service"]), at, secrets.token_hex(4))
    try:
        path = outbox.put(settings.root / PENDING, key, record)
    except Exception as problem:
        _send_at_once(platform, state, key, record, problem)
        return
    why = send_pending(platform)
    if why and path.exists():
        ui.progress(
            f"the release record could not be written ({why}); stored in {path}, to be sent later"
        )


def _send_at_once(
    platform: Platform, state: State, key: str, record: Mapping[str, Any], full: Exception
) -> None:
    """Send a record that cannot be written to this disk; report it if that fails."""
    try:
        s3.create(platform.cloud, state.bucket, key, record)
    except _NOT_SENT as problem:
        ui.progress(
            f"the release record is lost: {problem_text(problem)}, "
            f"and it could not be stored here ({full})"
        )


def send_pending(platform: Platform) -> str:
    """Send the pending records of this environment; return why not, or an empty string.

    Never raises.

    A record that exists already is not written twice, and an invalid file is set aside.
    """
    settings, state = platform.settings, platform.settings.environment.state
    if state is None:
        return ""
    try:
        for key, path in outbox.pending(
            settings.root / PENDING, f"{state.prefix}/releases/{settings.name}/"
        ):
            try:
                document = outbox.load(path)
            except ValueError as problem:
                ui.progress(f"no release record, set aside: {outbox.set_aside(path)}: {problem}")
                continue
            if document is not None:
                late = int(outbox.age_s(path))
                s3.create(
                    platform.cloud,
                    state.bucket,
                    key,
                    {**document, "late_s": late} if late > _LATE_S else document,
                )
                path.unlink(missing_ok=True)
    except _NOT_SENT as problem:
        return problem_text(problem)
    return ""


def problem_text(problem: Exception) -> str:
    return problem.why or problem.what if isinstance(problem, OpsError) else str(problem)


@dataclass(frozen=True)
class Releases:
    """The result of `inv SERVICE.releases`, newest first."""

    rows: tuple[rules.ReleaseRow, ...]
    exit_code: int = 0
    filtered: bool = False
    images_read: bool = True

    @property
    def text(self) -> str:
        if not self.rows and self.filtered:
            return "no release matches"
        if not self.rows:
            return f"no releases: no record{', and no image in ECR' if self.images_read else ''}"
        unknown = " · ? unknown" if any(row.current is None for row in self.rows) else ""
        lines = rules.table(self.rows, layout.width_of(sys.stdout))
        text = "\n".join((*lines, f"● runs now{unknown}"))
        return text.translate(ui.CONTROL)  # tags and subjects come from outside

    @property
    def document(self) -> dict[str, Any]:
        return {"releases": [vars(row) for row in self.rows]}


def _store_tags(platform: Platform, service: str, rows: Iterable[rules.ReleaseRow]) -> None:
    """Store the listed tags for completion, which reads files only."""
    settings = platform.settings
    path = settings.root / TAGS / settings.name / f"{service}.json"
    with suppress(OSError):
        write_json(path, list(dict.fromkeys(row.tag for row in rows if row.tag)))


def releases(
    platform: Platform, service: str, only: rules.ReleaseFilter = rules.EVERY_RELEASE
) -> Releases:
    """The newest records, combined with ECR and ECS; a filter searches more of them.

    The images of a service without a repository are not read: whether ECR has one is unknown.
    Raises OpsError only if none of them could be read.
    """
    environment, configured = platform.settings.environment, platform.settings.service(service)
    if why := send_pending(platform):
        ui.progress(f"release records of this checkout are not sent yet, and not listed: {why}")
    with Reads() as reads:
        read_keys = reads.submit(keys, platform, service, _MAX_RECORDS)
        read_images = reads.submit(_images, platform, configured.repository)
        read_tasks = reads.submit(
            ecs.tasks, platform.cloud, environment.cluster, configured.ecs_service
        )
    listed = _known_or_none("records", read_keys.value)
    images = _known_or_none("images", read_images.value)
    tasks = _known_or_none("tasks", read_tasks.value)
    if isinstance(read_keys.value, Unknown) and images is None and tasks is None:
        how = read_keys.value.login or "inv preflight"
        raise OpsError(f"releases of {service}", read_keys.value.why, how)
    known = rules.Known(
        records=listed is not None,
        tasks=tasks is not None and rules.all_digests_known(tasks, configured.container),
    )
    running = rules.running_images(tasks or (), configured.container)
    records: tuple[ReleaseRecord, ...] = ()
    while listed and (not records or only.needs_all or rules.has_unrecorded(records, running)):
        more = fetch(platform, listed[:SHOWN])
        known = replace(known, records=known.records and len(more) == len(listed[:SHOWN]))
        records, listed = (*records, *more), listed[SHOWN:]
    complete = not listed and len(records) < _MAX_RECORDS
    rows = rules.rows(records, images, running, complete=complete, known=known)
    _store_tags(platform, service, rows)
    filtered = only != rules.EVERY_RELEASE
    return Releases(only.apply(rows), filtered=filtered, images_read=images is not None)


def _images(platform: Platform, repository: str | None) -> tuple[Image, ...] | None:
    """The images of a service's repository; None for a service without one."""
    return ecr.images(platform.cloud, repository) if repository else None


def _known_or_none(name: str, fact: T | Unknown) -> T | None:
    """Report an unknown fact and return None for it."""
    if isinstance(fact, Unknown):
        ui.progress(f"unknown: {name}: {fact.why}")
        return None
    return fact


def keys(platform: Platform, service: str, limit: int) -> tuple[str, ...]:
    """Keys of a service's newest records, newest first."""
    return tuple(key for key, _ in _listed(platform, service)[:limit])


def _listed(platform: Platform, service: str) -> tuple[tuple[str, datetime], ...]:
    """Keys of a service's records and when S3 wrote them, newest first. Raises OpsError."""
    settings, state = platform.settings, platform.settings.environment.state
    if state is None:
        return ()
    found = s3.entries(
        platform.cloud, state.bucket, rules.folder(state.prefix, settings.name, service)
    )
    return rules.newest_first((entry.key, entry.written) for entry in found)


def last_success(platform: Platform, service: str) -> ReleaseRecord | None:
    """The newest record of a successful release, or None without any.

    Raises OpsError if a record that may be the one cannot be read.
    """
    state = platform.settings.environment.state
    best: _Stored | None = None
    for key, written in _listed(platform, service):
        if best and best.end_time >= written:
            break
        assert state is not None  # nothing is listed otherwise
        stored = _read_record(platform, state, key)
        if stored is None or not stored.record.succeeded:
            continue
        if best is None or stored.end_time > best.end_time:
            best = stored
    return best.with_start_time if best else None


def typical_rollout_s(platform: Platform, service: str) -> float | None:
    """What the last successful rollouts of a service took (the median), in seconds.

    None if it cannot be told: an estimate is not worth an error.
    """
    state = platform.settings.environment.state
    listed = try_call(lambda: keys(platform, service, _TYPICAL_OF))
    if state is None or isinstance(listed, Unknown):
        return None
    found = gather(**{key: partial(_read_record, platform, state, key) for key in listed})
    stored = [each.record for each in found.values() if isinstance(each, _Stored)]
    return rules.typical_rollout_s(stored)


@dataclass(frozen=True)
class _Stored:
    """A record and when S3 wrote it."""

    record: ReleaseRecord
    written: datetime

    @property
    def end_time(self) -> datetime:
        return rules.end_time(self.record, self.written)

    @property
    def with_start_time(self) -> ReleaseRecord:
        return rules.with_start_time(self.record, self.written)


def _read_record(platform: Platform, state: State, key: str) -> _Stored | None:
    """The record with this key, or None. Raises OpsError if it cannot be read."""
    stored = s3.read(platform.cloud, state.bucket, key)
    if stored is None:
        return None
    try:
        return _Stored(ReleaseRecord.from_document(stored.document), stored.written)
    except InvalidRecord as error:
        raise OpsError(
            f"release record {key}", str(error), "use the version of this tool that wrote it"
        ) from None


def fetch(platform: Platform, keys: tuple[str, ...]) -> tuple[ReleaseRecord, ...]:
    """The records of these keys, newest first by S3's clock.

    Unreadable ones are reported and left out.
    """
    state = platform.settings.environment.state
    if state is None:  # then there are no keys
        return ()
    found = gather(**{key: partial(_read_record, platform, state, key) for key in keys})
    for key, stored in found.items():
        if isinstance(stored, Unknown):
            ui.progress(f"unknown: release record {key}: {stored.why}")
    read = [stored for stored in found.values() if isinstance(stored, _Stored)]
    read.sort(key=lambda stored: stored.end_time, reverse=True)
    return tuple(stored.with_start_time for stored in read)


def read(platform: Platform, service: str) -> tuple[ReleaseRecord, ...]:
    """The newest records of a service, newest first."""
    return fetch(platform, keys(platform, service, SHOWN))
