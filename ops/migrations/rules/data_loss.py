"""Tables, columns and rows that a revision's SQL deletes, and queries that count them.

The SQL is analysed, not run: a trial downgrade that is rolled back would hold its locks meanwhile.
What can't be analysed is a loss of unknown size, never of none: a DO block that mentions dropping
or builds its SQL, a CASCADE over a schema or type, a Python revision that needs the database.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from ops.core.text import format_count
from ops.migrations.rules.statements import Unparsable, identifier, parse, qualified_name

UNWRITTEN = "NotImplementedError"  # raised by the template's functions
_NAME = r'(?:"(?:[^"]|"")+"|[\w$]+)'
_TABLE = rf"{_NAME}(?:\s*\.\s*{_NAME})?"
_TABLES = rf"{_TABLE}(?:\s*,\s*{_TABLE})*"
_DROP_TABLE = re.compile(rf"DROP TABLE (?:IF EXISTS )?({_TABLES})", re.IGNORECASE)
_TRUNCATE = re.compile(
    rf"TRUNCATE (?:TABLE )?((?:ONLY )?{_TABLE}(?:\s*,\s*(?:ONLY )?{_TABLE})*)", re.IGNORECASE
)
_ONLY = re.compile(r"^ONLY\s+", re.IGNORECASE)
_ALTER_TABLE = re.compile(
    rf"ALTER TABLE (?:IF EXISTS )?(?:ONLY )?({_TABLE}) ?\*? (.*)", re.IGNORECASE | re.DOTALL
)
_DROP_COLUMN = re.compile(
    rf"DROP (?:COLUMN )?(?:IF EXISTS )?(?!CONSTRAINT\b|COLUMN\b)({_NAME})", re.IGNORECASE
)
_TYPE_USING = re.compile(
    rf"ALTER (?:COLUMN )?({_NAME}) (?:SET DATA )?TYPE .* USING ", re.IGNORECASE | re.DOTALL
)
_DELETE = re.compile(r"DELETE FROM (.*)", re.IGNORECASE | re.DOTALL)
OPAQUE = re.compile(
    r"(CALL|DROP SCHEMA|DROP OWNED|DROP EXTENSION)\b|DROP "
    r"(TYPE|DOMAIN|TABLE)\b.*\bCASCADE$|WITH\b.*\bDELETE FROM\b"
    r"|MERGE\b.*\bTHEN DELETE\b"
    r"|DO\b.*\b(?:DROP|DELETE|TRUNCATE|USING|CALL|PERFORM|EXECUTE(?! "
    r"(?:FUNCTION|PROCEDURE)\b| ?'| format ?\( ?'))\b",
    re.IGNORECASE | re.DOTALL,
)
_MAY_DROP = re.compile(r"\b(?:DROP|DELETE|TRUNCATE|USING|DO|CALL)\b", re.IGNORECASE)
_RENAME = re.compile(
    rf"ALTER TABLE .*\bRENAME (?:.* )?TO ({_NAME})|ALTER TABLE .*\bSET SCHEMA ({_NAME})",
    re.IGNORECASE | re.DOTALL,
)
_VERSION_TABLE = re.compile(r"\b(?:INTO|FROM|UPDATE|TABLE) alembic_version\b", re.IGNORECASE)


@dataclass(frozen=True)
class Removal:
    """Rows that a statement deletes, or (`event` update) whose values a foreign key overwrites.

    `event` is delete, truncate or update. `source` is the FROM clause that selects the rows,
    `alias` the table's name in it. `cascade` stands for TRUNCATE … CASCADE.
    """

    table: str
    event: str
    source: str = ""
    alias: str = ""
    cascade: bool = False


@dataclass(frozen=True)
class Loss:
    """A table, column or rows that a revision deletes.

    `query` is SQL that counts the rows. `rows` None means unknown, for the reason `why`.
    `side_effects` are triggers and rules that run too, which makes `rows` a lower bound.
    """

    revision: str
    what: str
    query: str | None = None
    rows: int | None = None
    why: str = ""
    removal: Removal | None = None
    side_effects: str = ""

    def with_rows(self, rows: int | None, why: str = "") -> Loss:
        return replace(self, rows=rows, why=why)

    @property
    def loses_rows(self) -> bool:
        """Whether rows are lost, or may be."""
        return self.rows != 0 or bool(self.side_effects)

    def as_document(self) -> dict[str, object]:
        count = {
            "rows": self.rows,
            "at_least": bool(self.side_effects),
            "why": self.why or self.side_effects,
        }
        return {"revision": self.revision, "what": self.what, **count}

    def as_text(self) -> str:
        if self.rows is None:
            rows = f"an unknown number of rows{f' ({self.why})' if self.why else ''}"
        else:
            rows = format_count(self.rows, "row")
            rows = f"at least {rows} ({self.side_effects})" if self.side_effects else rows
        return f"{self.revision} takes away {self.what}: {rows}"


def may_drop(sql: str) -> bool:
    """Whether the SQL contains a keyword of a statement that deletes; most revisions don't."""
    return bool(_MAY_DROP.search(sql))


