"""One style for everything that is printed: signs, words and commands in the terminal's colours.

Texts are plain everywhere; `painted` adds the colours where a line is printed, by its shape: a sign
or a label at its start, a state in a column of its own, a command to type. The sign and the word
carry the meaning, so the line reads the same without colours. Only the 16 ANSI colours are used,
whose shades the terminal's theme chooses, and neither white nor bright yellow, which are unreadable
on a light background.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

# SGR codes
STYLES = {
    "ok": "32",
    "warn": "33",
    "refused": "31",
    "failed": "1;31",
    "unknown": "35",
    "change": "1",
    "command": "36",
    "dim": "2",
}
# the same for rich, by its own names
RICH_STYLES = {
    "ok": "green",
    "warn": "yellow",
    "refused": "red",
    "failed": "bold red",
    "unknown": "magenta",
    "change": "bold",
    "command": "cyan",
    "dim": "dim",
}
SIGNS = {
    "ok": "✓",
    "warn": "!",
    "refused": "✗",
    "failed": "✗",
    "unknown": "?",
    "skipped": "–",
    "rolled_back": "↺",
    "current": "●",
    "detail": "·",
}
_STYLE_OF_SIGN = {
    "✓": "ok",
    "!": "warn",
    "✗": "failed",
    "?": "unknown",
    "–": "dim",
    "↺": "warn",
    "●": "ok",
    "·": "dim",
}
# states and verdicts, in the columns of a table or at the start of a summary
_STYLE_OF_STATE = {
    **dict.fromkeys(("succeeded", "healthy", "ready", "passed"), "ok"),
    **dict.fromkeys(
        ("rolled back", "rolled_back", "superseded", "starting", "draining", "interrupted"), "warn"
    ),
    **dict.fromkeys(("warning", "started", "pending"), "warn"),
    **dict.fromkeys(("refused", "not ready"), "refused"),
    **dict.fromkeys(("failed", "timed out", "timed_out", "unhealthy", "NOT HEALTHY"), "failed"),
    **dict.fromkeys(("unknown", "UNKNOWN"), "unknown"),
}
# for `str.translate`: text from outside cannot move the cursor; tabs and line feeds stay
CONTROL = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if code not in (9, 10)}
SIGN = re.compile(r"^( *)([✓!✗?–↺●·]) (?=\S)")
_NAME = re.compile(r"\S+(?: \S+)*?(?=  |$)")  # the column after a sign
_LABEL = re.compile(r"^( *)(error:|why:|next:|cause|next|changed|undo:|note:)(?=\s)")
_STYLE_OF_LABEL = {"error:": "failed", "next:": "dim", "next": "dim", "undo:": "dim", "why:": ""}
_words = "|".join(sorted(map(re.escape, _STYLE_OF_STATE), key=len, reverse=True))
_VERDICT = re.compile(rf"^ ?({_words})(?=:|  |$)")
_STATE = re.compile(rf"(?<=  )({_words})(?=  |$)")
DURATION = re.compile(r"  +(\d[\d.]* (?:ms|s|min \d+ s)|\d+ (?:min|h|days))$")
# a command of this tool with its options: never broken over lines
COMMAND = re.compile(
    r"(?<![\w./“'\"-])(?:[\w.~/-]*/)?inv (?:-f \S+ |--env \S+ )*"
    r"(?:[a-z][a-z0-9-]*\.[a-z][\w-]*|status|preflight)(?![\w.])"
    r"(?: --?[a-z][\w-]*(?:[ =](?:'[^']*'|\"[^\"]*\"|[^\s,;·()'\"-][^\s,;·()]*))?)*"
)


def wants_colour(stream: Any, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether to print colours: NO_COLOR, then FORCE_COLOR, then whether it is a terminal."""
    if environment.get("NO_COLOR"):
        return False
    forced = environment.get("FORCE_COLOR")
    if forced:
        return forced != "0"
    return is_terminal(stream) and not is_dumb(environment)


def is_dumb(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether the terminal takes no escape sequences at all."""
    return environment.get("TERM", "").lower() in ("dumb", "unknown")


def is_terminal(stream: Any) -> bool:
    """Whether `stream` is a terminal; False for a closed one."""
    try:
        return bool(stream.isatty())
    except (AttributeError, OSError, ValueError):
        return False


def styled(text: str, style: str) -> str:
    """`text` in a style of STYLES, for a stream that takes colours."""
    return f"\x1b[{STYLES[style]}m{text}\x1b[0m" if text and style else text


def painted(line: str) -> str:
    """A plain line with colours."""
    spans = [(0, len(line), "dim")] if line.lstrip().startswith("– ") else _spans(line)
    found, at = [], 0
    for start, end, style in sorted(spans):
        if start >= at:  # a command inside a name stays part of the name
            found += [line[at:start], styled(line[start:end], style)]
            at = end
    return "".join([*found, line[at:]])


def _spans(line: str) -> list[tuple[int, int, str]]:
    """The start, end and style of each coloured part; they may overlap."""
    found = [(*match.span(), "command") for match in COMMAND.finditer(line)]
    found += [(*match.span(1), _STYLE_OF_STATE[match[1]]) for match in _STATE.finditer(line)]
    found += [(*match.span(1), "dim") for match in DURATION.finditer(line)]
    if sign := SIGN.match(line):
        style = _STYLE_OF_SIGN[sign[2]]
        name = _NAME.match(line, sign.end())
        loud = style in ("warn", "failed", "unknown") and sign[2] != "↺"
        found.append((sign.start(2), name.end() if loud and name else sign.end(2), style))
    elif label := _LABEL.match(line):
        found.append((*label.span(2), _STYLE_OF_LABEL.get(label[2], "change")))
    elif verdict := _VERDICT.match(line):
        found.append((*verdict.span(1), _STYLE_OF_STATE[verdict[1]]))
    return found
