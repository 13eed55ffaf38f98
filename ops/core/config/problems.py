"""Mistakes in the configuration: where they stand, and one error for all of them.

The order is: unknown keys (a misspelt one often explains a missing one), wrong values, missing
keys; each by file and line.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any

from ops.core.errors import ConfigError

Keys = tuple[str | int, ...]
CORRECT = "correct it (docs/configuration.md documents every key)"
_MOST_LINES = 20


class ProblemKind(IntEnum):
    """The kind of a mistake; lower ones are reported first."""

    UNKNOWN_KEY = 0
    WRONG_VALUE = 1
    MISSING_KEY = 2


@dataclass(frozen=True)
class Place:
    """A file (as it is named in messages) with line and column, or an environment variable."""

    label: str
    line: int = 0
    column: int = 0
    is_file: bool = True

    def __str__(self) -> str:
        numbers = [self.line, self.column] if self.column else [self.line] if self.line else []
        return ":".join([self.label, *map(str, numbers)])


@dataclass(frozen=True)
class Problem:
    """One mistake. `keys` is the key path from the top of the configuration."""

    why: str
    next: str = CORRECT
    keys: Keys = ()
    place: Place = Place("")
    kind: ProblemKind = ProblemKind.WRONG_VALUE

    def at(self, place: Place) -> Problem:
        """The same mistake with its place, if it has none yet."""
        return self if self.place.label else replace(self, place=place)

    @property
    def key(self) -> str:
        return ".".join(shortened(str(key)) for key in self.keys)

    @property
    def where(self) -> str:
        """`FILE:LINE:COLUMN: KEY`, as far as it is known."""
        if self.place.is_file and not self.place.line and not self.keys:
            return f"configuration file {shortened(self.place.label, 200)}"
        return f"{self.place}: {self.key}" if self.keys else str(self.place)

    def as_document(self) -> dict[str, Any]:
        return {
            "file": self.place.label if self.place.is_file else None,
            "variable": None if self.place.is_file else self.place.label.rpartition(" ")[2],
            "line": self.place.line or None,
            "column": self.place.column or None,
            "key": self.key or None,
            "why": self.why,
            "next": self.next,
        }


class Malformed(ConfigError):
    """All mistakes that were found: the first in its three lines, the others below its reason."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = _sorted(problems)
        first, *others = self.problems
        lines = [first.why, *(_as_line(each) for each in others[:_MOST_LINES])]
        if len(others) > _MOST_LINES:
            lines.append(f"… and {len(others) - _MOST_LINES} more")
        super().__init__(first.where, "\n       ".join(lines), first.next)
        self.about = {"mistakes": [each.as_document() for each in self.problems]}


def refuse(problems: Sequence[Problem]) -> None:
    """Raise Malformed if there is a mistake."""
    if problems:
        raise Malformed(problems)


def unknown_key(keys: Keys, known: Iterable[str], place: Place = Place("")) -> Problem:
    """An unknown key, with the nearest known one, or all of them if no one is near."""
    from difflib import get_close_matches

    names = sorted(known)
    near = get_close_matches(str(keys[-1]), names, n=1)
    why = "unknown key" if near else f"unknown key; known here: {', '.join(names)}"
    how = f"did you mean {near[0]}?" if near else "remove it"
    return Problem(why, how, keys, place, ProblemKind.UNKNOWN_KEY)


def suggestion(found: str, known: Iterable[str], otherwise: str) -> str:
    """`did you mean NAME?` for the nearest known name, or `otherwise`."""
    from difflib import get_close_matches

    near = get_close_matches(found, list(known), n=1)
    return f"did you mean {near[0]}?" if near else otherwise


def kind_of(value: Any) -> str:
    """A value's type as the author of a YAML file knows it."""
    names = {dict: "a mapping", list: "a list", tuple: "a list", str: "text", bool: "a boolean"}
    if value is None:
        return "nothing"
    return names.get(type(value), "a number" if isinstance(value, int | float) else "an object")


def shortened(text: str, longest: int = 80) -> str:
    """Printable text of at most `longest` characters."""
    clean = text if text.isprintable() else text.encode("unicode_escape").decode("ascii")
    return clean if len(clean) <= longest else f"{clean[:longest]}…"


def _sorted(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    found = dict.fromkeys(problems)
    labels = list(dict.fromkeys(each.place.label for each in found))
    return tuple(
        sorted(
            found,
            key=lambda each: (
                each.kind,
                labels.index(each.place.label),
                each.place.line,
                each.place.column,
            ),
        )
    )


def _as_line(problem: Problem) -> str:
    how = "" if problem.next == CORRECT else f"; {problem.next}"
    return f"{problem.where}: {problem.why}{how}"
