"""Foreign keys, triggers and rules that the revisions themselves add to existing tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from ops.migrations.rules.statements import Statement, identifier, qualified_name
from ops.postgres.model import ForeignKey, Hook, Relations

_TRIGGER_EVENTS = {"insert": 4, "delete": 8, "update": 16, "truncate": 32}  # pg_trigger.tgtype
_RULE_EVENTS = {"CMD_INSERT": "insert", "CMD_UPDATE": "update", "CMD_DELETE": "delete"}


def declared_tables(scripts: Mapping[str, tuple[Statement, ...]]) -> frozenset[str]:
    """The tables to which added foreign keys, triggers and rules belong or refer."""
    every = [each for statements in scripts.values() for each in statements]
    ends = {table for key in _keys(every) for table in (key.child, key.parent)}
    return frozenset(ends | {hook.table for hook in _hooks(every)})


def relations_by_revision(
    relations: Relations, scripts: Mapping[str, tuple[Statement, ...]]
) -> dict[str, Relations]:
    """The relations of the tables as each revision runs: `relations`, and those added so far.

    Tables that do not exist yet are left out: the plan itself creates them, so no rows are lost.
    """
    found: dict[str, Relations] = {}
    for revision, statements in scripts.items():
        every = list(statements)
        keys = tuple(
            key for key in _keys(every) if {key.child, key.parent} <= relations.names.keys()
        )
        hooks = tuple(hook for hook in _hooks(every) if hook.table in relations.names)
        relations = replace(relations, keys=relations.keys + keys, hooks=relations.hooks + hooks)
        found[revision] = relations
    return found


def _keys(statements: list[Statement]) -> Iterator[ForeignKey]:
    for statement in statements:
        for command in (statement.tree.cmds or ()) if statement.kind == "AlterTableStmt" else ():
            kind, definition = command.subtype.name, command.def_
            added = {
                "AT_AddConstraint": [definition],
                "AT_AddColumn": getattr(definition, "constraints", None),
            }
            for constraint in added.get(kind) or ():
                if constraint.contype.name == "CONSTR_FOREIGN":
                    own = [each.sval for each in constraint.fk_attrs or ()] or [definition.colname]
                    theirs = [each.sval for each in constraint.pk_attrs or ()]
                    yield ForeignKey(
                        constraint.conname or "",
                        statement.tables[0],
                        tuple(identifier(name) for name in own),
                        qualified_name(constraint.pktable),
                        tuple(identifier(name) for name in theirs),
                        constraint.fk_del_action,
                        constraint.fk_upd_action,
                    )


def _hooks(statements: list[Statement]) -> Iterator[Hook]:
    for statement in statements:
        tree = statement.tree
        if statement.kind == "CreateTrigStmt":
            events = frozenset(event for event, bit in _TRIGGER_EVENTS.items() if tree.events & bit)
            what = f"trigger {identifier(tree.trigname)}"
            yield Hook(
                qualified_name(tree.relation), what, events, bool(tree.row), tree.funcname[-1].sval
            )
        elif statement.kind == "RuleStmt" and tree.event.name in _RULE_EVENTS:
            events = frozenset([_RULE_EVENTS[tree.event.name]])
            what = f"rule {identifier(tree.rulename)}"
            yield Hook(
                qualified_name(tree.relation), what, events, each_row=False, code=statement.sql
            )
