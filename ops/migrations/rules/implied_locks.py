"""The locks that PostgreSQL takes beyond a statement's own tables.

Foreign keys and data-modifying WITH queries take them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ops.migrations.rules.cascades import CASCADE, followed, truncated, updated
from ops.migrations.rules.lock_modes import ACCESS_EXCLUSIVE, ROW_EXCLUSIVE
from ops.migrations.rules.statements import Statement, always, dotted, identifier, qualified
from ops.postgres.model import Hook, Relations

MERGED = {"CMD_INSERT": "insert", "CMD_UPDATE": "update", "CMD_DELETE": "delete"}
Held = tuple[str, str, str]  # table, mode, work


@dataclass(frozen=True)
class Write:
    """What a statement does to a table's rows. `columns`: those that an UPDATE sets.

    `event`: insert, update, delete or truncate.
    """

    event: str
    table: str
    columns: frozenset[str] = frozenset()
    work: str = ""
    cascade: bool = False


def writes(tree: Any) -> Iterator[Write]:
    """Every write of a statement, those in its WITH queries included."""
    kind = type(tree).__name__
    if kind == "TruncateStmt":
        yield from (
            Write("truncate", qualified(table), cascade=cascades(tree)) for table in tree.relations
        )
    elif kind == "DeleteStmt":
        yield Write(
            "delete", qualified(tree.relation), work="writes" if always(tree.whereClause) else ""
        )
    elif kind == "UpdateStmt":
        yield Write(
            "update",
            qualified(tree.relation),
            targets(tree),
            "writes" if always(tree.whereClause) else "",
        )
    elif kind == "InsertStmt":
        yield Write("insert", qualified(tree.relation))
        if tree.onConflictClause and tree.onConflictClause.targetList:
            yield Write("update", qualified(tree.relation), targets(tree.onConflictClause))
    elif kind == "MergeStmt":
        for action in tree.mergeWhenClauses:
            if event := MERGED.get(action.commandType.name):
                yield Write(event, qualified(tree.relation), targets(action))
    elif kind == "CopyStmt" and tree.is_from:
        yield Write("insert", qualified(tree.relation))
    elif kind in ("CopyStmt", "PrepareStmt", "CreateTableAsStmt") or (
        kind == "ExplainStmt" and any(each.defname == "analyze" for each in tree.options or ())
    ):
        yield from writes(tree.query)
    clause = getattr(tree, "withClause", None)
    for query in clause.ctes if clause else ():
        yield from writes(query.ctequery)


def targets(tree: Any) -> frozenset[str]:
    return frozenset(identifier(each.name) for each in tree.targetList or () if each.name)


def cascades(tree: Any) -> bool:
    return bool(tree.behavior.name == "DROP_CASCADE")


def written(statements: tuple[Statement, ...]) -> frozenset[str]:
    """The tables around which foreign keys and hooks matter."""
    changed = (each.tables for each in statements if each.kind in ("DropStmt", "AlterTableStmt"))
    rows = (write.table for each in statements for write in writes(each.tree))
    return frozenset(rows).union(*changed)


def further(statement: Statement, relations: Relations) -> Iterator[Held]:
    """(table, mode, work) of every table that is locked besides."""
    tree = statement.tree
    for write in writes(tree):
        if write.table not in statement.tables:
            yield write.table, ROW_EXCLUSIVE, write.work
        mode = ACCESS_EXCLUSIVE if write.event == "truncate" else ROW_EXCLUSIVE
        yield from (
            (relations.written(table), mode, write.work) for table, _ in _reached(write, relations)
        )
    if statement.kind == "DropStmt" and tree.removeType.name == "OBJECT_TABLE":
        yield from _of_drop([dotted(parts) for parts in tree.objects], cascades(tree), relations)
    elif statement.kind == "AlterTableStmt":
        for command in tree.cmds or ():
            yield from _of_alter(statement.tables[0], command, relations)


def hooks(statements: tuple[Statement, ...], relations: Relations) -> tuple[Hook, ...]:
    """The triggers, rules and views that run with these statements; what they lock is unknown."""
    found = (
        hook
        for statement in statements
        for table, event in events(statement, relations)
        for hook in relations.hooked(table, event)
    )
    return tuple(dict.fromkeys(found))


def events(statement: Statement, relations: Relations) -> Iterator[tuple[str, str]]:
    """(table, event) of what a statement does, its foreign keys' actions included."""
    for write in writes(statement.tree):
        yield from ((write.table, write.event), *_reached(write, relations))


def _reached(write: Write, relations: Relations) -> Iterator[tuple[str, str]]:
    """(table, event) of what foreign keys do after a write."""
    if write.event == "delete":
        yield from (
            (key.child, "delete" if key.on_delete == CASCADE else "update")
            for key in followed(write.table, relations)
        )
    elif write.event == "update":
        yield from ((key.child, "update") for key in updated(write.table, write.columns, relations))
    elif write.cascade:
        yield from ((table, "truncate") for table in truncated(write.table, relations))


def _of_drop(tables: list[str], cascade: bool, relations: Relations) -> Iterator[Held]:
    """A dropped foreign key takes its triggers off the table at its other end."""
    for table in tables:
        for key in relations.keys:
            if relations.root(key.child) == relations.root(table):
                yield relations.written(key.parent), ACCESS_EXCLUSIVE, ""
        if cascade:
            yield from (
                (relations.written(key.child), ACCESS_EXCLUSIVE, "")
                for key in relations.referring(table)
            )


def _of_alter(table: str, command: Any, relations: Relations) -> Iterator[Held]:
    """DROP CONSTRAINT and DROP COLUMN of a foreign key, or with CASCADE of what one refers to."""
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
        elif theirs and cascades(command) and relations.root(key.parent) == relations.root(table):
            yield relations.written(key.child), ACCESS_EXCLUSIVE, ""
