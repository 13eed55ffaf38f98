"""Combine release records, ECR and ECS into the list of releases (pure).

A release without a record (deployed from elsewhere, or by hand) is listed too: its image is in ECR,
or its revision runs.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Literal

from ops.aws.facts import Image, TaskState, image_tag
from ops.core.errors import ConfigError
from ops.core.findings import Verdict
from ops.core.redaction.redact import one_line, redacted
from ops.core.terminal.layout import cut
from ops.core.text import short_commit, short_digest
from ops.state.model import ReleaseRecord

_MAX_UNRECORDED = 100  # images without a record, the newest
_WIDE = 110  # columns of a terminal for the whole table
_FILTERS = (*(verdict.value for verdict in Verdict), "unrecorded")
NEWEST_FIRST = (
    10**10
)  # seconds; an epoch subtracted from it sorts newest first in S3's order of keys


@dataclass(frozen=True)
class ReleaseRow:
    """One line of `releases`.

    `at`: when it was deployed, pushed to ECR, or its first task started (`dated`; ISO 8601,
    UTC).

    `in_ecr`: None if ECR was not read, or if nothing was pushed (`digest` is empty).
    `current`: tasks of the service run it now; None if they could not be read. `recorded`: None if
    records could not be read; then `commit`, `by` and `verdict` are None, too. `kind`: deploy,
    restart or rollback; None without a record, or if the record does not state it.
    """

    tag: str
    digest: str
    commit: str | None
    by: str | None
    at: str
    verdict: str | None
    current: bool | None
    in_ecr: bool | None
    recorded: bool | None
    schema_revision: str | None = (
        None  # of the database at that release; None if it could not be read
    )
    subject: str = ""  # of the commit
    dated: Literal["deployed", "pushed", "started"] = "deployed"
    kind: str | None = None


@dataclass(frozen=True)
class ReleaseFilter:
    """Which rows to list: the newest `limit` with this verdict, not older than `since`.

    `since`: seconds since 1970. A row of unknown verdict is listed: it may have the verdict.
    """

    verdict: str | None = None
    limit: int | None = None
    since: float | None = None

    @classmethod
    def parse(cls, verdict: str | None, limit: str | None, since: float | None) -> ReleaseFilter:
        """The values of the options. Raises ConfigError for an unknown verdict or a bad limit."""
        wanted = verdict.replace(" ", "_") if verdict is not None else None
        if verdict is not None and wanted not in _FILTERS:
            raise ConfigError(
                f"--verdict {verdict}", f"allowed: {', '.join(_FILTERS)}", "--verdict succeeded"
            )
        if limit is not None and not re.fullmatch(r"[1-9]\d{0,5}", limit):
            raise ConfigError(f"--limit {limit}", "allowed: an integer from 1", "--limit 5")
        return cls(wanted, int(limit) if limit is not None else None, since)

    @property
    def needs_all(self) -> bool:
        """Whether older records may match, too."""
        return self.verdict is not None or self.since is not None or (self.limit or 0) > 20

    def apply(self, rows: Iterable[ReleaseRow]) -> tuple[ReleaseRow, ...]:
        found = [row for row in rows if self._matches(row)]
        return tuple(found if self.limit is None else found[: self.limit])

    def _matches(self, row: ReleaseRow) -> bool:
        if self.verdict and row.verdict not in (self.verdict, None):
            return False
        if self.since is None or not row.at:
            return True
        return datetime.fromisoformat(row.at).timestamp() >= self.since


EVERY_RELEASE = ReleaseFilter()


@dataclass(frozen=True)
class RunningImage:
    """An image that tasks of the service run now.

    `since`: when the first of them was created (ISO 8601, UTC), or empty.
    """

    digest: str
    tag: str
    since: str


@dataclass(frozen=True)
class Known:
    """Which sources were read completely.

    Fields that depend on another source are None in a row.
    """

    records: bool = True
    tasks: bool = True


def all_digests_known(tasks: Iterable[TaskState], container: str) -> bool:
    """Whether ECS shows the image digest of every running task."""
    going = [task.container(container) for task in tasks if task.status == "RUNNING"]
    return all(state is not None and state.digest for state in going)


def running_images(tasks: Iterable[TaskState], container: str) -> tuple[RunningImage, ...]:
    """The running images, each once.

    There is more than one during a rollout.
    """
    found: dict[str, RunningImage] = {}
    for task in tasks:
        state = task.container(container)
        if task.status == "RUNNING" and state and state.digest:
            since = _utc(task.created_at)
            before = found.get(state.digest)
            found[state.digest] = RunningImage(
                state.digest, image_tag(state.image), min(since, before.since) if before else since
            )
    return tuple(found.values())


def has_unrecorded(records: Iterable[ReleaseRecord], running: Iterable[RunningImage]) -> bool:
    """Whether a running image has no successful release among the records."""
    brought = {record.digest for record in records if record.succeeded}
    return any(image.digest not in brought for image in running)


def last_inputs(records: Iterable[ReleaseRecord]) -> ReleaseRecord | None:
    """The newest successful release that recorded Terraform's inputs, or None."""
    known = [
        record for record in records if record.succeeded and record.terraform_inputs is not None
    ]
    return max(known, key=lambda record: record.at or "", default=None)


