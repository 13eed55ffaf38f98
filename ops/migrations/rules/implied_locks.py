"""Locks on other tables than the statement's own, by foreign keys and by WITH queries."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ops.migrations.rules.cascades import CASCADE, delete_actions, truncated_tables, update_actions
from ops.migrations.rules.lock_modes import ACCESS_EXCLUSIVE, ROW_EXCLUSIVE
from ops.migrations.rules.statements import (
    Statement,
    dotted_name,
    identifier,
    matches_every_row,
    qualified_name,
)
from ops.postgres.model import Hook, Relations

_MERGE_EVENTS = {"CMD_INSERT": "insert", "CMD_UPDATE": "update", "CMD_DELETE": "delete"}
_TableLock = tuple[str, str, str]  # table, mode, work


@dataclass(frozen=True)
class Write:
    """A change of a table's rows; `event` is insert, update, delete or truncate.

    `columns` are those that an UPDATE sets.
    """

    event: str
    table: str
    columns: frozenset[str] = frozenset()
    work: str = ""
    cascade: bool = False


def writes(tree: Any) -> Iterator[Write]:
    """All writes of a statement, including those of its WITH queries."""
    kind = type(tree).__name__
    if kind == "TruncateStmt":
        yield from (
            Write("truncate", qualified_name(table), cascade=is_cascade(tree))
            for table in tree.relations
        )
    elif kind == "DeleteStmt":
        yield Write(
            "delete",
            qualified_name(tree.relation),
            work="writes" if matches_every_row(tree.whereClause) else "",
        )
    elif kind == "UpdateStmt":
        yield Write(
            "update",
            qualified_name(tree.relation),
            _set_columns(tree),
            "writes" if matches_every_row(tree.whereClause) else "",
        )
    elif kind == "InsertStmt":
        yield Write("insert", qualified_name(tree.relation))
        if tree.onConflictClause and tree.onConflictClause.targetList:
            yield Write(
                "update", qualified_name(tree.relation), _set_columns(tree.onConflictClause)
            )
    elif kind == "MergeStmt":
        for action in tree.mergeWhenClauses:
            if event := _MERGE_EVENTS.get(action.commandType.name):
                yield Write(event, qualified_name(tree.relation), _set_columns(action))
    elif kind == "CopyStmt" and tree.is_from:
        yield Write("insert", qualified_name(tree.relation))
    elif kind in ("CopyStmt", "PrepareStmt", "CreateTableAsStmt") or (
        kind == "ExplainStmt" and any(each.defname == "analyze" for each in tree.options or ())
    ):
        yield from writes(tree.query)
    clause = getattr(tree, "withClause", None)
    for query in clause.ctes if clause else ():
        yield from writes(query.ctequery)


def _set_columns(tree: Any) -> frozenset[str]:
    return frozenset(identifier(each.name) for each in tree.targetList or () if each.name)


def is_cascade(tree: Any) -> bool:
    return bool(tree.behavior.name == "DROP_CASCADE")


def written_tables(statements: tuple[Statement, ...]) -> frozenset[str]:
    """The tables whose foreign keys, triggers and rules matter."""
    changed = (each.tables for each in statements if each.kind in ("DropStmt", "AlterTableStmt"))
    rows = (write.table for each in statements for write in writes(each.tree))
    return frozenset(rows).union(*changed)


def implied_locks(statement: Statement, relations: Relations) -> Iterator[_TableLock]:
    """(table, mode, work) for all other tables that the statement locks."""
    tree = statement.tree
    for write in writes(tree):
        if write.table not in statement.tables:
            yield write.table, ROW_EXCLUSIVE, write.work
        mode = ACCESS_EXCLUSIVE if write.event == "truncate" else ROW_EXCLUSIVE
        yield from (
            (relations.written(table), mode, write.work)
            for table, _ in _foreign_key_events(write, relations)
        )
    if statement.kind == "DropStmt" and tree.removeType.name == "OBJECT_TABLE":
        yield from _drop_locks(
            [dotted_name(parts) for parts in tree.objects], is_cascade(tree), relations
        )
    elif statement.kind == "AlterTableStmt":
        for command in tree.cmds or ():
            yield from _alter_locks(statement.tables[0], command, relations)


def hooks(statements: tuple[Statement, ...], relations: Relations) -> tuple[Hook, ...]:
    """The triggers, rules and views that run with these statements; their locks are unknown."""
    found = (
        hook
        for statement in statements
        for table, event in events(statement, relations)
        for hook in relations.hooked(table, event)
    )
    return tuple(dict.fromkeys(found))


def events(statement: Statement, relations: Relations) -> Iterator[tuple[str, str]]:
    """(table, event) for all writes of a statement, including its foreign keys' actions."""
    for write in writes(statement.tree):
        yield from ((write.table, write.event), *_foreign_key_events(write, relations))


def _foreign_key_events(write: Write, relations: Relations) -> Iterator[tuple[str, str]]:
    """(table, event) for the actions of foreign keys after a write."""
    if write.event == "delete":
        yield from (
            (key.child, "delete" if key.on_delete == CASCADE else "update")
            for key in delete_actions(write.table, relations)
        )
    elif write.event == "update":
        yield from (
            (key.child, "update") for key in update_actions(write.table, write.columns, relations)
        )
    elif write.cascade:
        yield from ((table, "truncate") for table in truncated_tables(write.table, relations))


def _drop_locks(tables: list[str], cascade: bool, relations: Relations) -> Iterator[_TableLock]:
    """Locks on the tables at the other end of dropped foreign keys, which lose their triggers."""
    for table in tables:
        for key in relations.keys:
            if relations.root(key.child) == relations.root(table):
                yield relations.written(key.parent), ACCESS_EXCLUSIVE, ""
        if cascade:
            yield from (
                (relations.written(key.child), ACCESS_EXCLUSIVE, "")
                for key in relations.referring(table)
            )


def _alter_locks(table: str, command: Any, relations: Relations) -> Iterator[_TableLock]:
    """Locks by dropping a foreign key's constraint or column, or (CASCADE) its referenced key."""
    kind, name = command.subtype.name, identifier(command.name or "")
    if kind not in ("AT_DropConstraint", "AT_DropColumn"):
        return
    for key in relations.keys:
        mine = name in key.columns if kind == "AT_DropColumn" else name == identifier(key.name)
        theirs = (
            name in key.referenced if kind == "AT_DropColumn" else name == identifier(key.index)
        )
        if mine and relations.root(key.child) == relations.root(table):
            yield relations.written(key.parent), ACCESS_EXCLUSIVE, ""
        elif theirs and is_cascade(command) and relations.root(key.parent) == relations.root(table):
            yield relations.written(key.child), ACCESS_EXCLUSIVE, ""
