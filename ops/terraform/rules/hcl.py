"""Blocks and arguments of Terraform's configuration language, from a file's text (pure).

Comments, strings with templates, and heredocs are skipped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_TOKEN = re.compile(
    r"(?P<comment>\#[^\n]*|//[^\n]*|/\*.*?(?:\*/|\Z))"
    r"|(?P<heredoc><<-?[ \t]*(?P<end>[^\W\d][\w-]*)\n.*?^[ \t]*(?P=end)[ \t]*$)"
    r"|(?P<quote>\")|(?P<open>\{)|(?P<close>\})|(?P<word>[^\W\d][\w-]*)|(?P<newline>\n)|(?P<assign>=)",
    re.S | re.M,
)


@dataclass(frozen=True)
class Block:
    """A block: `variable "image" { … }` has kind `variable` and labels `("image",)`.

    `body` is its text without comments.
    """

    kind: str
    labels: tuple[str, ...]
    body: str

    @property
    def arguments(self) -> str:
        """Its text without heredocs, and without the contents of braces."""
        return _outside_of_braces(self.body)


def blocks(text: str) -> Iterator[Block]:
    """Yield the top-level blocks of a file, or of the body of a block."""
    header: list[str] = []
    position = depth = start = 0
    body = ""  # up to `start`
    while token := _TOKEN.search(text, position):
        position = token.end()
        kind = token.lastgroup if token.lastgroup != "end" else "heredoc"
        if kind == "quote":
            position = _end_of_string(text, token.end())
            header += [text[token.end() : position - 1]] if depth == 0 else []
        elif kind == "open":
            body, start = ("", position) if depth == 0 else (body, start)
            depth += 1
        elif kind == "close":
            depth = max(0, depth - 1)
            if depth == 0 and header:
                yield Block(header[0], tuple(header[1:]), body + text[start : token.start()])
            header = [] if depth == 0 else header
        elif kind == "comment" and depth:
            body, start = body + text[start : token.start()], position
        elif depth == 0:
            header = (
                [*header, token["word"]] if kind == "word" else header if kind == "comment" else []
            )


def _outside_of_braces(text: str) -> str:
    found: list[str] = []
    position = depth = start = 0
    while token := _TOKEN.search(text, position):
        position = token.end()
        if token["quote"]:
            position = _end_of_string(text, position)
        elif token["heredoc"] or token["open"] or token["close"]:
            found += [text[start : token.start()]] if depth == 0 else []
            start = position
            depth = max(0, depth + bool(token["open"]) - bool(token["close"]))
    return "".join([*found, *([text[start:]] if depth == 0 else [])])


def _end_of_string(text: str, position: int) -> int:
    """Return the position after the string that started before `position`.

    `${ … }` and `%{ … }` inside it may contain strings.
    """
    while position < len(text):
        char = text[position]
        if char == '"':
            return position + 1
        if text[position : position + 3] in ("$${", "%%{"):
            position += 3
        elif text[position : position + 2] in ("${", "%{"):
            position = _end_of_template(text, position + 2)
        else:
            position += 2 if char == "\\" else 1
    return position


def _end_of_template(text: str, position: int) -> int:
    depth = 1
    while position < len(text) and depth:
        char = text[position]
        if char == '"':
            position = _end_of_string(text, position + 1)
            continue
        depth += {"{": 1, "}": -1}.get(char, 0)
        position += 1
    return position