def changed_inputs(then: Mapping[str, str], now: Mapping[str, str]) -> tuple[str, ...]:
    """How Terraform's inputs differ from an earlier release's, by name: `x has changed`."""
    said = [(name, "was added") for name in now.keys() - then.keys()]
    said += [(name, "was removed") for name in then.keys() - now.keys()]
    said += [(name, "has changed") for name in then.keys() & now.keys() if then[name] != now[name]]
    return tuple(f"{name} {how}" for name, how in sorted(said))


def newest_first(entries: Iterable[tuple[str, datetime]]) -> tuple[tuple[str, datetime], ...]:
    """Sort keys by S3's time of writing, newest first; in the same second by key.

    A key holds the time of the machine that wrote it, which may be wrong by days.
    """
    by_key = sorted(entries, key=lambda entry: entry[0])
    return tuple(sorted(by_key, key=lambda entry: entry[1], reverse=True))


def end_time(record: ReleaseRecord, written: datetime) -> datetime:
    """When the release ended, by S3's clock.

    The time of writing, less the delay before it was sent (`late_s`).
    """
    return written - timedelta(seconds=_seconds(record.late_s))


def with_start_time(record: ReleaseRecord, written: datetime) -> ReleaseRecord:
    """The record with `at` set to its start by S3's clock, not its machine's."""
    began = end_time(record, written) - timedelta(seconds=_seconds(record.took_s))
    return replace(record, at=_utc(began))


def _seconds(value: float | None) -> float:
    return float(value) if value is not None and 0 <= value < NEWEST_FIRST else 0.0


def key(prefix: str, environment: str, service: str, at: datetime, id: str) -> str:
    """The key of a record.

    Keys sort newest first, as far as the writers' clocks agree.
    """
    return (
        f"{folder(prefix, environment, service)}{NEWEST_FIRST - int(at.timestamp()):010d}-{id}.json"
    )


def folder(prefix: str, environment: str, service: str) -> str:
    return f"{prefix}/releases/{environment}/{service}/"


def rows(
    records: Iterable[ReleaseRecord],
    images: Iterable[Image] | None,
    running: Iterable[RunningImage] = (),
    *,
    complete: bool = True,
    known: Known = Known(),
) -> tuple[ReleaseRow, ...]:
    """Rows for records, images without a record, and running images, newest first.

    `complete`: these are all records; if older ones were not read, older images may have a
    record, so they are left out.
    """
    running = tuple(running)
    pushed = None if images is None else {image.digest: _unrecorded_row(image) for image in images}
    listed = _with_commits([_recorded_row(record, pushed) for record in records])
    seen, oldest = (
        {row.digest for row in listed},
        "" if complete else min((row.at for row in listed), default=""),
    )
    without = [
        row for row in (pushed or {}).values() if row.digest not in seen and row.at >= oldest
    ][:_MAX_UNRECORDED]
    found = [*listed, *without]
    for image in running:
        if all(row.digest != image.digest for row in found):
            found.append((pushed or {}).get(image.digest) or _started_row(image, pushed))
    ordered = sorted(found, key=lambda row: row.at, reverse=True)
    current = {id(_current_row(ordered, image)) for image in running}
    return tuple(
        _without_unknown(replace(row, current=id(row) in current), known) for row in ordered
    )


def _with_commits(listed: Iterable[ReleaseRow]) -> list[ReleaseRow]:
    """The rows; one without a commit, as of a restart, has that of another row of its image."""
    found = tuple(listed)
    commits = {row.digest: row.commit for row in reversed(found) if row.digest and row.commit}
    subjects = {row.digest: row.subject for row in reversed(found) if row.digest and row.subject}
    return [
        replace(
            row,
            commit=row.commit or commits.get(row.digest, ""),
            subject=row.subject or subjects.get(row.digest, ""),
        )
        for row in found
    ]


