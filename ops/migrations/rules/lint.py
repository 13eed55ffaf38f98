"""Problems in a revision's SQL: squawk's findings with our levels, and our own rules.

An `error` stops the upgrade of a protected environment, unless the revision waives the rule by
name, with a reason. Squawk reports every problem as a warning; the rules that break or lock out a
running application are errors here. Timeouts and robust statements are left to the engine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from ops.migrations.rules.data_loss import UNWRITTEN
from ops.migrations.rules.statements import (
    Statement,
    Unparsable,
    created_tables,
    dropped_indexes,
    is_concurrent,
    is_concurrent_detach,
    is_same_relation,
    matches_every_row,
    parse,
    prepared_transactions,
    transaction_control,
    try_parse,
)
from ops.migrator.model import ID_LIMIT

_IGNORED = (
    "require-lock-timeout",
    "require-statement-timeout",
    "require-timeout-settings",
    "prefer-robust-stmts",
    "prefer-text-field",
    "transaction-nesting",
)  # our `transaction-control` knows which BEGIN and COMMIT are Alembic's
_BLOCKING = frozenset(
    {
        "adding-field-with-default",
        "adding-foreign-key-constraint",
        "adding-not-nullable-field",
        "adding-required-field",
        "adding-serial-primary-key-field",
        "ban-alter-domain-with-add-constraint",
        "ban-char-field-required",
        "ban-concurrent-index-creation-in-transaction",
        "ban-drop-column",
        "ban-drop-database",
        "ban-drop-table",
        "ban-truncate-cascade",
        "changing-column-type",
        "constraint-missing-not-valid",
        "disallowed-unique-constraint",
        "renaming-column",
        "renaming-table",
        "require-concurrent-index-creation",
        "require-concurrent-index-deletion",
        "syntax-error",
    }
)
_ALLOWED_IN_CONTRACT = frozenset(
    {"ban-drop-column", "ban-drop-table", "ban-drop-not-null"}
)  # the purpose of a contract revision
_NO_TRANSACTION_CONTROL = (
    "a revision is one transaction: without COMMIT and the like, or in "
    "op.get_context().autocommit_block()"
)
_DETACH_LEFT_PENDING = (
    "detach-left-pending",
    "warning",
    "after a lock timeout the partition stays pending detach, half in its table: the next run "
    "finalizes it (DETACH PARTITION … FINALIZE)",
)
_INDEX_ON_PARTITIONED = (
    "concurrent-index-on-partitioned",
    "error",
    "PostgreSQL refuses it on a partitioned table: CREATE INDEX … ON ONLY the table, CREATE INDEX "
    "CONCURRENTLY on each partition, then ALTER INDEX … ATTACH PARTITION",
)
_DROP_OF_PARTITIONED = (
    "concurrent-drop-of-partitioned-index",
    "error",
    "PostgreSQL refuses it for the index of a partitioned table: DROP INDEX without CONCURRENTLY, "
    "which locks the table and its partitions for a moment",
)
_LEFT_PREPARED = (
    "prepared-transaction",
    "error",
    "it stays prepared, with its locks, after the revision is recorded: COMMIT instead",
)
_DROPPING_COMMANDS = ("AT_DropColumn", "AT_AlterColumnType")


@dataclass(frozen=True)
class LintProblem:
    """One finding in a revision.

    `level` is error or warning, `line` counts from 1 in the revision's SQL, `waived` is the
    revision's reason for a waiver.
    """

    revision: str
    rule: str
    level: str
    line: int
    sql: str
    advice: str
    waived: str | None = None

    @property
    def blocks(self) -> bool:
        return self.level == "error" and self.waived is None

    def as_document(self) -> dict[str, Any]:
        return vars(self).copy()

    def as_text(self) -> str:
        end = f" (waived: {self.waived})" if self.waived else f": {self.advice}"
        return f"{self.revision}:{self.line} {self.level} {self.rule}{end}"


@dataclass(frozen=True)
class RevisionScript:
    """One revision to lint.

    `problem` is why its SQL can't be printed, `downgrade_problem` the same for its downgrade.
    """

    revision: str
    sql: str
    phase: str = ""
    waive: Mapping[str, str] | None = None
    problem: str | None = None
    downgrade_problem: str | None = None


def problems(
    script: RevisionScript,
    from_squawk: tuple[LintProblem, ...],
    partitioned: frozenset[str] = frozenset(),
) -> tuple[LintProblem, ...]:
    """All findings of one revision, its waivers applied; an unused waiver is a finding too.

    `partitioned`: the known partitioned tables and their indexes.
    """
    rows = _without_refused_advice(script, from_squawk, partitioned)
    found = [*_classify(script, rows), *_own_problems(script, partitioned)]
    waive = script.waive or {}
    all_found = [
        replace(each, waived=waive[each.rule]) if each.rule in waive else each for each in found
    ]
    unused = sorted(set(waive) - {each.rule for each in found})
    return tuple(
        sorted(
            [*all_found, *(_unused_waiver(script, rule) for rule in unused)],
            key=lambda each: each.line,
        )
    )


def format_problems(found: Iterable[LintProblem]) -> Iterator[str]:
    """One line per problem; squawk's long advice is printed once per rule."""
    printed: set[str] = set()
    for each in found:
        yield (replace(each, advice="as above") if each.advice in printed else each).as_text()
        printed |= {each.advice} if each.waived is None else set()


