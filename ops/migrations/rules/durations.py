"""How long a migration will take, as an order of size, and from what that is told: nothing here is
made up silently.

What a revision took before in this database is the best guess. For one that never ran here, bytes
of the tables that it reads or writes as a whole, at the rate that earlier revisions showed here;
where none says it, at the rates below, which are stated as assumed. They are modest: an RDS gp3
volume gives 125 MB/s, a rewrite reads, writes, logs and builds the indexes. Waiting for locks is
not in it. A revision that reads or writes no table as a whole changes the catalog only: moments.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ops.core.text import format_age, format_size
from ops.migrations.rules.table_locks import Lock

MB = 2**20
ASSUMED = {
    "reads": 100.0 * MB,
    "writes": 20.0 * MB,
}  # bytes a second, of the table with its indexes
CLASS = {"reads": "reads", "reindexes": "reads", "writes": "writes", "rewrites": "writes"}
MEASURABLE_S, MEASURABLE_BYTES = (
    1.0,
    16 * MB,
)  # below either, the rest of a revision is more than its bytes


@dataclass(frozen=True)
class Rate:
    """Bytes a second; `by`: the revision that showed it here, None: assumed."""

    bytes_per_s: float
    by: str | None = None

    def __str__(self) -> str:
        speed = f"{max(self.bytes_per_s / MB, 0.1):.{0 if self.bytes_per_s >= MB else 1}f} MB/s"
        return f"{speed}, as {self.by} did here" if self.by else f"an assumed {speed}"


@dataclass(frozen=True)
class Estimate:
    """One revision's. `seconds` None: not known, `why` says it. `source`: before, measured,
    assumed, catalog or unknown.
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
            return f"{self.revision}: how long it takes is not known: {self.why}"
        return (
            f"{self.revision} took {self.seconds:.2f} s {self.why}"
            if self.source == "before"
            else f"{self.revision} {self.why}"
        )


def weights(locks: Iterable[Lock], sizes: Mapping[str, int]) -> dict[str, int | None]:
    """Bytes that are read and that are written as a whole, by class of work; None where a table's
    size is not known.
    """
    found: dict[str, int | None] = {}
    for lock in locks:
        if lock.work:
            before, size = found.get(CLASS[lock.work], 0), sizes.get(lock.table)
            found[CLASS[lock.work]] = None if before is None or size is None else before + size
    return found


def rates(earlier: Mapping[str, tuple[float, Mapping[str, int | None]]]) -> dict[str, Rate]:
    """What earlier revisions (seconds, and their weights on the tables as they are now) show; the
    assumed rate where none does.

    Of several, the slowest: a table has grown since, and a short guess is the worse one.
    """
    found = {kind: Rate(rate) for kind, rate in ASSUMED.items()}
    for revision, (seconds, weight) in earlier.items():
        if len(weight) == 1 and seconds >= MEASURABLE_S:
            ((kind, size),) = weight.items()
            if (
                size is not None
                and size >= MEASURABLE_BYTES
                and (found[kind].by is None or size / seconds < found[kind].bytes_per_s)
            ):
                found[kind] = Rate(size / seconds, revision)
    return found


def estimate(
    revision: str,
    took_s: float | None,
    weight: Mapping[str, int | None],
    unknown: str,
    by: Mapping[str, Rate],
) -> Estimate:
    """`took_s`: when it last ran here; `unknown`: what in it nobody can read."""
    if took_s is not None:
        return Estimate(revision, took_s, "before", "when it last ran here")
    if unknown:
        return Estimate(revision, None, "unknown", f"it runs {unknown}")
    if any(size is None for size in weight.values()):
        return Estimate(revision, None, "unknown", "the size of a table is not")
    parts = [
        (size, by[kind], "read" if kind == "reads" else "written")
        for kind, size in weight.items()
        if size
    ]
    seconds = sum(size / rate.bytes_per_s for size, rate, _ in parts)
    why = " and ".join(f"{format_size(size)} {done} at {rate}" for size, rate, done in parts)
    source = (
        "catalog"
        if not parts
        else "measured"
        if all(rate.by for _, rate, _ in parts)
        else "assumed"
    )
    return Estimate(
        revision,
        seconds,
        source,
        f"will take {format_span(seconds)}: {why}" if parts else "changes the catalog only",
    )


def worth_measuring(weight: Iterable[Mapping[str, int | None]]) -> bool:
    """Whether there is enough to do that a measured rate says more than an assumed one."""
    return (
        sum((size or 0) / ASSUMED[kind] for each in weight for kind, size in each.items())
        >= MEASURABLE_S
    )


def total(estimates: Iterable[Estimate]) -> tuple[float, tuple[str, ...]]:
    """Seconds of all that is known, and the revisions of which it is not."""
    every = tuple(estimates)
    return sum(each.seconds or 0.0 for each in every), tuple(
        each.revision for each in every if each.seconds is None
    )


def describe_estimate(estimates: Iterable[Estimate]) -> str:
    """All of them in a line."""
    every = tuple(estimates)
    seconds, unknown = total(every)
    known = f"expected duration: {format_span(seconds)}, and waiting for locks"
    if unknown and len(unknown) == len(every):
        return "expected duration: not known"
    return f"{known}; without {', '.join(unknown)}, which nobody can tell" if unknown else known


def format_span(seconds: float) -> str:
    """An estimate, which is never more exact than its unit."""
    return "less than a second" if seconds < 1 else f"about {format_age(seconds)}"
