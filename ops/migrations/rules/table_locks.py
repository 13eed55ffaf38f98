"""Table locks that statements take, and what these block.

Source: PostgreSQL's documentation, "Explicit Locking" and "ALTER TABLE". A lock is held to the end
of the revision's transaction; how long depends on whether a table is rewritten or read completely
(`durations`). The locks of code, such as a DO block, can't be derived from the SQL, and are
reported as unknown (`unknown_locks`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ops.migrations.rules.alter_table import command_lock, locks_on_others
from ops.migrations.rules.implied_locks import implied_locks, is_cascade, written_tables
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
from ops.migrations.rules.statements import (
    Statement,
    created_tables,
    dotted_name,
    matches_every_row,
    qualified_name,
)
from ops.postgres.model import Relations

_MODE_BY_KIND = {
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
_CODE = {"DoStmt": "a DO block", "CallStmt": "a procedure"}
_WORKS = ("", "reads", "reindexes", "writes", "rewrites")
_WORK_TEXTS = {
    "reads": ", reads the whole table",
    "reindexes": ", reads the whole table",
    "writes": ", writes every row",
    "rewrites": ", rewrites the table",
}


@dataclass(frozen=True)
class TableFacts:
    """Facts about the tables and indexes that the SQL names.

    `types` are the columns' types by table (`format_type`), `indexes` the tables of indexes, `new`
    the tables that revisions of the plan create, `relations` the foreign keys, triggers and rules.
    """

    tables: frozenset[str] = frozenset()
    types: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    indexes: Mapping[str, str] = field(default_factory=dict)
    new: frozenset[str] = frozenset()
    relations: Relations = field(default_factory=Relations)


@dataclass(frozen=True)
class Lock:
    """A lock on a table, and the work on its rows while it is held (one of `_WORKS`).

    `index` is the index that is locked, if the table is locked through it.
    """

    revision: str
    table: str
    mode: str
    work: str = ""
    index: str | None = None

    @property
    def blocks(self) -> str:
        """The statements that wait for this lock.

        Planning a query locks all indexes of its tables, so REINDEX blocks most reads.
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
            f"({self.blocks}){_WORK_TEXTS.get(self.work, '')}"
        )


def relation_names(statements: tuple[Statement, ...]) -> frozenset[str]:
    """The tables and indexes of which `locks` needs the facts."""
    taken = [lock for each in statements for lock in _statement_locks(each, TableFacts())]
    own = frozenset(name for lock in taken for name in (lock.table, lock.index) if name)
    return own | written_tables(statements)


def locks(
    revision: str, statements: tuple[Statement, ...], facts: TableFacts | None = None
) -> tuple[Lock, ...]:
    """The strongest lock on each existing table, with the most work."""
    facts = facts or TableFacts()
    # CREATE TABLE IF NOT EXISTS creates no table that exists already
    new = (created_tables(statements) | facts.new) - facts.tables
    own_indexes = {str(each.tree.idxname) for each in statements if each.kind == "IndexStmt"}
    found: dict[str, Lock] = {}
    for statement in statements:
        others = (Lock("", *other) for other in implied_locks(statement, facts.relations))
        for lock in (*_statement_locks(statement, facts), *others):
            if lock.table in new or (lock.index and lock.index.rpartition(".")[2] in own_indexes):
                continue
            key = lock.table or f"index {lock.index}"
            before = found.get(key, lock)
            mode, work = (
                max(before.mode, lock.mode, key=STRENGTH.index),
                max(before.work, lock.work, key=_WORKS.index),
            )
            found[key] = replace(before, revision=revision, mode=mode, work=work)
    return tuple(found.values())


def unknown_locks(statements: tuple[Statement, ...]) -> str:
    """The statements whose locks are unknown, in words; empty if there are none."""
    found = [_CODE[each.kind] for each in statements if each.kind in _CODE]
    found += ["DROP … CASCADE" for each in statements if _drops_unnamed(each)]
    return ", ".join(dict.fromkeys(found))


