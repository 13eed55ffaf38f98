"""Parse SQL with PostgreSQL's own parser (pglast).

Statements that Alembic adds for itself (its version table, BEGIN, COMMIT) are left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

_VERSION_TABLE = "alembic_version"
# on Alembic's own BEGIN and COMMIT, and on the engine's resets: `migrator.revisions.rendering`
_ALEMBIC_MARK = "/* Alembic */"
_ENDING = ("COMMIT", "ROLLBACK", "PREPARE")
_ALONE = (
    "AlterSystemStmt",
    "CreatedbStmt",
    "DropdbStmt",
    "CreateTableSpaceStmt",
    "DropTableSpaceStmt",
    "CreateSubscriptionStmt",
    "DropSubscriptionStmt",
)  # whatever their options are
_PLAIN_NAME = re.compile(r"[a-z_][a-z0-9_$]*")


@dataclass(frozen=True)
class Statement:
    """A statement; `kind` is the class of its parse tree (`AlterTableStmt`).

    `line` counts from 1. `tables` are the tables that it changes.
    """

    kind: str
    line: int
    sql: str
    tree: Any
    tables: tuple[str, ...]


class Unparsable(Exception):
    """SQL that PostgreSQL's parser rejects; `str()` is its reason, `line` counts from 1."""

    def __init__(self, why: str, line: int = 1) -> None:
        self.line = line
        super().__init__(why)


@lru_cache(maxsize=1024)  # the linter and the forecast of locks read the same revisions
def parse(sql: str) -> tuple[Statement, ...]:
    """The statements without transaction control and without Alembic's own.

    Raises Unparsable.
    """
    found = _parse_all(sql)
    return tuple(
        each
        for each in found
        if each.kind != "TransactionStmt"
        and _VERSION_TABLE not in each.tables
        and not (each.kind == "VariableSetStmt" and _ALEMBIC_MARK in each.sql)
    )


@lru_cache(maxsize=1024)
def _parse_all(sql: str) -> tuple[Statement, ...]:
    """All statements. Raises Unparsable."""
    import pglast

    try:
        found = pglast.parse_sql(sql)
    except pglast.Error as error:
        at = next((each for each in error.args[1:] if isinstance(each, int)), 0)
        line = sql[:at].count("\n") + 1
        raise Unparsable(str(error.args[0]).split("\n")[0], line) from None
    return tuple(_statement(raw, sql) for raw in found)


def runs_alone(statement: Statement) -> bool:
    """Whether PostgreSQL refuses the statement in a transaction or together with others."""
    tree, kind = statement.tree, statement.kind
    if is_concurrent(statement) or kind in _ALONE:
        return True
    if kind == "VacuumStmt":
        return bool(tree.is_vacuumcmd)
    if kind == "ClusterStmt":
        return tree.relation is None
    if kind == "ReindexStmt":
        return tree.kind.name not in ("REINDEX_OBJECT_INDEX", "REINDEX_OBJECT_TABLE")
    if kind == "DiscardStmt":
        return bool(tree.target.name == "DISCARD_ALL")
    return kind == "AlterDatabaseStmt" and any(
        option.defname == "tablespace" for option in tree.options or ()
    )


def is_concurrent(statement: Statement) -> bool:
    """Whether it is a CONCURRENTLY that works in several transactions.

    REFRESH MATERIALIZED VIEW CONCURRENTLY is an ordinary statement.
    """
    tree, kind = statement.tree, statement.kind
    if kind == "ReindexStmt":
        return any(option.defname == "concurrently" for option in tree.params or ())
    if kind == "AlterTableStmt":
        return any(getattr(command.def_, "concurrent", False) for command in tree.cmds or ())
    return kind in ("IndexStmt", "DropStmt") and bool(tree.concurrent)


def is_concurrent_detach(statement: Statement) -> bool:
    """Whether it is ALTER TABLE … DETACH PARTITION … CONCURRENTLY."""
    return statement.kind == "AlterTableStmt" and is_concurrent(statement)


def copies_from_client(statement: Statement) -> bool:
    """Whether it is COPY … FROM STDIN, whose rows only psql can send."""
    tree = statement.tree
    return statement.kind == "CopyStmt" and bool(
        tree.is_from and not tree.is_program and tree.filename is None
    )


def controls_transactions(sql: str) -> bool:
    """Whether it begins or ends transactions, so that it can't run inside another one.

    Raises Unparsable.
    """
    return any(
        (
            each.kind == "TransactionStmt"
            and each.tree.kind.name.removeprefix("TRANS_STMT_") in (*_ENDING, "BEGIN", "START")
        )
        or (each.kind == "DoStmt" and _ends_transactions(each.sql))
        for each in _parse_all(sql)
    )


def transaction_control(sql: str) -> Iterator[Statement]:
    """Statements that begin or end a transaction inside the revision's own one.

    They are allowed in an `autocommit_block`, which Alembic opens with its COMMIT and closes with
    its BEGIN. Raises Unparsable.
    """
    outside = False
    for position, statement in enumerate(_parse_all(sql)):
        kind = (
            statement.tree.kind.name.removeprefix("TRANS_STMT_")
            if statement.kind == "TransactionStmt"
            else ""
        )
        if kind and _ALEMBIC_MARK in statement.sql:
            outside = kind == "COMMIT"
        elif outside:
            continue
        elif (
            kind in _ENDING
            or (kind in ("BEGIN", "START") and position)
            or (statement.kind == "DoStmt" and _ends_transactions(statement.sql))
        ):
            # a leading BEGIN is Alembic's, if all revisions share one transaction
            yield statement


