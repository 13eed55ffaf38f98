"""Fit lines to a terminal: hanging indents, right-aligned parts, cells cut to their column.

A stream that is no terminal has no width: its lines stay whole, for grep and for the logs of CI.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Any

from ops.core.terminal.style import (
    COMMAND,
    CONTROL,
    DURATION,
    SIGN,
    is_terminal,
    painted,
    wants_colour,
)

WIDEST = 200
_NARROWEST = 40
_COLUMNS = re.compile(r" {2,}(?=\S)")
_LABEL = re.compile(r"^ *(?:\d+ {2}|(?:error|why|next|undo): |→ |[✓!✗?–↺●·] )")
_PIECE = re.compile(rf"{COMMAND.pattern}|\S+")


def width_of(stream: Any) -> int | None:
    """The columns to use on a terminal, 40 to 200; None for any other stream."""
    if not is_terminal(stream):
        return None
    given = os.environ.get("COLUMNS", "")
    try:
        columns = int(given) if given.isdigit() else os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError, AttributeError):
        columns = 80
    return min(max(columns or 80, _NARROWEST), WIDEST)


def fitted(text: str, stream: Any) -> str:
    """The lines of `text` as they are printed on `stream`: wrapped, and in colour.

    Control characters are escaped, so that text from outside cannot move the terminal's cursor.
    """
    text = text.translate(CONTROL)
    width, colour = width_of(stream), wants_colour(stream)
    if width is None and not colour:
        return text
    lines = [part for line in text.split("\n") for part in arranged(line, width)]
    return "\n".join(map(painted, lines) if colour else lines)


def arranged(line: str, width: int | None) -> Iterator[str]:
    """A line as it is printed on so many columns: wrapped, a step's time at the right margin."""
    return wrapped(_duration_to_the_right(line, width), width)


def wrapped(line: str, width: int | None) -> Iterator[str]:
    """Break a line at spaces; later parts are indented to where its text begins.

    Commands, paths and other long words are not broken, so that they can be copied.
    """
    if width is None or len(line) <= width:
        yield line
        return
    indent = _hanging(line, width)
    start = len(line) - len(line.lstrip())
    current = line[:start]
    end = start
    for piece in _PIECE.finditer(line, start):
        gap = line[end : piece.start()]
        if current.strip() and len(current) + len(gap) + len(piece[0]) > width:
            yield current
            current, gap = " " * indent, ""
        current += gap + piece[0]
        end = piece.end()
    yield current


def _duration_to_the_right(line: str, width: int | None) -> str:
    """The time that a step took stands at the right margin."""
    found = DURATION.search(line) if width and SIGN.match(line) else None
    return with_right(line[: found.start()], found[1], width) if found else line


def _hanging(line: str, width: int) -> int:
    """The column of the text after a sign, a label or the columns of a table."""
    found = [match.end() for match in _COLUMNS.finditer(line) if match.end() <= width // 2]
    label = _LABEL.match(line)
    if label:
        found.append(label.end())
    return max(found, default=len(line) - len(line.lstrip()) + 2)


def with_right(line: str, right: str, width: int | None) -> str:
    """`line` with `right` at the right margin, of at most 80 columns; two spaces before it."""
    if not right:
        return line
    room = min(width or 0, 80) - len(line) - len(right)
    return f"{line}{' ' * max(room, 2)}{right}"


def cut(text: str, width: int) -> str:
    """The text in at most `width` characters; an ellipsis marks what was cut."""
    return text if len(text) <= width else f"{text[: max(width - 1, 0)]}…"