def renamed_to(statements: Iterable[str]) -> frozenset[str]:
    """The new names of tables, columns and schemas that these statements rename.

    A table that does not exist yet may exist under its old name.
    """
    found = (
        match[1] or match[2] for statement in statements if (match := _RENAME.match(statement))
    )
    return frozenset(found)


def created_by_plan(loss: Loss, new_names: frozenset[str]) -> bool:
    """Whether a missing table or column is created by the plan itself, not by renaming another.

    Nothing is lost then.
    """
    return not any(
        re.search(rf"(?<![\w$]){re.escape(name)}(?![\w$])", loss.what, re.IGNORECASE)
        for name in new_names
    )


def losses(
    revision: str, statements: Iterable[str], unreadable: str | None = None
) -> tuple[Loss, ...]:
    """The losses by these statements, which have no comments and single spaces.

    `unreadable` is why some statements of the revision are missing, if any.
    """
    found = [
        loss
        for statement in statements
        if not _VERSION_TABLE.search(statement)
        for loss in _statement_losses(revision, statement)
    ]
    if unreadable:
        found.append(Loss(revision, f"what can't be read without running it ({unreadable})"))
    return tuple(dict.fromkeys(found))


def _statement_losses(revision: str, statement: str) -> Iterator[Loss]:
    if match := _DROP_TABLE.match(statement) or _TRUNCATE.match(statement):
        verb = "table" if statement.upper().startswith("DROP") else "all rows of table"
        cascade = statement.upper().endswith(" CASCADE")
        for written in _split_list(match[1]):
            table = _ONLY.sub("", written) if verb != "table" else written
            removal = Removal(table, "truncate", cascade=cascade) if verb != "table" else None
            yield Loss(revision, f"{verb} {table}", _count_query("*", written), removal=removal)
    elif match := _ALTER_TABLE.match(statement):
        yield from _alter_losses(revision, match[1], match[2])
    elif match := _DELETE.match(statement):
        rows = _without_returning(match[1])
        removal = _deleted_rows(statement, rows)
        yield Loss(revision, f"rows of {match[1]}", _count_query("*", rows), removal=removal)
    if OPAQUE.match(statement):
        yield Loss(revision, f"what can't be read without running it ({statement[:60]})")


def _deleted_rows(statement: str, rows: str) -> Removal | None:
    """The rows of a DELETE; None if PostgreSQL's parser rejects it, so that nothing counts it."""
    try:
        tree = parse(statement)[0].tree
    except (Unparsable, IndexError):
        return None
    table = qualified_name(tree.relation)
    alias = identifier(tree.relation.alias.aliasname) if tree.relation.alias else table
    return Removal(table, "delete", "" if tree.usingClause else rows, alias)


def _alter_losses(revision: str, table: str, actions: str) -> Iterator[Loss]:
    for action in _split_list(actions):
        if match := _DROP_COLUMN.match(action):
            yield Loss(revision, f"column {table}.{match[1]}", _count_query(match[1], table))
        elif match := _TYPE_USING.match(action):
            yield Loss(
                revision,
                f"the old form of column {table}.{match[1]}",
                _count_query(match[1], table),
            )


def _count_query(what: str, table: str) -> str:
    """The counting query, in the revision's own words; it runs in a read-only transaction."""
    return f"SELECT count({what}) FROM {table}"  # noqa: S608


def _split_list(text: str) -> list[str]:
    """Split at commas outside of parentheses, strings and quoted names."""
    parts, depth, quote, current = [], 0, "", ""
    for letter in text:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        else:
            depth += {"(": 1, ")": -1}.get(letter, 0)
        if letter == "," and depth == 0 and not quote:
            parts.append(current.strip())
            current = ""
        else:
            current += letter
    return [*parts, current.strip()]


def _without_returning(text: str) -> str:
    return re.split(r"\bRETURNING\b", text, flags=re.IGNORECASE)[0].strip()
