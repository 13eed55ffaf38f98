"""What a revision costs, either way: the tables, columns and rows that its SQL would drop, as
questions that a database can answer.

The SQL is read, not run: a downgrade that is tried out and rolled back would hold its locks
meanwhile. What can't be read (a DO block that speaks of dropping, or makes up its SQL; a CASCADE
over a schema or type; a revision of Python that needs the database) is a loss of unknown size,
never none."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from ops.core.text import format_count
from ops.migrations.rules.statements import Unparsable, identifier, parsed, qualified

UNWRITTEN = "NotImplementedError"  # what the template raises until somebody has written it
NAME = r'(?:"(?:[^"]|"")+"|[\w$]+)'
TABLE = rf"{NAME}(?:\s*\.\s*{NAME})?"
LIST = rf"{TABLE}(?:\s*,\s*{TABLE})*"
DROP_TABLE = re.compile(rf"DROP TABLE (?:IF EXISTS )?({LIST})", re.IGNORECASE)
TRUNCATE = re.compile(
    rf"TRUNCATE (?:TABLE )?((?:ONLY )?{TABLE}(?:\s*,\s*(?:ONLY )?{TABLE})*)", re.IGNORECASE
)
ONLY = re.compile(r"^ONLY\s+", re.IGNORECASE)
ALTER = re.compile(
    rf"ALTER TABLE (?:IF EXISTS )?(?:ONLY )?({TABLE}) ?\*? (.*)", re.IGNORECASE | re.DOTALL
)
COLUMN = re.compile(
    rf"DROP (?:COLUMN )?(?:IF EXISTS )?(?!CONSTRAINT\b|COLUMN\b)({NAME})", re.IGNORECASE
)
USING = re.compile(
    rf"ALTER (?:COLUMN )?({NAME}) (?:SET DATA )?TYPE .* USING ", re.IGNORECASE | re.DOTALL
)
DELETE = re.compile(r"DELETE FROM (.*)", re.IGNORECASE | re.DOTALL)
OPAQUE = re.compile(
    r"(CALL|DROP SCHEMA|DROP OWNED|DROP EXTENSION)\b|DROP "
    r"(TYPE|DOMAIN|TABLE)\b.*\bCASCADE$|WITH\b.*\bDELETE FROM\b"
    r"|MERGE\b.*\bTHEN DELETE\b"
    r"|DO\b.*\b(?:DROP|DELETE|TRUNCATE|USING|CALL|PERFORM|EXECUTE(?! "
    r"(?:FUNCTION|PROCEDURE)\b| ?'| format ?\( ?'))\b",
    re.IGNORECASE | re.DOTALL,
)
SUSPECT = re.compile(r"\b(?:DROP|DELETE|TRUNCATE|USING|DO|CALL)\b", re.IGNORECASE)
RENAMED = re.compile(
    rf"ALTER TABLE .*\bRENAME (?:.* )?TO ({NAME})|ALTER TABLE .*\bSET SCHEMA ({NAME})",
    re.IGNORECASE | re.DOTALL,
)
OWN = re.compile(r"\b(?:INTO|FROM|UPDATE|TABLE) alembic_version\b", re.IGNORECASE)


@dataclass(frozen=True)
class Removal:
    """Rows that a statement deletes, or (`event` update) whose values a foreign key overwrites.

    `event`: delete, truncate or update. `source`: the FROM clause that selects them; `alias`: the
    table's name in it. `cascade`: TRUNCATE … CASCADE.
    """

    table: str
    event: str
    source: str = ""
    alias: str = ""
    cascade: bool = False


@dataclass(frozen=True)
class Loss:
    """Something that a revision takes away. `question`: SQL that counts its rows; `rows` None: not
    known.

    `why`: why not. `besides`: triggers and rules that run too, so that `rows` is only a lower
    bound."""

    revision: str
    what: str
    question: str | None = None
    rows: int | None = None
    why: str = ""
    removal: Removal | None = None
    besides: str = ""

    def counted(self, rows: int | None, why: str = "") -> Loss:
        return replace(self, rows=rows, why=why)

    @property
    def matters(self) -> bool:
        """Whether rows would be lost, or may be."""
        return self.rows != 0 or bool(self.besides)

    def as_document(self) -> dict[str, object]:
        count = {"rows": self.rows, "at_least": bool(self.besides), "why": self.why or self.besides}
        return {"revision": self.revision, "what": self.what, **count}

    def as_text(self) -> str:
        if self.rows is None:
            rows = f"an unknown number of rows{f' ({self.why})' if self.why else ''}"
        else:
            rows = format_count(self.rows, "row")
            rows = f"at least {rows} ({self.besides})" if self.besides else rows
        return f"{self.revision} takes away {self.what}: {rows}"


def may_drop(sql: str) -> bool:
    """Whether there is a word in it of which a loss is made: most revisions have none, and need not
    be taken apart.
    """
    return bool(SUSPECT.search(sql))


def renamed(statements: Iterable[str]) -> frozenset[str]:
    """Names that tables and columns (or their schemas) only get by these statements: what is not
    there yet may be there by another name.
    """
    found = (
        match[1] or match[2] for statement in statements if (match := RENAMED.match(statement))
    )
    return frozenset(found)


def created_meanwhile(loss: Loss, renamed: frozenset[str]) -> bool:
    """Whether what the database does not have now is made by the plan itself (nothing is lost
    then), and is not something else renamed.
    """
    return not any(
        re.search(rf"(?<![\w$]){re.escape(name)}(?![\w$])", loss.what, re.IGNORECASE)
        for name in renamed
    )


def losses(
    revision: str, statements: Iterable[str], unreadable: str | None = None
) -> tuple[Loss, ...]:
    """What these statements (without comments, single spaces) take away; `unreadable`: why a part
    of them is missing.
    """
    found = [
        loss
        for statement in statements
        if not OWN.search(statement)
        for loss in of_statement(revision, statement)
    ]
    if unreadable:
        found.append(Loss(revision, f"what can't be read without running it ({unreadable})"))
    return tuple(dict.fromkeys(found))


def of_statement(revision: str, statement: str) -> Iterator[Loss]:
    if match := DROP_TABLE.match(statement) or TRUNCATE.match(statement):
        verb = "table" if statement.upper().startswith("DROP") else "all rows of table"
        cascade = statement.upper().endswith(" CASCADE")
        for written in split(match[1]):
            table = ONLY.sub("", written) if verb != "table" else written
            removal = Removal(table, "truncate", cascade=cascade) if verb != "table" else None
            yield Loss(revision, f"{verb} {table}", counting("*", written), removal=removal)
    elif match := ALTER.match(statement):
        yield from of_alter(revision, match[1], match[2])
    elif match := DELETE.match(statement):
        rows = without_returning(match[1])
        removal = of_delete(statement, rows)
        yield Loss(revision, f"rows of {match[1]}", counting("*", rows), removal=removal)
    if OPAQUE.match(statement):
        yield Loss(revision, f"what can't be read without running it ({statement[:60]})")


def of_delete(statement: str, rows: str) -> Removal | None:
    """The rows of a DELETE; None where PostgreSQL's parser rejects it (nothing counts it then)."""
    try:
        tree = parsed(statement)[0].tree
    except (Unparsable, IndexError):
        return None
    table = qualified(tree.relation)
    alias = identifier(tree.relation.alias.aliasname) if tree.relation.alias else table
    return Removal(table, "delete", "" if tree.usingClause else rows, alias)


def of_alter(revision: str, table: str, actions: str) -> Iterator[Loss]:
    for action in split(actions):
        if match := COLUMN.match(action):
            yield Loss(revision, f"column {table}.{match[1]}", counting(match[1], table))
        elif match := USING.match(action):
            yield Loss(
                revision, f"the old form of column {table}.{match[1]}", counting(match[1], table)
            )


def counting(what: str, table: str) -> str:
    """A question in the words of the revision's own statement; it is asked in a transaction that
    only reads.
    """
    return f"SELECT count({what}) FROM {table}"  # noqa: S608


def split(text: str) -> list[str]:
    """Parts between commas that stand in no parenthesis, string or quoted name."""
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


def without_returning(text: str) -> str:
    return re.split(r"\bRETURNING\b", text, flags=re.IGNORECASE)[0].strip()
