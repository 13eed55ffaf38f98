"""Functions, triggers and rules that a revision runs, and whether their code may delete rows.

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
NOT_RUN = (
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
DELETING = re.compile(
    r"\b(?:DELETE|TRUNCATE|DROP|CALL|EXECUTE(?!\s+(?:FUNCTION|PROCEDURE)\b))\b", re.IGNORECASE
)
LITERALS = re.compile(r"--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'", re.DOTALL)
CALLED = re.compile(r'([\w$]+|"(?:[^"]|"")+")\s*\(')
DELETING_BUILT_INS = frozenset({"lo_unlink", "lo_manage"})
# Of extensions that the plan itself may create: the database does not know them yet.
EXTENSIONS = re.compile(
    r"uuid_generate_\w+|gen_random_\w+|gen_salt|crypt|digest|hmac|unaccent|similarity"
)


@dataclass(frozen=True)
class KnownFunctions:
    """The functions of the database and of the plan. `deleting`: names of those that may delete."""

    built_in: frozenset[str]
    others: Mapping[str, bool]  # name → volatile
    deleting: frozenset[str]

    @classmethod
    def of(cls, built_in: Iterable[str], stored: Iterable[StoredFunction]) -> KnownFunctions:
        stored = tuple(stored)
        code = {each: LITERALS.sub(" ", each.body) for each in stored}
        found = set(DELETING_BUILT_INS) | {
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
        """Whether what a function does is not known without reading it."""
        if name in self.others and not pg_catalog:
            return self.others[name]
        return name not in self.built_in and not pg_catalog and not EXTENSIONS.fullmatch(name)

    def may_delete(self, name: str, *, pg_catalog: bool = False) -> bool:
        if pg_catalog:
            return name in DELETING_BUILT_INS
        unknown = name not in self.others and self.is_code(name)
        return name in self.deleting or unknown

    def text_may_delete(self, code: str) -> bool:
        """Whether a rule's or a DO block's code may delete rows."""
        bare = LITERALS.sub(" ", code)
        return bool(DELETING.search(bare)) or not self.deleting.isdisjoint(_names(bare))


def _names(code: str) -> set[str]:
    return {match[1].strip('"') for match in CALLED.finditer(code)} | {
        match[1].lower() for match in CALLED.finditer(code)
    }


def _may_delete(function: StoredFunction, code: str) -> bool:
    if function.language in ("sql", "plpgsql"):
        return bool(DELETING.search(code))
    harmless = function.compiled and function.of_extension
    return not harmless or function.name.startswith("dblink")


def declared(statements: Iterable[Statement]) -> Iterator[StoredFunction]:
    """The functions that a revision creates."""
    for statement in statements:
        if statement.kind == "CreateFunctionStmt":
            options = {each.defname: each.arg for each in statement.tree.options or ()}
            language = getattr(options.get("language"), "sval", "sql")
            volatility = getattr(options.get("volatility"), "sval", "volatile")
            body = " ".join(each.sval for each in options.get("as") or ()) or statement.sql
            name = statement.tree.funcname[-1].sval
            yield StoredFunction(name, language.lower(), volatility == "volatile", body)


def nodes(tree: Any) -> Iterator[Any]:
    """Every node that runs with a statement, itself included."""
    if isinstance(tree, tuple):
        for each in tree:
            yield from nodes(each)
        return
    kind = type(tree).__name__
    if not hasattr(tree, "__slots__") or kind in NOT_RUN or _only_described(tree):
        return
    if kind == "AlterTableCmd" and tree.subtype.name == "AT_ColumnDefault":
        return
    yield tree
    for name in tree:
        yield from nodes(getattr(tree, name))


def _only_described(tree: Any) -> bool:
    """Whether it is an EXPLAIN that does not run its statement."""
    options = getattr(tree, "options", None) or ()
    return type(tree).__name__ == "ExplainStmt" and all(
        each.defname != "analyze" for each in options
    )


def calls(statement: Statement) -> Iterator[tuple[str, str, bool]]:
    """(name as written, its last part, whether it is pg_catalog's) of each function called."""
    for node in nodes(statement.tree):
        if type(node).__name__ == "FuncCall":
            parts = [part.sval for part in node.funcname]
            yield ".".join(map(identifier, parts)), parts[-1], parts[0] == "pg_catalog"


def deletes_inside(statement: Statement) -> bool:
    """Whether a DELETE runs within another statement: EXPLAIN ANALYZE, PREPARE, COPY, WITH."""
    return any(
        write.event == "delete"
        for node in nodes(statement.tree)
        if node is not statement.tree and type(node).__name__ in ("DeleteStmt", "MergeStmt")
        for write in writes(node)
    )


def code_of(statements: Iterable[Statement], functions: KnownFunctions) -> tuple[str, ...]:
    """The functions in a revision whose effects its SQL does not show."""
    found = (
        f"function {written}()"
        for statement in statements
        for written, name, pg_catalog in calls(statement)
        if functions.is_code(name, pg_catalog=pg_catalog)
        or functions.may_delete(name, pg_catalog=pg_catalog)
    )
    return tuple(dict.fromkeys(found))


def losses(
    revision: str,
    statements: tuple[Statement, ...],
    functions: KnownFunctions,
    relations: Relations,
) -> Iterator[Loss]:
    """The losses by the code that a revision runs, each of an unknown number of rows."""
    for statement in statements:
        if statement.kind == "DoStmt":
            body = " ".join(each.arg.sval for each in statement.tree.args if each.defname == "as")
            named = _names(LITERALS.sub(" ", body)) & functions.deleting
            yield from (_loss(revision, f"function {name}()") for name in sorted(named))
        if deletes_inside(statement) and not OPAQUE.match(statement.sql):
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
