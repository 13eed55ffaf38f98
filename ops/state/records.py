"""Release records: written after every release, and sent later if the bucket refuses.

Each is one JSON object in the Terraform state's bucket, under a prefix. A record holds no secret:
names, digests, verdicts, findings (redacted when they were made). It is first written to the disk
and then sent, so that neither a kill nor Ctrl-C loses it.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ops.aws import ecr, ecs, s3
from ops.aws.facts import Image, TaskState
from ops.core import ui
from ops.core.errors import OpsError
from ops.core.findings import Unknown
from ops.core.parallel import gather
from ops.platform import Platform
from ops.state import outbox
from ops.state.rules import records as rules

if TYPE_CHECKING:
    from ops.core.config.settings import State

SHOWN = 20  # records read in one batch, and listed
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
        ui.progress("no release record: the environment names no state bucket (state.bucket)")
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
            f"the release record could not be written ({why}); kept in {path}, sent at the "
            f"next chance"
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
            f"and it could not be kept here ({full})"
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


def releases(platform: Platform, service: str) -> tuple[rules.ReleaseRow, ...]:
    """The newest records, combined with ECR and ECS.

    Raises OpsError only if none of them could be read.
    """
    environment, configured = platform.settings.environment, platform.settings.service(service)
    if why := send_pending(platform):
        ui.progress(f"release records of this checkout are not sent yet, and not listed: {why}")
    answers: dict[str, Any] = gather(
        records=lambda: keys(platform, service, _MAX_RECORDS),
        images=lambda: ecr.images(platform.cloud, configured.repository),
        tasks=lambda: ecs.tasks(platform.cloud, environment.cluster, configured.ecs_service),
    )
    for name, found in answers.items():
        if isinstance(found, Unknown):
            ui.progress(f"unknown: {name}: {found.why}")
    if all(isinstance(found, Unknown) for found in answers.values()):
        raise OpsError(f"releases of {service}", answers["records"].why, "inv preflight")
    known = rules.Known(
        records=not isinstance(answers["records"], Unknown),
        tasks=not isinstance(answers["tasks"], Unknown)
        and rules.all_digests_known(answers["tasks"], configured.container),
    )
    listed: tuple[str, ...] = () if isinstance(answers["records"], Unknown) else answers["records"]
    images: tuple[Image, ...] | None = (
        None if isinstance(answers["images"], Unknown) else answers["images"]
    )
    tasks: tuple[TaskState, ...] = () if isinstance(answers["tasks"], Unknown) else answers["tasks"]
    running = rules.running_images(tasks, configured.container)
    records: tuple[Mapping[str, Any], ...] = ()
    while listed and (not records or rules.has_unrecorded(records, running)):
        more = fetch(platform, listed[:SHOWN])
        known = replace(known, records=known.records and len(more) == len(listed[:SHOWN]))
        records, listed = (*records, *more), listed[SHOWN:]
    complete = not listed and len(records) < _MAX_RECORDS
    return rules.rows(records, images, running, complete=complete, known=known)


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


def last_success(platform: Platform, service: str) -> Mapping[str, Any] | None:
    """The newest record of a successful release, or None.

    Only the newest records are read.

    Raises OpsError if a record that may be the one cannot be read.
    """
    state = platform.settings.environment.state
    best: s3.S3Object | None = None
    for key, written in _listed(platform, service)[:SHOWN]:
        if best and rules.end_time(best.document, best.written) >= written:
            break
        assert state is not None  # nothing is listed otherwise
        stored = s3.read(platform.cloud, state.bucket, key)
        if stored is None or stored.document.get("verdict") != rules.SUCCEEDED:
            continue
        if best is None or rules.end_time(stored.document, stored.written) > rules.end_time(
            best.document, best.written
        ):
            best = stored
    return rules.with_start_time(best.document, best.written) if best else None


def fetch(platform: Platform, keys: tuple[str, ...]) -> tuple[Mapping[str, Any], ...]:
    """The records of these keys, newest first by S3's clock.

    Unreadable ones are reported and left out.
    """
    state = platform.settings.environment.state
    assert state is not None  # there are no keys otherwise
    found: dict[str, Any] = gather(
        **{key: lambda key=key: s3.read(platform.cloud, state.bucket, key) for key in keys}
    )
    for key, stored in found.items():
        if isinstance(stored, Unknown):
            ui.progress(f"unknown: release record {key}: {stored.why}")
    read = [stored for stored in found.values() if isinstance(stored, s3.S3Object)]
    read.sort(key=lambda stored: rules.end_time(stored.document, stored.written), reverse=True)
    return tuple(rules.with_start_time(stored.document, stored.written) for stored in read)


def read(platform: Platform, service: str) -> tuple[Mapping[str, Any], ...]:
    """The newest records of a service, newest first."""
    return fetch(platform, keys(platform, service, SHOWN))


def as_text(rows: tuple[rules.ReleaseRow, ...]) -> str:
    if not rows:
        return "no releases: no record, and no image in ECR"
    heading = f"  {'when (UTC)':<19}  {'tag':<12} {'verdict':<12} {'by':<14} {'digest':<19}  commit"
    marks = "* runs now" + ("; ? unknown" if any(row.current is None for row in rows) else "")
    text = "\n".join((heading, *(rules.line(row) for row in rows), marks))
    return text.translate(ui.CONTROL)  # tags and subjects come from outside


def as_document(rows: tuple[rules.ReleaseRow, ...]) -> dict[str, Any]:
    return {"releases": [vars(row) for row in rows]}
