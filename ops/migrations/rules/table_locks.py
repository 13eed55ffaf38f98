"""What a statement locks, and what that keeps out (PostgreSQL's documentation: "Explicit Locking",
"ALTER TABLE").

A lock is held to the end of the revision's transaction. Whether a table is rewritten or read
through decides how long (`durations`). What runs code of its own (a DO block) locks what nobody can
read from the SQL: that is said (`unknown`), and never passed over."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ops.migrations.rules.alter_table import of_alter, referenced
from ops.migrations.rules.implied_locks import cascades, further, written
from ops.migrations.rules.lock_modes import (
    ACCESS_EXCLUSIVE,
    BLOCKS,
    EXCLUSIVE,
    LOCK_MODES,
    ROW_EXCLUSIVE,
    SHARE,
    SHARE_ROW,
    SHARE_UPDATE,
    STRENGTH,
)
from ops.migrations.rules.statements import Statement, always, created, dotted, qualified
from ops.postgres.model import Relations

BY_KIND = {
    "DropStmt": ACCESS_EXCLUSIVE,
    "TruncateStmt": ACCESS_EXCLUSIVE,
    "RenameStmt": ACCESS_EXCLUSIVE,
    "ClusterStmt": ACCESS_EXCLUSIVE,
    "AlterObjectSchemaStmt": ACCESS_EXCLUSIVE,
    "CreateTrigStmt": SHARE_ROW,
    "CreatePolicyStmt": ACCESS_EXCLUSIVE,
    "AlterPolicyStmt": ACCESS_EXCLUSIVE,
    "RuleStmt": ACCESS_EXCLUSIVE,
    "CreateStatsStmt": SHARE_UPDATE,
    "InsertStmt": ROW_EXCLUSIVE,
    "UpdateStmt": ROW_EXCLUSIVE,
    "DeleteStmt": ROW_EXCLUSIVE,
    "MergeStmt": ROW_EXCLUSIVE,
}
CODE = {"DoStmt": "a DO block", "CallStmt": "a procedure"}
WORKS = ("", "reads", "reindexes", "writes", "rewrites")
LOCK_NAMES = {
    "reads": ", reads the whole table",
    "reindexes": ", reads the whole table",
    "writes": ", writes every row",
    "rewrites": ", writes the whole table anew",
}


@dataclass(frozen=True)
class TableFacts:
    """What the database says of the names in the SQL: its tables, their columns' types
    (`format_type`), and whose the indexes are.

    `made`: tables that revisions before this one make, where they are not in the database already.
    `relations`: the foreign keys around the tables.
    """

    tables: frozenset[str] = frozenset()
    types: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    indexes: Mapping[str, str] = field(default_factory=dict)
    made: frozenset[str] = frozenset()
    relations: Relations = field(default_factory=Relations)


@dataclass(frozen=True)
class Lock:
    """`work`: one of WORKS, what happens to every row meanwhile. `index`: `table` is what it
    belongs to.
    """

    revision: str
    table: str
    mode: str
    work: str = ""
    index: str | None = None

    @property
    def blocks(self) -> str:
        """The planner locks every index of a table before it reads it (PostgreSQL's documentation,
        REINDEX).
        """
        return (
            "blocks writes, and most reads"
            if self.work == "reindexes" and self.mode == SHARE
            else BLOCKS[self.mode]
        )

    def as_document(self) -> dict[str, str | None]:
        return {
            "revision": self.revision,
            "table": self.table or None,
            "mode": self.mode,
            "blocks": self.blocks,
            "work": self.work,
            "index": self.index,
        }

    def as_text(self) -> str:
        on = self.table or f"the table of index {self.index}"
        return (
            f"{self.revision} takes {self.mode} on {on} "
            f"({self.blocks}){LOCK_NAMES.get(self.work, '')}"
        )


def names(statements: tuple[Statement, ...]) -> frozenset[str]:
    """Every table and index that `locks` may want to know of."""
    held = [lock for each in statements for lock in locks_taken(each, TableFacts())]
    own = frozenset(name for lock in held for name in (lock.table, lock.index) if name)
    return own | written(statements)


def locks(
    revision: str, statements: tuple[Statement, ...], known: TableFacts | None = None
) -> tuple[Lock, ...]:
    """The strongest lock on each table that was there before, with the most work."""
    known = known or TableFacts()
    new = (
        created(statements) | known.made
    ) - known.tables  # CREATE TABLE IF NOT EXISTS makes none where it is there
    own_indexes = {str(each.tree.idxname) for each in statements if each.kind == "IndexStmt"}
    found: dict[str, Lock] = {}
    for statement in statements:
        others = (Lock("", *other) for other in further(statement, known.relations))
        for lock in (*locks_taken(statement, known), *others):
            if lock.table in new or (lock.index and lock.index.rpartition(".")[2] in own_indexes):
                continue
            key = lock.table or f"index {lock.index}"
            before = found.get(key, lock)
            mode, work = (
                max(before.mode, lock.mode, key=STRENGTH.index),
                max(before.work, lock.work, key=WORKS.index),
            )
            found[key] = replace(before, revision=revision, mode=mode, work=work)
    return tuple(found.values())


def unknown(statements: tuple[Statement, ...]) -> str:
    """What in them locks nobody knows what; empty where there is no such."""
    found = [CODE[each.kind] for each in statements if each.kind in CODE]
    found += ["DROP … CASCADE" for each in statements if drops_unnamed(each)]
    return ", ".join(dict.fromkeys(found))


def drops_unnamed(statement: Statement) -> bool:
    """Whether it drops objects that it does not name (of a table: foreign keys, which are
    known).
    """
    if statement.kind != "DropStmt":
        return statement.kind == "DropOwnedStmt"
    return cascades(statement.tree) and statement.tree.removeType.name != "OBJECT_TABLE"


def locks_taken(statement: Statement, known: TableFacts) -> Iterator[Lock]:
    """The locks of one statement."""
    tree, kind = statement.tree, statement.kind
    if kind == "AlterTableStmt":
        types = known.types.get(statement.tables[0], {})
        for command in tree.cmds or ():
            yield Lock("", statement.tables[0], *of_alter(command, types))
            yield from (Lock("", *other) for other in referenced(command))
    elif kind == "CreateStmt":
        yield from of_create(tree)
    elif kind == "IndexStmt":
        yield from (
            Lock("", table, SHARE_UPDATE if tree.concurrent else SHARE, "reads")
            for table in statement.tables
        )
    elif kind == "ReindexStmt" and tree.relation:
        yield of_reindex(tree, known)
    elif kind == "RefreshMatViewStmt":
        yield Lock(
            "", statement.tables[0], EXCLUSIVE if tree.concurrent else ACCESS_EXCLUSIVE, "rewrites"
        )
    elif kind == "VacuumStmt":
        yield from (Lock("", table, *of_vacuum(tree)) for table in statement.tables)
    elif kind == "LockStmt":
        yield from (
            Lock("", table, LOCK_MODES[tree.mode])
            for table in statement.tables
            if tree.mode in LOCK_MODES
        )
    elif kind == "DropStmt" and tree.removeType.name == "OBJECT_INDEX":
        yield from (
            of_index(
                dotted(parts), SHARE_UPDATE if tree.concurrent else ACCESS_EXCLUSIVE, "", known
            )
            for parts in tree.objects
        )
    elif kind == "RenameStmt" and tree.renameType.name == "OBJECT_INDEX":
        yield Lock("", statement.tables[0], SHARE_UPDATE)  # the index alone, not its table
    elif kind in BY_KIND:
        yield from (
            Lock("", table, BY_KIND[kind], of_rows(tree, kind)) for table in statement.tables
        )


def of_index(name: str, mode: str, work: str, known: TableFacts) -> Lock:
    return Lock("", known.indexes.get(name, ""), mode, work, index=name)


def of_reindex(tree: Any, known: TableFacts) -> Lock:
    mode = (
        SHARE_UPDATE
        if any(option.defname == "concurrently" for option in tree.params or ())
        else SHARE
    )
    if tree.kind.name == "REINDEX_OBJECT_INDEX":
        return of_index(qualified(tree.relation), mode, "reindexes", known)
    return Lock("", qualified(tree.relation), mode, "reindexes")


def of_vacuum(tree: Any) -> tuple[str, str]:
    if any(option.defname == "full" for option in tree.options or ()):
        return ACCESS_EXCLUSIVE, "rewrites"
    return SHARE_UPDATE, "reads" if tree.is_vacuumcmd else ""


def of_rows(tree: Any, kind: str) -> str:
    if kind == "ClusterStmt":
        return "rewrites"
    return "writes" if kind in ("UpdateStmt", "DeleteStmt") and always(tree.whereClause) else ""


def of_create(tree: Any) -> Iterator[Lock]:
    """A new table locks those that it refers to, and those that it belongs to."""
    for parent in tree.inhRelations or ():
        yield Lock("", qualified(parent), ACCESS_EXCLUSIVE if tree.partbound else SHARE_UPDATE)
    for element in tree.tableElts or ():
        for constraint in (element, *(getattr(element, "constraints", None) or ())):
            if getattr(constraint, "pktable", None):
                yield Lock("", qualified(constraint.pktable), SHARE_ROW)
