"""Word splitting and variable expansion in Dockerfile instructions (moby's shell/lex.go).

Supports quotes, escapes, $NAME, ${NAME:-default} and ${NAME:+other}.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|[0-9]")


class WordError(Exception):
    """A word can't be parsed; the text is the builder's message."""


def split(text: str, escape: str = "\\") -> list[str]:
    """Split at blanks outside quotes and escapes, which are retained."""
    words: list[str] = []
    word, quote, position = "", "", 0
    while position < len(text):
        sign = text[position]
        taken = text[position : position + 2] if sign == escape and quote != "'" else sign
        if quote:
            quote = "" if taken == quote else quote
        elif taken in ("'", '"'):
            quote = taken
        elif taken.isspace():
            words, word = ([*words, word] if word else words), ""
            position += 1
            continue
        word += taken
        position += len(taken)
    return [*words, word] if word else words


def expand(word: str, variables: Mapping[str, str], escape: str = "\\") -> str:
    """Remove quotes from `word` and expand its variables; an unset name is empty."""
    return _Reader(word, variables, escape).read("")


def expand_split(text: str, variables: Mapping[str, str], escape: str = "\\") -> list[str]:
    """Split and expand `text`, dropping words that become empty."""
    return [
        word for word in (expand(each, variables, escape) for each in split(text, escape)) if word
    ]


class _Reader:
    """Reads one word from left to right."""

    def __init__(self, word: str, variables: Mapping[str, str], escape: str) -> None:
        self._word, self._variables, self._escape, self._at = word, variables, escape, 0

    def _next(self) -> str:
        sign = self._word[self._at : self._at + 1]
        self._at += 1
        return sign

    def read(self, until: str) -> str:
        """Read and expand up to `until` or the end."""
        text = ""
        while sign := self._next():
            if sign == until:
                return text
            if sign == "'":
                text += self._quoted("'", "single")
            elif sign == '"':
                text += self._quoted('"', "double")
            elif sign == self._escape:
                text += self._next()
            else:
                text += self._variable() if sign == "$" else sign
        if until:
            raise self._failed(f"unexpected end of statement while looking for matching {until!r}")
        return text

    def _quoted(self, quote: str, name: str) -> str:
        text = ""
        while sign := self._next():
            if sign == quote:
                return text
            if quote == '"' and sign == "$":
                text += self._variable()
            elif quote == '"' and sign == self._escape:
                following = self._next()
                text += following if following in (quote, "$", self._escape) else sign + following
            else:
                text += sign
        raise self._failed(f"unexpected end of statement while looking for matching {name}-quote")

    def _variable(self) -> str:
        if self._word[self._at : self._at + 1] == "{":
            self._at += 1
            return self._braced()
        found = _NAME.match(self._word, self._at)
        if not found:
            return "$"
        self._at = found.end()
        return self._variables.get(found[0], "")

    def _braced(self) -> str:
        found = _NAME.match(self._word, self._at)
        if not found:
            raise self._failed("bad substitution")
        self._at = found.end()
        value, sign = self._variables.get(found[0], ""), self._next()
        if sign == "}":
            return value
        modifier = sign + self._next()
        other = self.read("}")
        if modifier == ":-":
            return value or other
        if modifier == ":+":
            return other if value else ""
        if modifier == ":?":
            return value or self._missing(found[0], other)
        raise self._failed(f"unsupported modifier ({modifier}) in substitution")

    def _missing(self, name: str, message: str) -> str:
        raise self._failed(f"{name}: {message or 'is not allowed to be unset'}")

    def _failed(self, why: str) -> WordError:
        return WordError(f'failed to process "{self._word}": {why}')
