"""Functions, triggers and rules that a revision runs, and whether they may delete rows.

A statement's text does not show what they do. The code of SQL and PL/pgSQL functions is searched
for words that delete rows or build statements; code in other languages may do anything."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ops.migrations.rules.data_loss import OPAQUE, Loss
from ops.migrations.rules.implied_locks import events, writes
from ops.migrations.rules.statements import Statement, identifier
from ops.postgres.model import Relations, StoredFunction

# Statements that only store an expression or a query.
_NOT_RUN = (
    "ViewStmt",
    "CreatePolicyStmt",
    "AlterPolicyStmt",
    "RuleStmt",
    "CreateFunctionStmt",
    "CreateTrigStmt",
    "CreateStmt",
    "CreateDomainStmt",
    "CreateForeignTableStmt",
)
_DELETING = re.compile(
    r"\b(?:DELETE|TRUNCATE|DROP|CALL|EXECUTE(?!\s+(?:FUNCTION|PROCEDURE)\b))\b", re.IGNORECASE
)
_LITERALS = re.compile(r"--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'", re.DOTALL)
_CALLED = re.compile(r'([\w$]+|"(?:[^"]|"")+")\s*\(')
_DELETING_BUILT_INS = frozenset({"lo_unlink", "lo_manage"})
# Functions of extensions that the plan itself may create.
_EXTENSION_FUNCTIONS = re.compile(
    r"uuid_generate_\w+|gen_random_\w+|gen_salt|crypt|digest|hmac|unaccent|similarity"
)


@dataclass(frozen=True)
class KnownFunctions:
    """The functions of the database and of the plan.

    `others` maps the names that are not built in to whether they are volatile; `deleting` are the
    names of functions that may delete rows.
    """

    built_in: frozenset[str]
    others: Mapping[str, bool]
    deleting: frozenset[str]

    @classmethod
    def of(cls, built_in: Iterable[str], stored: Iterable[StoredFunction]) -> KnownFunctions:
        stored = tuple(stored)
        code = {each: _LITERALS.sub(" ", each.body) for each in stored}
        found = set(_DELETING_BUILT_INS) | {
            each.name for each in stored if each.volatile and _may_delete(each, code[each])
        }
        more = True
        while more:
            callers = {
                each.name
                for each in stored
                if each.volatile and not each.compiled and not found.isdisjoint(_names(code[each]))
            }
            more = not callers <= found
            found |= callers
        volatile: dict[str, bool] = {}
        for each in stored:
            is_code = each.volatile and not (each.compiled and each.of_extension)
            volatile[each.name] = volatile.get(each.name, False) or is_code
        return cls(frozenset(built_in), volatile, frozenset(found))

    def is_code(self, name: str, *, pg_catalog: bool = False) -> bool:
        """Whether a function's effects are not known without reading its code."""
        if name in self.others and not pg_catalog:
            return self.others[name]
        known = name in self.built_in or pg_catalog or _EXTENSION_FUNCTIONS.fullmatch(name)
        return not known

    def may_delete(self, name: str, *, pg_catalog: bool = False) -> bool:
        if pg_catalog:
            return name in _DELETING_BUILT_INS
        unknown = name not in self.others and self.is_code(name)
        return name in self.deleting or unknown

    def text_may_delete(self, code: str) -> bool:
        """Whether a rule's or a DO block's code may delete rows."""
        bare = _LITERALS.sub(" ", code)
        return bool(_DELETING.search(bare)) or not self.deleting.isdisjoint(_names(bare))


def _names(code: str) -> set[str]:
    return {match[1].strip('"') for match in _CALLED.finditer(code)} | {
        match[1].lower() for match in _CALLED.finditer(code)
    }


def _may_delete(function: StoredFunction, code: str) -> bool:
    if function.language in ("sql", "plpgsql"):
        return bool(_DELETING.search(code))
    harmless = function.compiled and function.of_extension
    return not harmless or function.name.startswith("dblink")


