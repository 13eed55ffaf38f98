"""Forecast a migration's locks, the sizes of the locked tables, and about how long it takes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ops.core.errors import OpsError
from ops.migrations.plan import MigrationPlan
from ops.migrations.rules import declared_relations, durations
from ops.migrations.rules.durations import Estimate, Rate
from ops.migrations.rules.implied_locks import hooks, written_tables
from ops.migrations.rules.statements import Statement, created_tables, try_parse
from ops.migrations.rules.table_locks import Lock, TableFacts, locks, relation_names, unknown_locks
from ops.migrations.target import MigrationTarget
from ops.postgres import access, table_stats
from ops.postgres.model import Relations
from ops.postgres.table_stats import TableSize


@dataclass(frozen=True)
class Forecast:
    """The expected locks and durations of a plan.

    `sizes` are by table, the rest by revision: `took_s` the duration of its last run here in
    seconds, `unknown` the part of it whose locks can't be derived from the SQL.
    """

    locks: tuple[Lock, ...]
    sizes: Mapping[str, TableSize]
    took_s: Mapping[str, float]
    unknown: Mapping[str, str] = field(default_factory=dict)
    estimates: tuple[Estimate, ...] = ()

    def as_document(self) -> dict[str, Any]:
        rows = [{**lock.as_document(), **self._size_fields(lock)} for lock in self.locks]
        seconds, without = durations.total(self.estimates)
        return {
            "locks": rows,
            "locks_unknown": [
                {"revision": revision, "why": why} for revision, why in self.unknown.items()
            ],
            "took_before_s": {revision: round(took, 3) for revision, took in self.took_s.items()},
            "expected_s": None if without or not self.estimates else round(seconds, 3),
            "expected": [each.as_document() for each in self.estimates],
        }

    def _size(self, lock: Lock) -> TableSize | None:
        return self.sizes.get(lock.table) or self.sizes.get(lock.index or "")

    def _size_fields(self, lock: Lock) -> dict[str, Any]:
        size = self._size(lock)
        return {"rows": size.rows if size else None, "bytes": size.bytes if size else None}

    def as_text(self) -> str:
        lines = []
        for lock in self.locks:
            size = self._size(lock)
            lines.append(f"{lock.as_text()}{f': {size}' if size else ''}")
        lines += [
            f"{revision} runs {why}: its locks are unknown"
            for revision, why in self.unknown.items()
        ]
        lines += [each.as_text() for each in self.estimates if self._is_worth_a_line(each)]
        return "\n".join(
            [*lines, durations.format_total(self.estimates)] if self.estimates else lines
        )

    def _is_worth_a_line(self, estimate: Estimate) -> bool:
        named_already = estimate.source == "unknown" and estimate.revision in self.unknown
        return estimate.source != "catalog" and not named_already


def forecast(target: MigrationTarget, plan: MigrationPlan) -> Forecast:
    """Forecast a plan from the tables' facts; what can't be read is left out, or unknown."""
    scripts = {each.revision.id: try_parse(each.sql) for each in plan.revisions}
    unparsable = dict(_unknown_parts(plan))
    try:
        relations = _read_relations(target, {each: scripts[each] or () for each in scripts})
        sizes, took = table_stats.read_sizes(
            target.database,
            _named_tables(scripts.values(), relations.values()),
            tuple(scripts),
            plan.direction,
        )
    except OpsError:
        return Forecast(
            tuple(lock for each in scripts for lock in locks(each, scripts[each] or ())),
            {},
            {},
            unparsable,
        )
    new = frozenset(table for each in scripts.values() for table in created_tables(each or ()))
    facts = table_stats.split_sizes(sizes)
    found = {
        each: locks(each, scripts[each] or (), TableFacts(*facts, new, relations[each]))
        for each in scripts
    }
    reasons = {
        each: _with_hooks(scripts[each], relations[each], unparsable.get(each, ""))
        for each in scripts
    }
    return Forecast(
        tuple(lock for each in found.values() for lock in each),
        sizes,
        took,
        {revision: text for revision, text in reasons.items() if text},
        tuple(_estimates(target, plan, found, sizes, took, unparsable)),
    )


def _unknown_parts(plan: MigrationPlan) -> Iterator[tuple[str, str]]:
    """(revision, the parts of it whose effects its SQL does not show) of such revisions."""
    for each in plan.revisions:
        statements = try_parse(each.sql)
        code = "SQL that can't be parsed" if statements is None else unknown_locks(statements)
        python = "Python whose SQL is only known by running it" if each.problem else ""
        called = plan.called.get(each.revision.id, ())
        if parts := ", ".join(filter(None, [code, *called, python])):
            yield each.revision.id, parts


def _named_tables(
    scripts: Iterable[tuple[Statement, ...] | None], relations: Iterable[Relations]
) -> tuple[str, ...]:
    """The tables and indexes of which facts are needed, each once."""
    named = [name for each in scripts for name in sorted(relation_names(each or ()))]
    related = [table for each in relations for table in each.tables]
    return tuple(dict.fromkeys([*named, *related]))


def _estimates(
    target: MigrationTarget,
    plan: MigrationPlan,
    found: Mapping[str, tuple[Lock, ...]],
    sizes: Mapping[str, TableSize],
    took: Mapping[str, float],
    unparsable: Mapping[str, str],
) -> Iterator[Estimate]:
    work = {
        revision: durations.bytes_by_work(each, _table_bytes(sizes, each))
        for revision, each in found.items()
    }
    new = [each for revision, each in work.items() if revision not in took]
    rates = _observed_rates(target, plan) if durations.worth_measuring(new) else durations.rates({})
    for each in found:
        yield durations.estimate(each, took.get(each), work[each], unparsable.get(each, ""), rates)


def _read_relations(
    target: MigrationTarget, scripts: Mapping[str, tuple[Statement, ...]]
) -> dict[str, Relations]:
    """The foreign keys, triggers and rules of the tables that each revision writes."""
    tables = declared_relations.declared_tables(scripts).union(
        *(written_tables(each) for each in scripts.values())
    )
    now = access.relations(target.database, tuple(sorted(tables))) if tables else Relations()
    return declared_relations.relations_by_revision(now, scripts)


def _with_hooks(statements: tuple[Statement, ...] | None, relations: Relations, why: str) -> str:
    """`why` a revision's locks are unknown, with the triggers and rules that run with it."""
    return ", ".join(filter(None, [why, *map(str, hooks(statements or (), relations))]))


