"""A minimal SQL tokenizer: strip comments, normalize space, split into statements.

Strings, quoted names and dollar-quoted bodies are preserved; block comments nest, as in PostgreSQL.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_TOKEN = re.compile(
    r"(?P<line>--[^\n]*)|(?P<block>/\*)|(?P<keep>[eE]'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|(?P<tag>\$(?:[A-Za-z_]\w*)?\$).*?(?P=tag))"
    r"|(?P<end>;)|(?P<space>\s+)|(?P<word>[A-Za-z_][\w$]*)|(?P<other>.)",
    re.DOTALL,
)
_COMMENT_DELIMITER = re.compile(r"/\*|\*/")
_TRANSACTION_END = re.compile(
    r"(COMMIT|END|ABORT|PREPARE TRANSACTION|ROLLBACK(?! (?:WORK |TRANSACTION )?TO\b))\b(?! "
    r"PREPARED\b)",
    re.IGNORECASE,
)
_ATOMIC_BODY = re.compile(
    r"CREATE\b.*\bBEGIN ATOMIC\b(?! END$)", re.IGNORECASE | re.DOTALL
)  # a function's body, cut at its first ";"
_PSQL_COMMAND = re.compile(r"\\\S+")  # no backslash is SQL, outside of literals and comments


def _tokens(sql: str) -> Iterator[tuple[str, str]]:
    """Yield (kind, text), comments as spaces. Kinds: keep, end, space, word, other."""
    position = 0
    while position < len(sql):
        found = _TOKEN.match(sql, position)
        assert found is not None  # `other` matches any character
        kind, text, position = str(found.lastgroup), found[0], found.end()
        if kind == "block":
            position = _end_of_comment(sql, position)
        if found["keep"] is not None:
            kind = "keep"
        yield ("space", " ") if kind in ("line", "block", "space") else (kind, text)


def _end_of_comment(sql: str, position: int) -> int:
    depth = 1
    for edge in _COMMENT_DELIMITER.finditer(sql, position):
        depth += 1 if edge[0] == "/*" else -1
        if depth == 0:
            return edge.end()
    return len(sql)


def statements(sql: str) -> tuple[str, ...]:
    """The statements without comments, with single spaces between words."""
    found, current = [], ""
    for kind, text in _tokens(sql):
        if kind == "end":
            found.append(current)
            current = ""
        elif kind != "space" or not current.endswith(" "):
            current += text
    return tuple(text.strip() for text in [*found, current] if text.strip())


def ends_transactions(sql: str) -> Iterator[str]:
    """Yield the first word of each statement that ends a transaction (`COMMIT`).

    ROLLBACK TO SAVEPOINT does not.
    """
    for statement in whole_statements(sql):
        if found := _TRANSACTION_END.match(statement):
            yield found[1].upper()


def whole_statements(sql: str) -> Iterator[str]:
    """Yield statements without those inside a function body `BEGIN ATOMIC … END`."""
    inside = False
    for statement in statements(sql):
        if inside:
            inside = not re.match(r"END\b", statement, re.IGNORECASE)
            continue
        yield statement
        inside = bool(_ATOMIC_BODY.match(_without_literals(statement)))


def psql_command(sql: str) -> str | None:
    """The first command that only psql understands (`\\i other.sql`, `\\gexec`), or None."""
    found = _PSQL_COMMAND.search(_without_literals(sql))
    return found[0] if found else None


def _without_literals(sql: str) -> str:
    return "".join("''" if kind == "keep" else text for kind, text in _tokens(sql))
