"""What an upgrade or a downgrade will lock, on tables of which size, and about how long it will
take: read now, said before it runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ops.core.errors import OpsError
from ops.migrations.plan import MigrationPlan, MigrationTarget
from ops.migrations.rules import declared_relations, durations
from ops.migrations.rules.durations import Estimate, Rate
from ops.migrations.rules.implied_locks import hooks, written
from ops.migrations.rules.statements import Statement, created, readable
from ops.migrations.rules.table_locks import Lock, TableFacts, locks, names, unknown
from ops.postgres import access, table_stats
from ops.postgres.model import Relations
from ops.postgres.table_stats import TableSize


@dataclass(frozen=True)
class Forecast:
    """`unknown`: what in a revision nobody can read from its SQL, by revision; `took_s`: seconds
    when it last ran here.
    """

    locks: tuple[Lock, ...]
    sizes: Mapping[str, TableSize]
    took_s: Mapping[str, float]
    unknown: Mapping[str, str] = field(default_factory=dict)
    estimates: tuple[Estimate, ...] = ()

    def as_document(self) -> dict[str, Any]:
        rows = [{**lock.as_document(), **self.size_of(lock)} for lock in self.locks]
        seconds, untold = durations.total(self.estimates)
        return {
            "locks": rows,
            "locks_unknown": [
                {"revision": revision, "why": why} for revision, why in self.unknown.items()
            ],
            "took_before_s": {revision: round(took, 3) for revision, took in self.took_s.items()},
            "expected_s": None if untold or not self.estimates else round(seconds, 3),
            "expected": [each.as_document() for each in self.estimates],
        }

    def size_of(self, lock: Lock) -> dict[str, Any]:
        size = self.sizes.get(lock.table) or self.sizes.get(lock.index or "")
        return {"rows": size.rows if size else None, "bytes": size.bytes if size else None}

    def as_text(self) -> str:
        lines = []
        for lock in self.locks:
            size = self.sizes.get(lock.table) or self.sizes.get(lock.index or "")
            lines.append(f"{lock.as_text()}{f': {size}' if size else ''}")
        lines += [
            f"{revision} runs {why}: what it locks is not known"
            for revision, why in self.unknown.items()
        ]
        lines += [each.as_text() for each in self.estimates if self.worth_a_line(each)]
        return "\n".join(
            [*lines, durations.describe_estimate(self.estimates)] if self.estimates else lines
        )

    def worth_a_line(self, estimate: Estimate) -> bool:
        named_already = estimate.source == "unknown" and estimate.revision in self.unknown
        return estimate.source != "catalog" and not named_already


def expected(place: MigrationTarget, planned: MigrationPlan) -> Forecast:
    """Read now; what can't be read is left out or said to be unknown, never made up."""
    scripts, dark = {}, {}
    for revision, sql, problem in planned.steps:
        scripts[revision.id] = statements = readable(sql)
        code = "SQL that can't be parsed" if statements is None else unknown(statements)
        python = "Python that reads the database" if problem else ""
        called = planned.called.get(revision.id, ())
        why = ", ".join(filter(None, [code, *called, python]))
        if why:
            dark[revision.id] = why
    wanted = tuple(
        dict.fromkeys(name for each in scripts.values() for name in sorted(names(each or ())))
    )
    try:
        relations = around(place, {each: scripts[each] or () for each in scripts})
        besides = (table for each in relations.values() for table in each.tables)
        wanted = tuple(dict.fromkeys((*wanted, *besides)))
        sizes, took = table_stats.read_sizes(place.door, wanted, tuple(scripts), planned.direction)
    except OpsError:
        return Forecast(
            tuple(lock for each in scripts for lock in locks(each, scripts[each] or ())),
            {},
            {},
            dark,
        )
    made = frozenset(table for each in scripts.values() for table in created(each or ()))
    facts = table_stats.split_sizes(sizes)
    found = {
        each: locks(each, scripts[each] or (), TableFacts(*facts, made, relations[each]))
        for each in scripts
    }
    weights = {
        revision: durations.weights(each, bytes_of(sizes, each)) for revision, each in found.items()
    }
    new = [weight for revision, weight in weights.items() if revision not in took]
    rates = (
        observed_rates(place, planned) if durations.worth_measuring(new) else durations.rates({})
    )
    estimates = (
        durations.estimate(each, took.get(each), weights[each], dark.get(each, ""), rates)
        for each in scripts
    )
    reasons = {each: hooked(scripts[each], relations[each], dark.get(each, "")) for each in scripts}
    unreadable = {revision: text for revision, text in reasons.items() if text}
    every = tuple(lock for each in found.values() for lock in each)
    return Forecast(every, sizes, took, unreadable, tuple(estimates))


def around(
    place: MigrationTarget, scripts: Mapping[str, tuple[Statement, ...]]
) -> dict[str, Relations]:
    """The foreign keys, triggers and rules around the tables that each revision writes."""
    tables = declared_relations.tables(scripts).union(*(written(each) for each in scripts.values()))
    now = access.relations(place.door, tuple(sorted(tables))) if tables else Relations()
    return declared_relations.by_revision(now, scripts)


def hooked(statements: tuple[Statement, ...] | None, relations: Relations, why: str) -> str:
    """`why` a revision's locks are not known, with the triggers and rules that it sets off."""
    return ", ".join(filter(None, [why, *map(str, hooks(statements or (), relations))]))


def bytes_of(sizes: Mapping[str, TableSize], locks: tuple[Lock, ...]) -> dict[str, int]:
    return {
        lock.table: size.bytes
        for lock in locks
        if (size := sizes.get(lock.table) or sizes.get(lock.index or ""))
    }


def observed_rates(place: MigrationTarget, planned: MigrationPlan) -> dict[str, Rate]:
    """The rates that this database's audit shows: of applied revisions that took a while, their
    tables as they are now.
    """
    door, scripts = place.door, planned.scripts
    earlier: dict[str, tuple[Statement, ...]] = {}
    try:
        seconds = table_stats.slow_revisions(door, durations.MEASURABLE_S)
        with access.translate_errors(door.target):
            applied = scripts.applied(tuple(planned.at.split(",")) if planned.at else ())
            for revision in seconds.keys() & applied.keys():
                ((_, sql, problem),) = scripts.sql("upgrade", revision, scripts.before(revision))
                earlier[revision] = () if problem else readable(sql) or ()
        sizes, _ = table_stats.read_sizes(
            door, tuple({name for each in earlier.values() for name in names(each)}), (), "upgrade"
        )
    except OpsError:
        return durations.rates({})
    known = TableFacts(*table_stats.split_sizes(sizes))
    held = {revision: locks(revision, each, known) for revision, each in earlier.items()}
    return durations.rates(
        {
            each: (seconds[each], durations.weights(held[each], bytes_of(sizes, held[each])))
            for each in held
        }
    )
