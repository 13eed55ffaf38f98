"""SQL as PostgreSQL's own parser sees it: each statement with its kind, the tables that it touches,
and where it stands.

pglast types every statement, so nothing here reads SQL by its looks. What Alembic adds for itself
(its version table, BEGIN, COMMIT) is left out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

OWN_TABLE = "alembic_version"
OWN_MARK = (
    "/* Alembic */"  # on Alembic's own BEGIN and COMMIT, see `ops.migrator.revisions.scripts`
)
ENDING = ("COMMIT", "ROLLBACK", "PREPARE")
PLAIN = re.compile(r"[a-z_][a-z0-9_$]*")


@dataclass(frozen=True)
class Statement:
    """`kind`: pglast's name of it (`AlterTableStmt`); `line` counts from 1; `tree`: its parse."""

    kind: str
    line: int
    sql: str
    tree: Any
    tables: tuple[str, ...]


class Unparsable(Exception):
    """PostgreSQL's parser refuses it; `str()` is its reason."""


@lru_cache(maxsize=1024)  # the linter and the forecast of locks read the same revisions
def parsed(sql: str) -> tuple[Statement, ...]:
    """Without transaction control, and without what Alembic adds. Raises Unparsable."""
    found = every(sql)
    return tuple(
        each for each in found if each.kind != "TransactionStmt" and OWN_TABLE not in each.tables
    )


@lru_cache(maxsize=1024)
def every(sql: str) -> tuple[Statement, ...]:
    """All statements. Raises Unparsable."""
    import pglast

    try:
        found = pglast.parse_sql(sql)
    except pglast.Error as error:
        raise Unparsable(str(error).split("\n")[0]) from None
    data = sql.encode()  # locations are bytes
    return tuple(read(raw, data) for raw in found)


def transaction_control(sql: str) -> Iterator[Statement]:
    """Statements that begin or end a transaction inside of the revision's own one. Raises
    Unparsable.

    In an `autocommit_block`, which Alembic opens by its COMMIT and closes by its BEGIN, they may
    stand."""
    outside = False
    for position, statement in enumerate(every(sql)):
        kind = (
            statement.tree.kind.name.removeprefix("TRANS_STMT_")
            if statement.kind == "TransactionStmt"
            else ""
        )
        if kind and OWN_MARK in statement.sql:
            outside = kind == "COMMIT"
        elif outside:
            continue
        elif (
            kind in ENDING
            or (kind in ("BEGIN", "START") and position)
            or (statement.kind == "DoStmt" and commits(statement.sql))
        ):
            # a BEGIN that comes first is Alembic's, where all revisions share one transaction
            yield statement


def commits(block: str) -> bool:
    """Whether a DO block of PL/pgSQL ends transactions."""
    import pglast

    try:
        tree = json.dumps(pglast.parse_plpgsql(block))
    except (pglast.Error, ValueError):
        return False
    return "PLpgSQL_stmt_commit" in tree or "PLpgSQL_stmt_rollback" in tree


def readable(sql: str) -> tuple[Statement, ...] | None:
    """None for SQL that PostgreSQL's parser refuses; the linter names it."""
    try:
        return parsed(sql)
    except Unparsable:
        return None


def read(raw: Any, data: bytes) -> Statement:
    end = raw.stmt_location + raw.stmt_len if raw.stmt_len else len(data)
    text = data[raw.stmt_location : end].decode()
    kind = type(raw.stmt).__name__
    tables = tuple(dict.fromkeys(named(raw.stmt)))
    before = data[: raw.stmt_location].decode() + text[: len(text) - len(text.lstrip())]
    body = "\n".join(
        line
        for line in text.strip().splitlines()
        if line.strip() and not line.lstrip().startswith("--")
    )
    skipped = sum(1 for line in leading_comments(text))
    return Statement(kind, before.count("\n") + 1 + skipped, body, raw.stmt, tables)


def leading_comments(text: str) -> Iterator[str]:
    """Comment lines and empty lines between a statement's place and its first word."""
    for line in text.strip().splitlines():
        if line.strip() and not line.lstrip().startswith("--"):
            return
        yield line


def named(tree: Any) -> Iterator[str]:
    """The tables that a statement changes."""
    kind = type(tree).__name__
    relation = (
        getattr(tree, "relation", None)
        or getattr(tree, "rel", None)
        or getattr(getattr(tree, "into", None), "rel", None)
    )
    if kind in ("CreatePolicyStmt", "AlterPolicyStmt"):
        relation = tree.table
    if kind not in ("SelectStmt", "TransactionStmt") and getattr(relation, "relname", None):
        yield qualified(relation)
    for one in (
        *(getattr(tree, "relations", None) or ()),
        *(each.relation for each in getattr(tree, "rels", None) or ()),
    ):
        if getattr(one, "relname", None):
            yield qualified(one)
    if kind == "DropStmt" and tree.removeType.name in (
        "OBJECT_TABLE",
        "OBJECT_VIEW",
        "OBJECT_MATVIEW",
        "OBJECT_SEQUENCE",
    ):
        yield from (dotted(names) for names in tree.objects)
    if kind == "DropStmt" and tree.removeType.name in (
        "OBJECT_TRIGGER",
        "OBJECT_RULE",
        "OBJECT_POLICY",
    ):
        yield from (dotted(names[:-1]) for names in tree.objects)


def qualified(relation: Any) -> str:
    """A name as SQL would have it."""
    return ".".join(identifier(part) for part in (relation.schemaname, relation.relname) if part)


def dotted(parts: Any) -> str:
    return ".".join(identifier(part.sval) for part in parts)


def identifier(name: str) -> str:
    return name if PLAIN.fullmatch(name) else '"' + name.replace('"', '""') + '"'


def always(where: Any) -> bool:
    """Whether a WHERE leaves out no row: there is none, or it looks at no column (`true`, `1 =
    1`).
    """
    kind = type(where).__name__
    if kind == "A_Expr":
        return always(where.lexpr) and always(where.rexpr)
    return where is None or (
        kind == "A_Const" and not where.isnull and getattr(where.val, "boolval", True)
    )


def created(statements: tuple[Statement, ...]) -> frozenset[str]:
    """Tables that these statements make: nobody uses them yet."""
    return frozenset(
        table
        for each in statements
        if each.kind in ("CreateStmt", "CreateTableAsStmt")
        for table in each.tables
    )