def _unused_waiver(script: RevisionScript, rule: str) -> LintProblem:
    advice = f"{rule} is waived, but has no finding: correct the name, or remove the waiver"
    return LintProblem(script.revision, "unused-waiver", "warning", 1, "", advice)


def _classify(script: RevisionScript, found: tuple[LintProblem, ...]) -> Iterator[LintProblem]:
    for each in found:
        # the SQL of a revision that can't be printed ends before Alembic's COMMIT
        ours = each.rule == "ban-uncommitted-transaction" and script.problem
        if (
            not ours
            and each.rule not in _IGNORED
            and not (script.phase == "contract" and each.rule in _ALLOWED_IN_CONTRACT)
        ):
            yield replace(each, level="error" if each.rule in _BLOCKING else "warning")


def _without_refused_advice(
    script: RevisionScript, found: tuple[LintProblem, ...], partitioned: frozenset[str]
) -> tuple[LintProblem, ...]:
    """Leave out squawk's advice to add CONCURRENTLY where PostgreSQL refuses it.

    On a partitioned table DROP INDEX and CREATE INDEX … ON ONLY are the only ways.
    """
    required: dict[str, Callable[[Statement], tuple[str, ...]]] = {
        "require-concurrent-index-deletion": dropped_indexes,
        "require-concurrent-index-creation": lambda each: (
            each.tables if each.kind == "IndexStmt" and not each.tree.relation.inh else ()
        ),
    }
    if not partitioned or not {each.rule for each in found} & set(required):
        return found
    exempt = {
        (rule, each.line)
        for rule, names in required.items()
        for each in try_parse(script.sql) or ()
        if _any_same(names(each), partitioned)
    }
    return tuple(each for each in found if (each.rule, each.line) not in exempt)


def _own_problems(script: RevisionScript, partitioned: frozenset[str]) -> Iterator[LintProblem]:
    """The findings of our own rules."""
    if len(script.revision) > ID_LIMIT:
        advice = f"alembic_version takes {ID_LIMIT} characters: give it a shorter id"
        yield LintProblem(script.revision, "revision-id-too-long", "error", 1, "", advice)
    if (script.downgrade_problem or "").startswith(UNWRITTEN):
        yield LintProblem(
            script.revision,
            "missing-downgrade",
            "error",
            1,
            "",
            "write its downgrade(): every revision needs one",
        )
    if (script.problem or "").startswith(UNWRITTEN):
        yield LintProblem(script.revision, "missing-upgrade", "error", 1, "", "write its upgrade()")
    elif (script.problem or "").startswith("UnicodeDecodeError"):
        advice = f"its SQL file is not UTF-8 ({script.problem}): convert it by iconv -t utf-8"
        yield LintProblem(script.revision, "not-utf8", "error", 1, "", advice)
    elif script.problem:
        advice = (
            f"its SQL is only known by running it ({script.problem}): the rest of it is not linted"
        )
        yield LintProblem(script.revision, "unprintable", "warning", 1, "", advice)
    try:
        statements = parse(script.sql)
    except Unparsable as why:
        yield LintProblem(script.revision, "syntax-error", "error", why.line, "", str(why))
        return
    new = created_tables(statements)
    for statement in statements:
        if not statement.tables or not set(statement.tables) <= new:
            yield from _statement_problems(script, statement)
    yield from _not_alone(script, statements)
    yield from _half_done(script, statements, partitioned)
    refused = tuple(transaction_control(script.sql))
    for statement in prepared_transactions(script.sql):
        if statement not in refused:
            yield _problem(script, statement, *_LEFT_PREPARED)
    for statement in refused:
        yield LintProblem(
            script.revision,
            "transaction-control",
            "error",
            statement.line,
            statement.sql,
            _NO_TRANSACTION_CONTROL,
        )


