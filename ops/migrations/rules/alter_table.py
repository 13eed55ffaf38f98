"""Locks and work of each ALTER TABLE command.

Source: PostgreSQL's documentation, "ALTER TABLE", with its notes on rewrites.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ops.migrations.rules.lock_modes import ACCESS_EXCLUSIVE, SHARE_ROW, SHARE_UPDATE
from ops.migrations.rules.statements import qualified_name

_SHARE_UPDATE_COMMANDS = (
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
_TRIGGER_COMMANDS = (
    "AT_EnableTrig",
    "AT_DisableTrig",
    "AT_EnableAlwaysTrig",
    "AT_EnableReplicaTrig",
    "AT_EnableTrigAll",
    "AT_DisableTrigAll",
    "AT_EnableTrigUser",
    "AT_DisableTrigUser",
)
_REWRITING_COMMANDS = (
    "AT_SetTableSpace",
    "AT_SetLogged",
    "AT_SetUnLogged",
    "AT_SetAccessMethod",
    "AT_SetExpression",
)
_SERIAL_TYPES = ("serial", "bigserial", "smallserial", "serial2", "serial4", "serial8")
_CHECKED_CONSTRAINTS = ("CONSTR_CHECK", "CONSTR_UNIQUE", "CONSTR_PRIMARY", "CONSTR_NOTNULL")
# PostgreSQL evaluates these once for all rows; any other function may differ from row to row
_CONSTANT_FUNCTIONS = (
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
_TYPE_NAMES = {"character varying": "varchar", "bit varying": "varbit"}
_WIDENINGS = {
    "varchar": ("varchar", "text"),
    "text": ("text", "varchar"),
    "varbit": ("varbit",),
    "numeric": ("numeric",),
}
_TYPE = re.compile(r"([a-z ]+?)(?:\(([\d,]+)\))?")

_Type = tuple[str, tuple[int, ...]]


def command_lock(command: Any, types: Mapping[str, str]) -> tuple[str, str]:
    """Lock mode and work of a command on its own table.

    `types` are the current types of the table's columns, as far as they are known.
    """
    kind = command.subtype.name
    if kind in _SHARE_UPDATE_COMMANDS or (kind == "AT_DetachPartition" and command.def_.concurrent):
        return SHARE_UPDATE, "reads" if kind == "AT_ValidateConstraint" else ""
    if kind in _TRIGGER_COMMANDS:
        return SHARE_ROW, ""
    if kind == "AT_AddConstraint":
        return _constraint_lock(command.def_)
    if kind == "AT_AlterColumnType":
        return ACCESS_EXCLUSIVE, "" if _keeps_rows(
            types.get(command.name), command.def_
        ) else "rewrites"
    if kind == "AT_SetNotNull":
        return ACCESS_EXCLUSIVE, "reads"
    if kind == "AT_AddColumn":
        return ACCESS_EXCLUSIVE, _new_column_work(command.def_)
    return ACCESS_EXCLUSIVE, "rewrites" if kind in _REWRITING_COMMANDS else ""


def _constraint_lock(constraint: Any) -> tuple[str, str]:
    """Lock mode and work of ADD CONSTRAINT; NOT VALID and USING INDEX read no row."""
    foreign = constraint.contype.name == "CONSTR_FOREIGN"
    return (
        SHARE_ROW if foreign else ACCESS_EXCLUSIVE,
        "" if constraint.skip_validation or constraint.indexname else "reads",
    )


def _new_column_work(column: Any) -> str:
    """Work of ADD COLUMN: a rewrite if each row gets a value, a read to check a constraint."""
    constraints = {each.contype.name: each for each in column.constraints or ()}
    default = constraints.get("CONSTR_DEFAULT")
    stored = constraints.get("CONSTR_GENERATED")
    if (
        "CONSTR_IDENTITY" in constraints
        or column.typeName.names[-1].sval in _SERIAL_TYPES
        or (stored and stored.generated_kind != "v")
    ):
        return "rewrites"
    if default and any(
        function not in _CONSTANT_FUNCTIONS for function in _function_names(default.raw_expr)
    ):
        return "rewrites"
    checked = [
        name
        for name in constraints
        if name in _CHECKED_CONSTRAINTS and not (name == "CONSTR_NOTNULL" and default)
    ]
    return "reads" if checked or ("CONSTR_FOREIGN" in constraints and default) else ""


def _function_names(tree: Any) -> Iterator[str]:
    """The names of all functions that an expression calls."""
    if isinstance(tree, (tuple, list)):
        for each in tree:
            yield from _function_names(each)
    elif hasattr(tree, "__slots__"):
        if type(tree).__name__ == "FuncCall":
            yield str(tree.funcname[-1].sval)
        for name in tree.__slots__:
            yield from _function_names(getattr(tree, name, None))


def _keeps_rows(current: str | None, column: Any) -> bool:
    """Whether a change of type leaves the rows as they are: it only widens a known type."""
    match = _TYPE.fullmatch(current or "")
    if match is None or column.raw_default is not None:  # USING
        return False
    old = (
        _TYPE_NAMES.get(match[1], match[1]),
        tuple(int(part) for part in (match[2] or "").split(",") if part),
    )
    new = _column_type(column.typeName)
    if new[0] not in _WIDENINGS.get(old[0], ()) or column.typeName.arrayBounds:
        return False
    if old[0] == "numeric" and old[1] and new[1]:
        return new[1][0] >= old[1][0] and _scale(new[1]) == _scale(old[1])
    return not new[1] or (bool(old[1]) and new[1] >= old[1])


def _scale(modifiers: tuple[int, ...]) -> int:
    return modifiers[1] if len(modifiers) > 1 else 0


def _column_type(name: Any) -> _Type:
    return str(name.names[-1].sval), tuple(
        int(each.val.ival) for each in name.typmods or () if hasattr(each.val, "ival")
    )


def locks_on_others(command: Any) -> Iterator[tuple[str, str, str]]:
    """(table, mode, work) for the other tables: of foreign keys, and of moved partitions."""
    kind, definition = command.subtype.name, command.def_
    if kind in ("AT_AttachPartition", "AT_DetachPartition"):
        yield (
            qualified_name(definition.name),
            ACCESS_EXCLUSIVE,
            "reads" if kind == "AT_AttachPartition" else "",
        )
    constraints = (
        [definition]
        if kind == "AT_AddConstraint"
        else (definition.constraints or ())
        if kind == "AT_AddColumn"
        else ()
    )
    for constraint in constraints:
        if constraint.contype.name == "CONSTR_FOREIGN":
            yield qualified_name(constraint.pktable), SHARE_ROW, ""
