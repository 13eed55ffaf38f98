"""What each ALTER TABLE takes and costs, by command (PostgreSQL's documentation, "ALTER TABLE" and
its notes on rewrites).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ops.migrations.rules.lock_modes import ACCESS_EXCLUSIVE, SHARE_ROW, SHARE_UPDATE
from ops.migrations.rules.statements import qualified

MILDER = (
    "AT_ValidateConstraint",
    "AT_SetStatistics",
    "AT_SetOptions",
    "AT_ResetOptions",
    "AT_ClusterOn",
    "AT_DropCluster",
    "AT_SetRelOptions",
    "AT_ResetRelOptions",
    "AT_AttachPartition",
)
TRIGGERS = (
    "AT_EnableTrig",
    "AT_DisableTrig",
    "AT_EnableAlwaysTrig",
    "AT_EnableReplicaTrig",
    "AT_EnableTrigAll",
    "AT_DisableTrigAll",
    "AT_EnableTrigUser",
    "AT_DisableTrigUser",
)
REWRITES = (
    "AT_SetTableSpace",
    "AT_SetLogged",
    "AT_SetUnLogged",
    "AT_SetAccessMethod",
    "AT_SetExpression",
)
SERIAL = ("serial", "bigserial", "smallserial", "serial2", "serial4", "serial8")
CHECKED = ("CONSTR_CHECK", "CONSTR_UNIQUE", "CONSTR_PRIMARY", "CONSTR_NOTNULL")
# of these PostgreSQL takes one value for all rows; any other function may give each row its own
ONCE = (
    "now",
    "transaction_timestamp",
    "statement_timestamp",
    "lower",
    "upper",
    "md5",
    "concat",
    "to_char",
    "to_date",
    "to_timestamp",
    "date_trunc",
    "make_interval",
    "make_date",
    "jsonb_build_object",
    "json_build_object",
    "jsonb_build_array",
    "current_setting",
)
NAMES = {"character varying": "varchar", "bit varying": "varbit"}
WIDENED = {
    "varchar": ("varchar", "text"),
    "text": ("text", "varchar"),
    "varbit": ("varbit",),
    "numeric": ("numeric",),
}
TYPE = re.compile(r"([a-z ]+?)(?:\(([\d,]+)\))?")

Type = tuple[str, tuple[int, ...]]


def of_alter(command: Any, types: Mapping[str, str]) -> tuple[str, str]:
    """(mode, work) on the table itself; `types` are its columns' now, where they are known."""
    kind = command.subtype.name
    if kind in MILDER or (kind == "AT_DetachPartition" and command.def_.concurrent):
        return SHARE_UPDATE, "reads" if kind == "AT_ValidateConstraint" else ""
    if kind in TRIGGERS:
        return SHARE_ROW, ""
    if kind == "AT_AddConstraint":
        return of_constraint(command.def_)
    if kind == "AT_AlterColumnType":
        return ACCESS_EXCLUSIVE, "" if is_preserved(
            types.get(command.name), command.def_
        ) else "rewrites"
    if kind == "AT_SetNotNull":
        return ACCESS_EXCLUSIVE, "reads"
    if kind == "AT_AddColumn":
        return ACCESS_EXCLUSIVE, of_column(command.def_)
    return ACCESS_EXCLUSIVE, "rewrites" if kind in REWRITES else ""


def of_constraint(constraint: Any) -> tuple[str, str]:
    """NOT VALID and USING INDEX look at no row."""
    foreign = constraint.contype.name == "CONSTR_FOREIGN"
    return (
        SHARE_ROW if foreign else ACCESS_EXCLUSIVE,
        "" if constraint.skip_validation or constraint.indexname else "reads",
    )


def of_column(column: Any) -> str:
    """A new column is written where each row needs a value of its own, and read where it has a
    constraint to hold.
    """
    constraints = {each.contype.name: each for each in column.constraints or ()}
    default = constraints.get("CONSTR_DEFAULT")
    stored = constraints.get("CONSTR_GENERATED")
    if (
        "CONSTR_IDENTITY" in constraints
        or column.typeName.names[-1].sval in SERIAL
        or (stored and stored.generated_kind != "v")
    ):
        return "rewrites"
    if default and any(function not in ONCE for function in functions(default.raw_expr)):
        return "rewrites"
    held = [
        name
        for name in constraints
        if name in CHECKED and not (name == "CONSTR_NOTNULL" and default)
    ]
    return "reads" if held or ("CONSTR_FOREIGN" in constraints and default) else ""


def functions(tree: Any) -> Iterator[str]:
    """Every function that an expression calls."""
    if isinstance(tree, (tuple, list)):
        for each in tree:
            yield from functions(each)
    elif hasattr(tree, "__slots__"):
        if type(tree).__name__ == "FuncCall":
            yield str(tree.funcname[-1].sval)
        for name in tree.__slots__:
            yield from functions(getattr(tree, name, None))


def is_preserved(now: str | None, column: Any) -> bool:
    """Whether the rows stay as they are: a text that may only get longer, a number only larger. Of
    a type that is not known, no.
    """
    match = TYPE.fullmatch(now or "")
    if match is None or column.raw_default is not None:  # USING
        return False
    old = (
        NAMES.get(match[1], match[1]),
        tuple(int(part) for part in (match[2] or "").split(",") if part),
    )
    new = typed(column.typeName)
    if new[0] not in WIDENED.get(old[0], ()) or column.typeName.arrayBounds:
        return False
    if old[0] == "numeric" and old[1] and new[1]:
        return new[1][0] >= old[1][0] and scale(new[1]) == scale(old[1])
    return not new[1] or (bool(old[1]) and new[1] >= old[1])


def scale(modifiers: tuple[int, ...]) -> int:
    return modifiers[1] if len(modifiers) > 1 else 0


def typed(name: Any) -> Type:
    return str(name.names[-1].sval), tuple(
        int(each.val.ival) for each in name.typmods or () if hasattr(each.val, "ival")
    )


def referenced(command: Any) -> Iterator[tuple[str, str, str]]:
    """(table, mode, work) of others: those that a foreign key refers to, and a partition that comes
    or goes.
    """
    kind, given = command.subtype.name, command.def_
    if kind in ("AT_AttachPartition", "AT_DetachPartition"):
        yield (
            qualified(given.name),
            ACCESS_EXCLUSIVE,
            "reads" if kind == "AT_AttachPartition" else "",
        )
    constraints = (
        [given]
        if kind == "AT_AddConstraint"
        else (given.constraints or ())
        if kind == "AT_AddColumn"
        else ()
    )
    for constraint in constraints:
        if constraint.contype.name == "CONSTR_FOREIGN":
            yield qualified(constraint.pktable), SHARE_ROW, ""
