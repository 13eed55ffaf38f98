"""SQL as PostgreSQL's own parser sees it: each statement with its kind, the tables that it touches, and where it stands.

pglast types every statement, so nothing here reads SQL by its looks. What Alembic adds for itself (its version table, BEGIN, COMMIT) is
left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

OWN_TABLE = "alembic_version"


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


@lru_cache(maxsize=1024)    # the linter and the forecast of locks read the same revisions
def parsed(sql: str) -> tuple[Statement, ...]:
    """Raises Unparsable."""
    import pglast

    try:
        found = pglast.parse_sql(sql)
    except pglast.Error as error:
        raise Unparsable(str(error).split("\n")[0]) from None
    data = sql.encode()      # locations are bytes
    return tuple(statement for raw in found if (statement := read(raw, data)) is not None)


def read(raw: Any, data: bytes) -> Statement | None:
    end = raw.stmt_location + raw.stmt_len if raw.stmt_len else len(data)
    text = data[raw.stmt_location:end].decode()
    kind = type(raw.stmt).__name__
    tables = tuple(dict.fromkeys(named(raw.stmt)))
    if kind == "TransactionStmt" or OWN_TABLE in tables:
        return None
    before = data[: raw.stmt_location].decode() + text[: len(text) - len(text.lstrip())]
    body = "\n".join(line for line in text.strip().splitlines() if line.strip() and not line.lstrip().startswith("--"))
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
    relation = getattr(tree, "relation", None) or getattr(tree, "rel", None)
    if type(tree).__name__ not in ("SelectStmt", "TransactionStmt") and getattr(relation, "relname", None):
        yield qualified(relation)
    for one in getattr(tree, "relations", None) or ():
        if getattr(one, "relname", None):
            yield qualified(one)
    if type(tree).__name__ == "DropStmt" and tree.removeType.name in ("OBJECT_TABLE", "OBJECT_VIEW", "OBJECT_MATVIEW", "OBJECT_SEQUENCE"):
        for names in tree.objects:
            yield ".".join(part.sval for part in names)
    if type(tree).__name__ == "DropStmt" and tree.removeType.name in ("OBJECT_TRIGGER", "OBJECT_RULE", "OBJECT_POLICY"):
        for names in tree.objects:
            yield ".".join(part.sval for part in names[:-1])


def qualified(relation: Any) -> str:
    return f"{relation.schemaname}.{relation.relname}" if relation.schemaname else str(relation.relname)


def created(statements: tuple[Statement, ...]) -> frozenset[str]:
    """Tables that these statements make: nobody uses them yet."""
    return frozenset(table for each in statements if each.kind in ("CreateStmt", "CreateTableAsStmt") for table in each.tables)