def _drops_unnamed(statement: Statement) -> bool:
    """Whether a statement drops objects that it does not name.

    DROP TABLE … CASCADE drops foreign keys, which are known.
    """
    if statement.kind != "DropStmt":
        return statement.kind == "DropOwnedStmt"
    return is_cascade(statement.tree) and statement.tree.removeType.name != "OBJECT_TABLE"


def _statement_locks(statement: Statement, facts: TableFacts) -> Iterator[Lock]:
    """The locks of one statement on its own tables."""
    tree, kind = statement.tree, statement.kind
    if kind == "AlterTableStmt":
        types = facts.types.get(statement.tables[0], {})
        for command in tree.cmds or ():
            yield Lock("", statement.tables[0], *command_lock(command, types))
            yield from (Lock("", *other) for other in locks_on_others(command))
    elif kind == "CreateStmt":
        yield from _create_table_locks(tree)
    elif kind == "IndexStmt":
        yield from (
            Lock("", table, SHARE_UPDATE if tree.concurrent else SHARE, "reads")
            for table in statement.tables
        )
    elif kind == "ReindexStmt" and tree.relation:
        yield _reindex_lock(tree, facts)
    elif kind == "RefreshMatViewStmt":
        yield Lock(
            "", statement.tables[0], EXCLUSIVE if tree.concurrent else ACCESS_EXCLUSIVE, "rewrites"
        )
    elif kind == "VacuumStmt":
        yield from (Lock("", table, *_vacuum_lock(tree)) for table in statement.tables)
    elif kind == "LockStmt":
        yield from (
            Lock("", table, LOCK_MODES[tree.mode])
            for table in statement.tables
            if tree.mode in LOCK_MODES
        )
    elif kind == "DropStmt" and tree.removeType.name == "OBJECT_INDEX":
        yield from (
            _index_lock(
                dotted_name(parts), SHARE_UPDATE if tree.concurrent else ACCESS_EXCLUSIVE, "", facts
            )
            for parts in tree.objects
        )
    elif kind == "RenameStmt" and tree.renameType.name == "OBJECT_INDEX":
        yield Lock("", statement.tables[0], SHARE_UPDATE)  # on the index, not on its table
    elif kind in _MODE_BY_KIND:
        yield from (
            Lock("", table, _MODE_BY_KIND[kind], _row_work(tree, kind))
            for table in statement.tables
        )


def _index_lock(name: str, mode: str, work: str, facts: TableFacts) -> Lock:
    return Lock("", facts.indexes.get(name, ""), mode, work, index=name)


def _reindex_lock(tree: Any, facts: TableFacts) -> Lock:
    mode = (
        SHARE_UPDATE
        if any(option.defname == "concurrently" for option in tree.params or ())
        else SHARE
    )
    if tree.kind.name == "REINDEX_OBJECT_INDEX":
        return _index_lock(qualified_name(tree.relation), mode, "reindexes", facts)
    return Lock("", qualified_name(tree.relation), mode, "reindexes")


def _vacuum_lock(tree: Any) -> tuple[str, str]:
    if any(option.defname == "full" for option in tree.options or ()):
        return ACCESS_EXCLUSIVE, "rewrites"
    return SHARE_UPDATE, "reads" if tree.is_vacuumcmd else ""


def _row_work(tree: Any, kind: str) -> str:
    if kind == "ClusterStmt":
        return "rewrites"
    return (
        "writes"
        if kind in ("UpdateStmt", "DeleteStmt") and matches_every_row(tree.whereClause)
        else ""
    )


def _create_table_locks(tree: Any) -> Iterator[Lock]:
    """The locks of CREATE TABLE, on the tables that it references or inherits from."""
    for parent in tree.inhRelations or ():
        yield Lock("", qualified_name(parent), ACCESS_EXCLUSIVE if tree.partbound else SHARE_UPDATE)
    for element in tree.tableElts or ():
        for constraint in (element, *(getattr(element, "constraints", None) or ())):
            if getattr(constraint, "pktable", None):
                yield Lock("", qualified_name(constraint.pktable), SHARE_ROW)