def _table_bytes(sizes: Mapping[str, TableSize], locks: tuple[Lock, ...]) -> dict[str, int]:
    return {
        lock.table: size.bytes
        for lock in locks
        if (size := sizes.get(lock.table) or sizes.get(lock.index or ""))
    }


def _observed_rates(target: MigrationTarget, plan: MigrationPlan) -> dict[str, Rate]:
    """The rates of slow revisions that were applied here, by their tables' current sizes."""
    database, scripts = target.database, plan.scripts
    earlier: dict[str, tuple[Statement, ...]] = {}
    try:
        seconds = table_stats.slow_revisions(database, durations.MEASURABLE_S)
        with access.translate_errors(database.target):
            applied = scripts.applied(access.split_heads(plan.at))
            for revision in seconds.keys() & applied.keys():
                sql, problem = scripts.sql_of(revision)
                earlier[revision] = () if problem else try_parse(sql) or ()
        names = {name for each in earlier.values() for name in relation_names(each)}
        sizes, _ = table_stats.read_sizes(database, tuple(names), (), "upgrade")
    except OpsError:
        return durations.rates({})
    facts = TableFacts(*table_stats.split_sizes(sizes))
    taken = {revision: locks(revision, each, facts) for revision, each in earlier.items()}
    return durations.rates(
        {
            each: (
                seconds[each],
                durations.bytes_by_work(taken[each], _table_bytes(sizes, taken[each])),
            )
            for each in taken
        }
    )
