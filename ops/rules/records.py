"""The team's memory of releases: what a record holds, and the list that records, ECR and ECS make together.

A release that has no record (deployed from elsewhere, or by hand) still shows: its image is in ECR, its revision runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ops.model import Image

NEWEST_FIRST = 10**10   # seconds; an epoch subtracted from it sorts newest first in S3's order of keys


@dataclass(frozen=True)
class Row:
    """One line of `releases`. `in_ecr`: None where ECR could not be read."""

    tag: str
    digest: str
    commit: str
    by: str
    at: str
    verdict: str
    current: bool
    in_ecr: bool | None
    recorded: bool
    schema_revision: str | None = None   # the database's at that release; None where it could not be read


def key(prefix: str, environment: str, service: str, at: datetime, id: str) -> str:
    """Where a record is kept: newest first in S3's order."""
    return f"{folder(prefix, environment, service)}{NEWEST_FIRST - int(at.timestamp()):010d}-{id}.json"


def folder(prefix: str, environment: str, service: str) -> str:
    return f"{prefix}/releases/{environment}/{service}/"


def rows(records: Iterable[Mapping[str, Any]], images: Iterable[Image] | None, running: str | None) -> tuple[Row, ...]:
    """Records newest first, then images without one; `running` is the digest that the service's tasks have."""
    known = {image.digest for image in images} if images is not None else None
    listed = [recorded_row(record, known) for record in records]
    seen = {row.digest for row in listed}
    unrecorded = [unrecorded_row(image) for image in images or () if image.digest not in seen]
    ordered = sorted([*listed, *unrecorded], key=lambda row: row.at, reverse=True)
    return tuple(marked(ordered, running))


def recorded_row(record: Mapping[str, Any], known: set[str] | None) -> Row:
    text = {name: str(record.get(name) or "") for name in ("tag", "digest", "commit", "by", "at", "verdict")}
    schema = record.get("schema_revision")
    in_ecr = None if known is None else text["digest"] in known
    return Row(**text, current=False, in_ecr=in_ecr, recorded=True, schema_revision=str(schema) if schema else None)


def unrecorded_row(image: Image) -> Row:
    at = image.pushed_at.astimezone(UTC).isoformat(timespec="seconds") if image.pushed_at else ""
    return Row(image.tag, image.digest, "", "", at, "unrecorded", False, True, recorded=False)


def marked(ordered: list[Row], running: str | None) -> Iterable[Row]:
    """The newest row that succeeded, or is unrecorded, with the running digest is the current one."""
    found = False
    for row in ordered:
        current = not found and running is not None and row.digest == running and row.verdict in ("succeeded", "unrecorded")
        found = found or current
        yield Row(**{**vars(row), "current": current})
