"""Estimate how long a migration takes, as an order of magnitude, and name the source.

The best source is an earlier run of the revision in this database. Otherwise the estimate is the
size of the tables that the revision reads or writes completely, divided by the rate that earlier
revisions had here; without any, by the assumed rates below. Those are modest: an RDS gp3 volume
reads 125 MB/s, and a rewrite reads, writes, logs and builds the indexes. Waiting for locks is not
included. A revision that reads or writes no table completely only changes the catalog.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ops.core.text import format_age, format_size
from ops.migrations.rules.table_locks import Lock

MB = 2**20
_ASSUMED_RATES = {
    "reads": 100.0 * MB,
    "writes": 20.0 * MB,
}  # bytes per second, of the table with its indexes
_RATE_OF_WORK = {"reads": "reads", "reindexes": "reads", "writes": "writes", "rewrites": "writes"}
MEASURABLE_S, MEASURABLE_BYTES = (
    1.0,
    16 * MB,
)  # below these, other work outweighs reading and writing


@dataclass(frozen=True)
class Rate:
    """Bytes per second, as measured with the revision `measured_by`; None if assumed."""

    bytes_per_s: float
    measured_by: str | None = None

    def __str__(self) -> str:
        speed = f"{max(self.bytes_per_s / MB, 0.1):.{0 if self.bytes_per_s >= MB else 1}f} MB/s"
        return (
            f"{speed}, as {self.measured_by} did here"
            if self.measured_by
            else f"an assumed {speed}"
        )


@dataclass(frozen=True)
class Estimate:
    """The estimate of one revision; `seconds` None means unknown, for the reason `why`.

    `source` is before, measured, assumed, catalog or unknown.
    """

    revision: str
    seconds: float | None
    source: str
    why: str = ""

    def as_document(self) -> dict[str, Any]:
        return {
            "revision": self.revision,
            "seconds": None if self.seconds is None else round(self.seconds, 3),
            "source": self.source,
            "why": self.why,
        }

    def as_text(self) -> str:
        if self.seconds is None:
            return f"{self.revision}: its duration is unknown: {self.why}"
        return (
            f"{self.revision} took {self.seconds:.2f} s {self.why}"
            if self.source == "before"
            else f"{self.revision} {self.why}"
        )


def bytes_by_work(locks: Iterable[Lock], sizes: Mapping[str, int]) -> dict[str, int | None]:
    """The bytes of tables that are read or written completely, by kind of work.

    None if the size of a table is unknown.
    """
    found: dict[str, int | None] = {}
    for lock in locks:
        if lock.work:
            before, size = found.get(_RATE_OF_WORK[lock.work], 0), sizes.get(lock.table)
            found[_RATE_OF_WORK[lock.work]] = (
                None if before is None or size is None else before + size
            )
    return found


def rates(earlier: Mapping[str, tuple[float, Mapping[str, int | None]]]) -> dict[str, Rate]:
    """The rates of earlier revisions, given as seconds and bytes by kind of work.

    Kinds without any have the assumed rate. The slowest revision counts: tables have grown since,
    and an estimate that is too short is worse than one that is too long.
    """
    found = {kind: Rate(rate) for kind, rate in _ASSUMED_RATES.items()}
    for revision, (seconds, work_bytes) in earlier.items():
        if len(work_bytes) == 1 and seconds >= MEASURABLE_S:
            ((kind, size),) = work_bytes.items()
            if (
                size is not None
                and size >= MEASURABLE_BYTES
                and (found[kind].measured_by is None or size / seconds < found[kind].bytes_per_s)
            ):
                found[kind] = Rate(size / seconds, revision)
    return found


def estimate(
    revision: str,
    took_s: float | None,
    work_bytes: Mapping[str, int | None],
    unknown: str,
    rate_of: Mapping[str, Rate],
) -> Estimate:
    """Estimate one revision.

    `took_s` is the duration of its last run here, `unknown` the part of it that can't be analysed.
    """
    if took_s is not None:
        return Estimate(revision, took_s, "before", "when it last ran here")
    if unknown:
        return Estimate(revision, None, "unknown", f"it runs {unknown}")
    if any(size is None for size in work_bytes.values()):
        return Estimate(revision, None, "unknown", "the size of a table is not known")
    parts = [
        (size, rate_of[kind], "read" if kind == "reads" else "written")
        for kind, size in work_bytes.items()
        if size
    ]
    seconds = sum(size / rate.bytes_per_s for size, rate, _ in parts)
    why = " and ".join(f"{format_size(size)} {verb} at {rate}" for size, rate, verb in parts)
    source = (
        "catalog"
        if not parts
        else "measured"
        if all(rate.measured_by for _, rate, _ in parts)
        else "assumed"
    )
    return Estimate(
        revision,
        seconds,
        source,
        f"will take {_format_duration(seconds)}: {why}" if parts else "changes the catalog only",
    )


def worth_measuring(work_bytes: Iterable[Mapping[str, int | None]]) -> bool:
    """Whether the work takes long enough for a measured rate to matter."""
    return (
        sum(
            (size or 0) / _ASSUMED_RATES[kind] for each in work_bytes for kind, size in each.items()
        )
        >= MEASURABLE_S
    )


def total(estimates: Iterable[Estimate]) -> tuple[float, tuple[str, ...]]:
    """The sum of the known estimates in seconds, and the revisions without one."""
    every = tuple(estimates)
    return sum(each.seconds or 0.0 for each in every), tuple(
        each.revision for each in every if each.seconds is None
    )


def format_total(estimates: Iterable[Estimate]) -> str:
    """All estimates, in one line."""
    every = tuple(estimates)
    seconds, unknown = total(every)
    known = f"expected duration: {_format_duration(seconds)}, and waiting for locks"
    if unknown and len(unknown) == len(every):
        return "expected duration: unknown"
    return f"{known}; without {', '.join(unknown)}, whose duration is unknown" if unknown else known


def _format_duration(seconds: float) -> str:
    """An estimate in one unit, which is as exact as it is."""
    return "less than a second" if seconds < 1 else f"about {format_age(seconds)}"
