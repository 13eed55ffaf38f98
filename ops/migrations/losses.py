"""Count the rows that a migration's revisions would delete, by asking the database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ops.migrations.rules import called_code, cascades, data_loss, declared_relations
from ops.migrations.rules.data_loss import Loss
from ops.migrations.rules.implied_locks import written_tables
from ops.migrations.rules.statements import try_parse
from ops.postgres import access, table_stats
from ops.postgres.access import DatabaseAccess, Revision


@dataclass(frozen=True)
class PlannedRevision:
    """A revision to run, with its SQL.

    `problem` is why (the rest of) its SQL can't be printed without a database.
    """

    revision: Revision
    sql: str
    problem: str | None = None

    @property
    def unwritten(self) -> bool:
        """Whether the template's function body was never filled in: running it is refused."""
        return (self.problem or "").startswith(data_loss.UNWRITTEN)


def counted_losses(
    database: DatabaseAccess, revisions: tuple[PlannedRevision, ...]
) -> tuple[Loss, ...]:
    """What these revisions drop, with the rows that it has now, and what foreign keys add to it.

    Tables and columns that only the plan itself creates are left out.
    """
    found: list[Loss] = []
    for each in revisions:
        if data_loss.may_drop(each.sql) or (each.problem and not each.unwritten):
            unreadable = None if each.unwritten else each.problem
            found += data_loss.losses(each.revision.id, access.statements(each.sql), unreadable)
    if not found:
        return ()
    answers = table_stats.count(database, tuple(loss.query for loss in found))
    new_names = data_loss.renamed_to(
        statement
        for each in revisions
        if "RENAME" in each.sql.upper()
        for statement in access.statements(each.sql)
    )
    existing = [
        loss.with_rows(answer.rows, answer.why)
        for loss, answer in zip(found, answers, strict=True)
        if answer != table_stats.ABSENT or not data_loss.created_by_plan(loss, new_names)
    ]
    return _with_cascades(database, existing, {each.revision.id: each.sql for each in revisions})


def losses_by_code(
    database: DatabaseAccess, revisions: tuple[PlannedRevision, ...]
) -> tuple[tuple[Loss, ...], dict[str, tuple[str, ...]]]:
    """The losses by functions, triggers and rules that run; and the functions, by revision."""
    scripts = {each.revision.id: try_parse(each.sql) or () for each in revisions}
    every = [statement for statements in scripts.values() for statement in statements]
    tables = declared_relations.declared_tables(scripts) | written_tables(tuple(every))
    runs_code = any(
        statement.kind == "DoStmt" or any(True for _ in called_code.calls(statement))
        for statement in every
    )
    if not tables and not runs_code:
        return (), {}
    relations = access.relations(database, tuple(sorted(tables)))
    by_revision = declared_relations.relations_by_revision(relations, scripts)
    built_in, stored = access.functions(database)
    functions = called_code.KnownFunctions.of(
        built_in, (*stored, *called_code.declared_functions(every))
    )
    found = [
        loss
        for revision, statements in scripts.items()
        for loss in called_code.code_losses(revision, statements, functions, by_revision[revision])
    ]
    called = {
        revision: called_code.opaque_functions(statements, functions)
        for revision, statements in scripts.items()
    }
    return tuple(dict.fromkeys(found)), called


def _with_cascades(
    database: DatabaseAccess, losses: list[Loss], sql: Mapping[str, str]
) -> tuple[Loss, ...]:
    """The losses, each followed by those that its foreign keys cause, with triggers considered."""
    tables = tuple(dict.fromkeys(loss.removal.table for loss in losses if loss.removal))
    if not tables:
        return tuple(losses)
    scripts = {revision: try_parse(text) or () for revision, text in sql.items()}
    relations = access.relations(
        database, (*tables, *sorted(declared_relations.declared_tables(scripts)))
    )
    by_revision = declared_relations.relations_by_revision(relations, scripts)
    every: list[Loss] = []
    for loss in losses:
        caused = tuple(cascades.cascade_losses(loss, by_revision[loss.revision]))
        answers = (
            table_stats.count(database, tuple(each.query for each in caused)) if caused else ()
        )
        pairs = zip(caused, answers, strict=True)
        every += [loss, *(each.with_rows(answer.rows, answer.why) for each, answer in pairs)]
    return tuple(cascades.lower_bound(loss, by_revision[loss.revision]) for loss in every)
