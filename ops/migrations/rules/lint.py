"""What is dangerous in a revision's SQL: squawk's findings, weighed, and our own for what squawk
does not look at.

`error` stops the upgrade of a protected environment, unless the revision waives the rule by name,
with a reason. Squawk calls everything a warning; which of its rules break a running application or
lock it out is said here. Timeouts and robust statements are the engine's job."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ops.migrations.rules.data_loss import UNWRITTEN
from ops.migrations.rules.statements import (
    Statement,
    Unparsable,
    always,
    created,
    parsed,
    transaction_control,
)

IGNORED = (
    "require-lock-timeout",
    "require-statement-timeout",
    "require-timeout-settings",
    "prefer-robust-stmts",
    "prefer-text-field",
    "transaction-nesting",
)  # `transaction-control` knows which BEGIN and COMMIT are Alembic's
BLOCKING = frozenset(
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
CONTRACT = frozenset(
    {"ban-drop-column", "ban-drop-table", "ban-drop-not-null"}
)  # what a contract revision is for
CONTROL = (
    "a revision is one transaction: without COMMIT and the like, or in "
    "op.get_context().autocommit_block()"
)
DROPS = ("AT_DropColumn", "AT_AlterColumnType")


@dataclass(frozen=True)
class LintProblem:
    """One finding. `level`: error or warning; `line` counts from 1 in the revision's SQL; `waived`:
    the revision's reason.
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
        said = f" (waived: {self.waived})" if self.waived else f": {self.advice}"
        return f"{self.revision}:{self.line} {self.level} {self.rule}{said}"


@dataclass(frozen=True)
class RevisionScript:
    """One revision as it is looked at. `problem`: why its SQL can't be printed; `back`: the same of
    its downgrade.
    """

    revision: str
    sql: str
    phase: str = ""
    waive: Mapping[str, str] | None = None
    problem: str | None = None
    back: str | None = None


def problems(
    script: RevisionScript, from_squawk: tuple[LintProblem, ...]
) -> tuple[LintProblem, ...]:
    """Every finding of one revision, its waivers applied; a waiver that waives nothing is a finding
    too.
    """
    found = [*classify(script, from_squawk), *own(script)]
    waive = script.waive or {}
    said = [
        replace(each, waived=waive[each.rule]) if each.rule in waive else each for each in found
    ]
    unused = sorted(set(waive) - {each.rule for each in found})
    return tuple(
        sorted(
            [*said, *(unused_waivers(script, rule) for rule in unused)], key=lambda each: each.line
        )
    )


def texts(found: Iterable[LintProblem]) -> Iterator[str]:
    """A line each; squawk's advice is long, and is given once."""
    given: set[str] = set()
    for each in found:
        yield (replace(each, advice="as above") if each.advice in given else each).as_text()
        given |= {each.advice} if each.waived is None else set()


def unused_waivers(script: RevisionScript, rule: str) -> LintProblem:
    advice = f"{rule} is waived, and nothing breaks it: correct the name, or take it out"
    return LintProblem(script.revision, "unused-waiver", "warning", 1, "", advice)


def classify(script: RevisionScript, found: tuple[LintProblem, ...]) -> Iterator[LintProblem]:
    for each in found:
        ours = (
            each.rule == "ban-uncommitted-transaction" and script.problem
        )  # what can't be printed has no COMMIT after it
        if (
            not ours
            and each.rule not in IGNORED
            and not (script.phase == "contract" and each.rule in CONTRACT)
        ):
            yield replace(each, level="error" if each.rule in BLOCKING else "warning")


def own(script: RevisionScript) -> Iterator[LintProblem]:
    """What squawk does not look at."""
    if (script.back or "").startswith(UNWRITTEN):
        yield LintProblem(
            script.revision,
            "missing-downgrade",
            "error",
            1,
            "",
            "write its downgrade(): there must be a way back",
        )
    if (script.problem or "").startswith(UNWRITTEN):
        yield LintProblem(script.revision, "missing-upgrade", "error", 1, "", "write its upgrade()")
    elif script.problem:
        advice = (
            f"its SQL can't be printed without a database ({script.problem}): the rest of it "
            f"is not linted"
        )
        yield LintProblem(script.revision, "unprintable", "warning", 1, "", advice)
    try:
        statements = parsed(script.sql)
    except Unparsable as why:
        yield LintProblem(script.revision, "syntax-error", "error", 1, "", str(why))
        return
    new = created(statements)
    for statement in statements:
        if not statement.tables or not set(statement.tables) <= new:
            yield from of_statement(script, statement)
    yield from of_whole(script, statements)
    for statement in transaction_control(script.sql):
        yield LintProblem(
            script.revision, "transaction-control", "error", statement.line, statement.sql, CONTROL
        )


def of_statement(script: RevisionScript, statement: Statement) -> Iterator[LintProblem]:
    for rule, level, broken, advice in RULES:
        if broken(statement.tree, statement.kind):
            yield LintProblem(script.revision, rule, level, statement.line, statement.sql, advice)
    if script.phase == "expand" and drops(statement):
        advice = (
            "an expand revision only adds: what old code uses goes in a later one (phase contract)"
        )
        yield LintProblem(
            script.revision, "contract-in-expand", "error", statement.line, statement.sql, advice
        )


def of_whole(script: RevisionScript, statements: tuple[Statement, ...]) -> Iterator[LintProblem]:
    """Statements that do not bear company."""
    for statement in statements if len(statements) > 1 else ():
        if getattr(statement.tree, "concurrent", False):
            advice = (
                "CONCURRENTLY stands alone in its revision: what runs before it is committed, "
                "and runs again after a failure"
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
                "a new enum value can't be used in the transaction that adds it: a revision of "
                "its own"
            )
            yield LintProblem(
                script.revision,
                "enum-value-not-alone",
                "error",
                statement.line,
                statement.sql,
                advice,
            )


def drops(statement: Statement) -> bool:
    tree = statement.tree
    if statement.kind == "AlterTableStmt":
        return any(command.subtype.name in DROPS for command in tree.cmds or ())
    return statement.kind == "RenameStmt" or (
        statement.kind == "DropStmt" and tree.removeType.name == "OBJECT_TABLE"
    )


def whole_table(tree: Any, kind: str) -> bool:
    return kind in ("UpdateStmt", "DeleteStmt") and always(tree.whereClause)


def full_vacuum(tree: Any, kind: str) -> bool:
    return kind == "VacuumStmt" and any(option.defname == "full" for option in tree.options or ())


def cascades(tree: Any, kind: str) -> bool:
    return (
        kind in ("DropStmt", "TruncateStmt")
        and getattr(tree, "behavior", None) is not None
        and tree.behavior.name == "DROP_CASCADE"
    )


RULES: tuple[tuple[str, str, Callable[[Any, str], bool], str], ...] = (
    (
        "whole-table-write",
        "error",
        whole_table,
        "it locks every row in one transaction: write in batches, outside of the deploy",
    ),
    (
        "truncate",
        "error",
        lambda tree, kind: kind == "TruncateStmt",
        "every row is lost, and the table is locked for everybody",
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
        full_vacuum,
        "it writes the table anew under ACCESS EXCLUSIVE: use VACUUM, or pg_repack",
    ),
    (
        "cluster",
        "error",
        lambda tree, kind: kind == "ClusterStmt",
        "it writes the table anew under ACCESS EXCLUSIVE: use pg_repack",
    ),
    ("drop-cascade", "error", cascades, "CASCADE takes along what is not named: name it"),
)