def declared_functions(statements: Iterable[Statement]) -> Iterator[StoredFunction]:
    """The functions that a revision creates."""
    for statement in statements:
        if statement.kind == "CreateFunctionStmt":
            options = {each.defname: each.arg for each in statement.tree.options or ()}
            language = getattr(options.get("language"), "sval", "sql")
            volatility = getattr(options.get("volatility"), "sval", "volatile")
            body = " ".join(each.sval for each in options.get("as") or ()) or statement.sql
            name = statement.tree.funcname[-1].sval
            yield StoredFunction(name, language.lower(), volatility == "volatile", body)


def _nodes(tree: Any) -> Iterator[Any]:
    """All nodes of a statement's tree that are executed, the root included."""
    if isinstance(tree, tuple):
        for each in tree:
            yield from _nodes(each)
        return
    kind = type(tree).__name__
    if not hasattr(tree, "__slots__") or kind in _NOT_RUN or _is_plain_explain(tree):
        return
    if kind == "AlterTableCmd" and tree.subtype.name == "AT_ColumnDefault":
        return
    yield tree
    for name in tree:
        yield from _nodes(getattr(tree, name))


def _is_plain_explain(tree: Any) -> bool:
    """Whether this is an EXPLAIN that does not run its statement."""
    options = getattr(tree, "options", None) or ()
    return type(tree).__name__ == "ExplainStmt" and all(
        each.defname != "analyze" for each in options
    )


def calls(statement: Statement) -> Iterator[tuple[str, str, bool]]:
    """(name as written, its last part, whether it is in pg_catalog) of each function called."""
    for node in _nodes(statement.tree):
        if type(node).__name__ == "FuncCall":
            parts = [part.sval for part in node.funcname]
            yield ".".join(map(identifier, parts)), parts[-1], parts[0] == "pg_catalog"


def _deletes_inside(statement: Statement) -> bool:
    """Whether a DELETE runs within another statement: EXPLAIN ANALYZE, PREPARE, COPY, WITH."""
    return any(
        write.event == "delete"
        for node in _nodes(statement.tree)
        if node is not statement.tree and type(node).__name__ in ("DeleteStmt", "MergeStmt")
        for write in writes(node)
    )


def opaque_functions(statements: Iterable[Statement], functions: KnownFunctions) -> tuple[str, ...]:
    """The functions that a revision calls and whose effects its SQL does not show."""
    found = (
        f"function {written}()"
        for statement in statements
        for written, name, pg_catalog in calls(statement)
        if functions.is_code(name, pg_catalog=pg_catalog)
        or functions.may_delete(name, pg_catalog=pg_catalog)
    )
    return tuple(dict.fromkeys(found))


def code_losses(
    revision: str,
    statements: tuple[Statement, ...],
    functions: KnownFunctions,
    relations: Relations,
) -> Iterator[Loss]:
    """The losses that a revision's functions, triggers and rules may cause, of unknown size."""
    for statement in statements:
        if statement.kind == "DoStmt":
            body = " ".join(each.arg.sval for each in statement.tree.args if each.defname == "as")
            called = _names(_LITERALS.sub(" ", body)) & functions.deleting
            yield from (_loss(revision, f"function {name}()") for name in sorted(called))
        if _deletes_inside(statement) and not OPAQUE.match(statement.sql):
            yield Loss(revision, f"what can't be read without running it ({statement.sql[:60]})")
        for written, name, pg_catalog in calls(statement):
            if functions.may_delete(name, pg_catalog=pg_catalog):
                yield _loss(revision, f"function {written}()")
        if statement.kind in ("DeleteStmt", "TruncateStmt"):
            continue  # counted, with its hooks: `cascades.lower_bound`
        for table, event in events(statement, relations):
            if event in ("insert", "update"):
                for hook in relations.hooked(table, event):
                    if hook.function:
                        harmful = functions.may_delete(hook.function)
                    else:
                        harmful = not hook.code or functions.text_may_delete(hook.code)
                    if harmful:
                        yield _loss(revision, str(hook))


def _loss(revision: str, code: str) -> Loss:
    return Loss(revision, "rows of unknown tables", why=f"{code} may delete")