def _statement_problems(script: RevisionScript, statement: Statement) -> Iterator[LintProblem]:
    for rule, level, is_broken, advice in _RULES:
        if is_broken(statement.tree, statement.kind):
            yield LintProblem(script.revision, rule, level, statement.line, statement.sql, advice)
    if script.phase == "expand" and _drops(statement):
        advice = (
            "an expand revision only adds: drop what old code uses in a later one (phase contract)"
        )
        yield LintProblem(
            script.revision, "contract-in-expand", "error", statement.line, statement.sql, advice
        )


def _not_alone(script: RevisionScript, statements: tuple[Statement, ...]) -> Iterator[LintProblem]:
    """Findings for statements that must be alone in their revision."""
    for statement in statements if len(statements) > 1 else ():
        if is_concurrent(statement):
            advice = (
                "CONCURRENTLY must be alone in its revision: statements before it are committed, "
                "and run again after a failure"
            )
            yield LintProblem(
                script.revision,
                "concurrently-not-alone",
                "error",
                statement.line,
                statement.sql,
                advice,
            )
        if statement.kind == "AlterEnumStmt" and not statement.tree.oldVal:
            advice = (
                "a new enum value can't be used in the transaction that adds it: add it in a "
                "revision of its own"
            )
            yield LintProblem(
                script.revision,
                "enum-value-not-alone",
                "error",
                statement.line,
                statement.sql,
                advice,
            )


def _half_done(
    script: RevisionScript, statements: tuple[Statement, ...], partitioned: frozenset[str]
) -> Iterator[LintProblem]:
    """Findings for what CONCURRENTLY can leave half done, or can't do at all."""
    for each in statements:
        concurrent_index = each.kind == "IndexStmt" and each.tree.concurrent
        if is_concurrent_detach(each):
            yield _problem(script, each, *_DETACH_LEFT_PENDING)
        elif concurrent_index and _any_same(each.tables, partitioned):
            yield _problem(script, each, *_INDEX_ON_PARTITIONED)
        elif is_concurrent(each) and _any_same(dropped_indexes(each), partitioned):
            yield _problem(script, each, *_DROP_OF_PARTITIONED)


def _problem(
    script: RevisionScript, statement: Statement, rule: str, level: str, advice: str
) -> LintProblem:
    return LintProblem(script.revision, rule, level, statement.line, statement.sql, advice)


def _any_same(names: Iterable[str], others: Iterable[str]) -> bool:
    return any(is_same_relation(*pair) for pair in product(names, others))


def _drops(statement: Statement) -> bool:
    tree = statement.tree
    if statement.kind == "AlterTableStmt":
        return any(command.subtype.name in _DROPPING_COMMANDS for command in tree.cmds or ())
    return statement.kind == "RenameStmt" or (
        statement.kind == "DropStmt" and tree.removeType.name == "OBJECT_TABLE"
    )


def _writes_whole_table(tree: Any, kind: str) -> bool:
    return kind in ("UpdateStmt", "DeleteStmt") and matches_every_row(tree.whereClause)


def _is_full_vacuum(tree: Any, kind: str) -> bool:
    return kind == "VacuumStmt" and any(option.defname == "full" for option in tree.options or ())


def _is_drop_cascade(tree: Any, kind: str) -> bool:
    return (
        kind in ("DropStmt", "TruncateStmt")
        and getattr(tree, "behavior", None) is not None
        and tree.behavior.name == "DROP_CASCADE"
    )


_RULES: tuple[tuple[str, str, Callable[[Any, str], bool], str], ...] = (
    (
        "whole-table-write",
        "error",
        _writes_whole_table,
        "it locks every row in one transaction: write in batches, outside of the deploy",
    ),
    (
        "truncate",
        "error",
        lambda tree, kind: kind == "TruncateStmt",
        "every row is lost, and all other sessions are locked out of the table",
    ),
    (
        "lock-table",
        "error",
        lambda tree, kind: kind == "LockStmt",
        "every other session waits: let each statement take its own lock",
    ),
    (
        "vacuum-full",
        "error",
        _is_full_vacuum,
        "it rewrites the table under ACCESS EXCLUSIVE: use VACUUM, or pg_repack",
    ),
    (
        "cluster",
        "error",
        lambda tree, kind: kind == "ClusterStmt",
        "it rewrites the table under ACCESS EXCLUSIVE: use pg_repack",
    ),
    (
        "drop-cascade",
        "error",
        _is_drop_cascade,
        "CASCADE drops objects that are not named: name them",
    ),
)
