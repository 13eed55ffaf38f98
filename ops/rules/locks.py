"""What a statement locks, and what that keeps out (PostgreSQL's documentation: "Explicit Locking", "ALTER TABLE").

A lock is held to the end of the revision's transaction. Whether a table is rewritten or read through decides how long: that is said, and
never guessed in seconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ops.rules.statements import Statement, created

ACCESS_EXCLUSIVE, SHARE, SHARE_ROW = "ACCESS EXCLUSIVE", "SHARE", "SHARE ROW EXCLUSIVE"
SHARE_UPDATE, ROW_EXCLUSIVE = "SHARE UPDATE EXCLUSIVE", "ROW EXCLUSIVE"
BLOCKS = {
    ACCESS_EXCLUSIVE: "blocks reads and writes",
    SHARE_ROW: "blocks writes",
    SHARE: "blocks writes",
    SHARE_UPDATE: "blocks other changes of the schema",
    ROW_EXCLUSIVE: "blocks changes of the schema",
}
MILDER = {"AT_ValidateConstraint": SHARE_UPDATE, "AT_SetStatistics": SHARE_UPDATE, "AT_AttachPartition": SHARE_UPDATE}
TRIGGERS = ("AT_EnableTrig", "AT_DisableTrig", "AT_EnableAlwaysTrig", "AT_EnableReplicaTrig", "AT_EnableTrigAll", "AT_DisableTrigAll")
BY_KIND = {
    "DropStmt": ACCESS_EXCLUSIVE,
    "TruncateStmt": ACCESS_EXCLUSIVE,
    "RenameStmt": ACCESS_EXCLUSIVE,
    "ClusterStmt": ACCESS_EXCLUSIVE,
    "AlterObjectSchemaStmt": ACCESS_EXCLUSIVE,
    "CreateTrigStmt": SHARE_ROW,
    "CreatePolicyStmt": ACCESS_EXCLUSIVE,
    "RuleStmt": ACCESS_EXCLUSIVE,
    "InsertStmt": ROW_EXCLUSIVE,
    "UpdateStmt": ROW_EXCLUSIVE,
    "DeleteStmt": ROW_EXCLUSIVE,
}
STRENGTH = (ROW_EXCLUSIVE, SHARE_UPDATE, SHARE, SHARE_ROW, ACCESS_EXCLUSIVE)


@dataclass(frozen=True)
class Lock:
    """`work`: `rewrites`, `reads` or nothing: what the statement does to every row meanwhile."""

    revision: str
    table: str
    mode: str
    work: str = ""

    def as_document(self) -> dict[str, str]:
        return {"revision": self.revision, "table": self.table, "mode": self.mode, "blocks": BLOCKS[self.mode], "work": self.work}

    def as_text(self) -> str:
        work = {"rewrites": ", writes the whole table anew", "reads": ", reads the whole table"}.get(self.work, "")
        return f"{self.revision} takes {self.mode} on {self.table} ({BLOCKS[self.mode]}){work}"


def locks(revision: str, statements: tuple[Statement, ...]) -> tuple[Lock, ...]:
    """The strongest lock on each table that was there before, with the most work."""
    new = created(statements)
    found: dict[str, Lock] = {}
    for statement in statements:
        for table, mode, work in taken(statement):
            if table not in new:
                before = found.get(table, Lock(revision, table, mode, work))
                found[table] = Lock(revision, table, max(before.mode, mode, key=STRENGTH.index), max(before.work, work, key=len))
    return tuple(found.values())


def taken(statement: Statement) -> Iterator[tuple[str, str, str]]:
    """(table, mode, work) of one statement."""
    tree = statement.tree
    if statement.kind == "AlterTableStmt":
        for command in tree.cmds or ():
            mode, work = of_alter(command)
            yield statement.tables[0], mode, work
            yield from referenced(command)
    elif statement.kind == "IndexStmt":
        for table in statement.tables:
            yield table, SHARE_UPDATE if tree.concurrent else SHARE, "reads"
    elif statement.kind == "LockStmt":
        for table in statement.tables:
            yield table, LOCK_MODES.get(tree.mode, ACCESS_EXCLUSIVE), ""
    else:
        for table in statement.tables if statement.kind in BY_KIND else ():
            yield table, BY_KIND[statement.kind], "rewrites" if statement.kind == "ClusterStmt" else ""


LOCK_MODES = {3: ROW_EXCLUSIVE, 4: SHARE_UPDATE, 5: SHARE, 6: SHARE_ROW, 7: ACCESS_EXCLUSIVE, 8: ACCESS_EXCLUSIVE}


def of_alter(command: Any) -> tuple[str, str]:
    kind = command.subtype.name
    if kind in MILDER:
        return MILDER[kind], "reads" if kind == "AT_ValidateConstraint" else ""
    if kind in TRIGGERS:
        return SHARE_ROW, ""
    if kind == "AT_AlterColumnType":
        return ACCESS_EXCLUSIVE, "rewrites"
    if kind == "AT_SetNotNull":
        return ACCESS_EXCLUSIVE, "reads"
    if kind == "AT_AddConstraint":
        foreign = command.def_.contype.name == "CONSTR_FOREIGN"
        return SHARE_ROW if foreign else ACCESS_EXCLUSIVE, "" if command.def_.skip_validation else "reads"
    if kind == "AT_AddColumn" and computed(command.def_):
        return ACCESS_EXCLUSIVE, "rewrites"
    return ACCESS_EXCLUSIVE, ""


def computed(column: Any) -> bool:
    """Whether each row needs a value of its own: a default that calls a function, an identity, a generated column."""
    for constraint in column.constraints or ():
        if constraint.contype.name in ("CONSTR_IDENTITY", "CONSTR_GENERATED"):
            return True
        if constraint.contype.name == "CONSTR_DEFAULT" and type(constraint.raw_expr).__name__ == "FuncCall":
            return ".".join(part.sval for part in constraint.raw_expr.funcname) not in ("now", "pg_catalog.now", "transaction_timestamp")
    return False


def referenced(command: Any) -> Iterator[tuple[str, str, str]]:
    """A foreign key locks the table that it refers to as well."""
    constraint = command.def_
    if command.subtype.name == "AT_AddConstraint" and constraint.contype.name == "CONSTR_FOREIGN":
        table = constraint.pktable
        yield f"{table.schemaname}.{table.relname}" if table.schemaname else str(table.relname), SHARE_ROW, ""