def _without_unknown(row: ReleaseRow, known: Known) -> ReleaseRow:
    """The row without fields that only an unread source could provide."""
    if not known.records and not row.recorded:
        row = replace(row, recorded=None, verdict=None, commit=None, by=None)
    return row if known.tasks or row.current else replace(row, current=None)


def _current_row(ordered: list[ReleaseRow], image: RunningImage) -> ReleaseRow:
    """The newest row that deployed a running image, else the newest with it.

    A failed rollout that was kept runs, too.
    """
    ours = [row for row in ordered if row.digest == image.digest]
    return next((row for row in ours if row.verdict in ("succeeded", "unrecorded")), ours[0])


def _recorded_row(record: ReleaseRecord, known: Container[str] | None) -> ReleaseRow:
    digest = record.digest or ""
    return ReleaseRow(
        record.tag or "",
        digest,
        record.commit or "",
        record.by or "",
        record.at or "",
        record.verdict or "",
        current=False,
        in_ecr=digest in known if known is not None and digest else None,
        recorded=True,
        schema_revision=record.schema_revision or None,
        subject=redacted(record.subject or ""),
        kind=record.kind,
    )


def _unrecorded_row(image: Image) -> ReleaseRow:
    """A row for an image in ECR without a record; only its push time is known."""
    return ReleaseRow(
        image.tag,
        image.digest,
        "",
        "",
        _utc(image.pushed_at),
        "unrecorded",
        False,
        True,
        recorded=False,
        dated="pushed",
    )


def _started_row(image: RunningImage, known: Container[str] | None) -> ReleaseRow:
    """A row for a running image that neither a record nor ECR has."""
    in_ecr = None if known is None else image.digest in known
    return ReleaseRow(
        image.tag,
        image.digest,
        "",
        "",
        image.since,
        "unrecorded",
        False,
        in_ecr,
        recorded=False,
        dated="started",
    )


def _utc(at: datetime | None) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds") if at else ""


def table(rows: Sequence[ReleaseRow], width: int | None) -> list[str]:
    """The table of `releases`, a line per release; `width` None: every column, nothing cut.

    Below 110 columns it leaves out the kind, the digest and the year.
    """
    wide = width is None or width >= _WIDE
    names = ("when (UTC)", "tag", "kind", "verdict", "by", "digest")
    cells = [names, *(_cells(row, wide=wide) for row in rows)]
    chosen = [number for number, name in enumerate(names) if wide or name not in ("kind", "digest")]
    longest = {number: max(len(each[number]) for each in cells) for number in chosen}
    marks = [" ", *("?" if row.current is None else "●" if row.current else " " for row in rows)]
    subjects = ["commit", *map(_subject, rows)]
    lines = []
    for mark, each, subject in zip(marks, cells, subjects, strict=True):
        columns = "  ".join(f"{each[number]:<{longest[number]}}" for number in chosen)
        line = f"{mark} {columns}  {subject}"
        lines.append(line if width is None else cut(line, width))
    return lines


def _cells(row: ReleaseRow, *, wide: bool) -> tuple[str, ...]:
    when = row.at[:19].replace("T", " ")
    return (
        when if wide else when[5:16],
        row.tag,
        row.kind or ("?" if row.recorded else "–"),
        (row.verdict or "unknown").replace("_", " "),
        "?" if row.by is None else row.by or "–",
        short_digest(row.digest).removeprefix("sha256:"),
    )


def _subject(row: ReleaseRow) -> str:
    """The commit's subject; where there is no record, what the time stands for."""
    why = "no record of a release" if row.recorded is not None else "the records are unknown"
    dated = {"pushed": f"pushed then; {why}", "started": f"runs since then; {why}"}
    subject = dated.get(row.dated) or row.subject or short_commit(row.commit or "")
    gone = "  (no longer in ECR)" if row.in_ecr is False else ""
    return f"{one_line(subject, limit=48)}{gone}"


def typical_rollout_s(records: Iterable[ReleaseRecord]) -> float | None:
    """The median of what the successful rollouts took; None without one that states it.

    Older records state only what the whole release took, with its build: their shortest is used.
    """
    succeeded = [record for record in records if record.succeeded]
    rollouts = [each.rollout_s for each in succeeded if each.rollout_s]
    if rollouts:
        return float(median(rollouts))
    return float(min((each.took_s for each in succeeded if each.took_s), default=0.0)) or None