def prepared_transactions(sql: str) -> tuple[Statement, ...]:
    """Its PREPARE TRANSACTION statements. Raises Unparsable."""
    return tuple(
        each
        for each in _parse_all(sql)
        if each.kind == "TransactionStmt" and each.tree.kind.name == "TRANS_STMT_PREPARE"
    )


def _ends_transactions(block: str) -> bool:
    """Whether a PL/pgSQL DO block ends transactions."""
    import pglast

    try:
        tree = json.dumps(pglast.parse_plpgsql(block))
    except (pglast.Error, ValueError):
        return False
    return "PLpgSQL_stmt_commit" in tree or "PLpgSQL_stmt_rollback" in tree


def try_parse(sql: str) -> tuple[Statement, ...] | None:
    """The statements; None for SQL that PostgreSQL's parser rejects, which the linter reports."""
    try:
        return parse(sql)
    except Unparsable:
        return None


def _statement(raw: Any, sql: str) -> Statement:
    """One statement; pglast's locations are characters, unlike the bytes of PostgreSQL's parser."""
    end = raw.stmt_location + raw.stmt_len if raw.stmt_len else len(sql)
    text = sql[raw.stmt_location : end]
    kind = type(raw.stmt).__name__
    tables = tuple(dict.fromkeys(_changed_tables(raw.stmt)))
    before = sql[: raw.stmt_location] + text[: len(text) - len(text.lstrip())]
    body = "\n".join(
        line
        for line in text.strip().splitlines()
        if line.strip() and not line.lstrip().startswith("--")
    )
    skipped = sum(1 for line in _leading_comments(text))
    return Statement(kind, before.count("\n") + 1 + skipped, body, raw.stmt, tables)


def _leading_comments(text: str) -> Iterator[str]:
    """The comment and empty lines before a statement's first word."""
    for line in text.strip().splitlines():
        if line.strip() and not line.lstrip().startswith("--"):
            return
        yield line


def _changed_tables(tree: Any) -> Iterator[str]:
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
        yield qualified_name(relation)
    for one in (
        *(getattr(tree, "relations", None) or ()),
        *(each.relation for each in getattr(tree, "rels", None) or ()),
    ):
        if getattr(one, "relname", None):
            yield qualified_name(one)
    if kind == "DropStmt" and tree.removeType.name in (
        "OBJECT_TABLE",
        "OBJECT_VIEW",
        "OBJECT_MATVIEW",
        "OBJECT_SEQUENCE",
    ):
        yield from (dotted_name(names) for names in tree.objects)
    if kind == "DropStmt" and tree.removeType.name in (
        "OBJECT_TRIGGER",
        "OBJECT_RULE",
        "OBJECT_POLICY",
    ):
        yield from (dotted_name(names[:-1]) for names in tree.objects)


def qualified_name(relation: Any) -> str:
    """A relation's name with its schema, quoted as needed."""
    return ".".join(identifier(part) for part in (relation.schemaname, relation.relname) if part)


def dotted_name(parts: Any) -> str:
    return ".".join(identifier(part.sval) for part in parts)


def identifier(name: str) -> str:
    return name if _PLAIN_NAME.fullmatch(name) else '"' + name.replace('"', '""') + '"'


def matches_every_row(where: Any) -> bool:
    """Whether a WHERE clause is missing or reads no column (`true`, `1 = 1`)."""
    kind = type(where).__name__
    if kind == "A_Expr":
        return matches_every_row(where.lexpr) and matches_every_row(where.rexpr)
    return where is None or (
        kind == "A_Const" and not where.isnull and getattr(where.val, "boolval", True)
    )


def created_tables(statements: tuple[Statement, ...]) -> frozenset[str]:
    """The tables that these statements create, and that no application uses yet."""
    return frozenset(
        table
        for each in statements
        if each.kind in ("CreateStmt", "CreateTableAsStmt")
        for table in each.tables
    )


def partitioned(statements: tuple[Statement, ...]) -> frozenset[str]:
    """The partitioned tables that these statements create."""
    return frozenset(
        table
        for each in statements
        if each.kind == "CreateStmt" and each.tree.partspec
        for table in each.tables
    )


def indexes_by_table(statements: tuple[Statement, ...]) -> tuple[tuple[str, str], ...]:
    """The indexes that these statements create, each with its table, whose schema it is in."""
    return tuple(
        (f"{schema}{dot}{identifier(_index_name(each.tree))}", table)
        for each in statements
        if each.kind == "IndexStmt"
        for table in each.tables
        for schema, dot, _ in [table.rpartition(".")]
    )


def _index_name(tree: Any) -> str:
    """The name that CREATE INDEX gives, else PostgreSQL's own, if that is free and short enough."""
    parameters = (*tree.indexParams, *(tree.indexIncludingParams or ()))
    columns = [each.name or "expr" for each in parameters]
    return str(tree.idxname or "_".join([tree.relation.relname, *columns, "idx"]))


def is_same_relation(name: str, other: str) -> bool:
    """Whether two names may be the same relation's; one may be without its schema."""
    return name == other or name.endswith(f".{other}") or other.endswith(f".{name}")


def dropped_indexes(statement: Statement) -> tuple[str, ...]:
    """The indexes that DROP INDEX names."""
    tree = statement.tree
    if statement.kind != "DropStmt" or tree.removeType.name != "OBJECT_INDEX":
        return ()
    return tuple(dotted_name(names) for names in tree.objects)
