"""Compare two schemas, object by object: extra (`+`), missing (`-`), different (`~`), renamed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from ops.postgres.model import DatabaseSchema, SchemaObject

_EXCERPT_LENGTH = 100  # characters of a definition
_LAYOUT = re.compile(r"('(?:[^']|'')*')|\s+")
_QUOTED = re.compile(
    r"""('(?:[^']|'')*'|"(?:[^"]|"")*"|\$(?!function|procedure)(?P<tag>\w*)\$.*?\$(?P=tag)\$)|.""",
    re.DOTALL,
)
_FOLDED_LANGUAGE = re.compile(r"^\s*LANGUAGE (?:plpgsql|sql)\b", re.MULTILINE)
_DOLLAR_QUOTE = re.compile(r" ?(\$\w*\$) ?")
_RENAMEABLE = ("CONSTRAINT", "INDEX")  # matched by definition, not by name
_COLUMN_PARTS = ("type", "NOT NULL", "default", "identity", "generated", "collation")


@dataclass(frozen=True)
class SchemaDifference:
    """An object that differs; `wanted` None means extra, `found` None missing.

    `whole` marks a part of an object that is itself extra or missing.
    """

    wanted: SchemaObject | None
    found: SchemaObject | None
    whole: bool = False

    @property
    def sign(self) -> Literal["+", "-", "~"]:
        return "+" if self.wanted is None else "-" if self.found is None else "~"

    @property
    def renamed(self) -> bool:
        return (
            self.wanted is not None and self.found is not None and self.wanted.key != self.found.key
        )

    def __str__(self) -> str:
        piece = self.wanted or self.found
        assert piece is not None
        return f"{self.sign} {piece.key}{self.detail}"

    @property
    def detail(self) -> str:
        """A short description of the difference."""
        if self.wanted is None or self.found is None:
            return ""
        if self.renamed:
            return f" is named {self.found.name}"
        if self.wanted.kind == "COLUMN":
            pairs = [
                (name, *pair)
                for name, *pair in zip(
                    _COLUMN_PARTS, self.wanted.parts, self.found.parts, strict=True
                )
                if pair[0] != pair[1]
            ]
            return ": " + ", ".join(
                f"{name} is {found or 'none'}, not {wanted or 'none'}"
                for name, wanted, found in pairs
            )
        found, wanted = _words(self.found), _words(self.wanted)
        same = next(
            (at for at, pair in enumerate(zip(found, wanted, strict=False)) if pair[0] != pair[1]),
            min(len(found), len(wanted)),
        )
        return f": {_excerpt(found, same)}, not {_excerpt(wanted, same)}"


def _words(piece: SchemaObject) -> list[str]:
    return " ".join(part for part in _normalized(piece) if part).split() or [piece.on or "nothing"]


def _excerpt(found: list[str], same: int) -> str:
    """A definition from shortly before the first word that differs."""
    text = " ".join(found[max(0, same - 3) :]) or "it ends there"
    return text if len(text) <= _EXCERPT_LENGTH else f"{text[:_EXCERPT_LENGTH]}…"


def _normalized(piece: SchemaObject) -> tuple[str, ...]:
    """An object's parts, a function's text on one line; text in quotes is left as it is.

    SQL and PL/pgSQL do not distinguish the case of keywords and unquoted names.
    """
    if piece.kind != "FUNCTION":
        return piece.parts
    return tuple(_normalized_function(part) for part in piece.parts)


def _normalized_function(definition: str) -> str:
    if _FOLDED_LANGUAGE.search(definition):
        definition = _QUOTED.sub(lambda found: found[1] or found[0].lower(), definition)
    return _DOLLAR_QUOTE.sub(r"\1", _LAYOUT.sub(lambda found: found[1] or " ", definition)).strip()


def _definition(piece: SchemaObject) -> tuple[str, ...]:
    """All that must be equal: the parts, and the owner (the column of a sequence)."""
    return (*_normalized(piece), piece.on)


def compare(wanted: DatabaseSchema, found: DatabaseSchema) -> tuple[SchemaDifference, ...]:
    """All differences, sorted by kind and name of the object; empty if the schemas are equal."""
    missing = {key: piece for key, piece in wanted.items() if key not in found}
    extra = {key: piece for key, piece in found.items() if key not in wanted}
    renamed = list(_renames(missing, extra))
    for pair in renamed:
        del missing[pair[0].key], extra[pair[1].key]
    changed = [
        (wanted[key], found[key])
        for key in wanted
        if key in found and _definition(wanted[key]) != _definition(found[key])
    ]
    every = [
        *(SchemaDifference(piece, None, piece.on in missing) for piece in missing.values()),
        *(SchemaDifference(None, piece, piece.on in extra) for piece in extra.values()),
        *(SchemaDifference(*pair) for pair in [*changed, *renamed]),
    ]
    return tuple(sorted(every, key=lambda each: str(each)[2:]))


def _renames(
    missing: DatabaseSchema, extra: DatabaseSchema
) -> Iterator[tuple[SchemaObject, SchemaObject]]:
    """Pairs of constraints and indexes that only differ in their names."""
    candidates = {
        (piece.kind, piece.on, piece.parts): piece
        for piece in extra.values()
        if piece.kind in _RENAMEABLE
    }
    for piece in missing.values():
        if same := candidates.pop((piece.kind, piece.on, piece.parts), None):
            yield piece, same


def describe(differences: tuple[SchemaDifference, ...]) -> tuple[str, ...]:
    """One line per difference, without the parts of objects that are extra or missing."""
    return tuple(str(each) for each in differences if not each.whole)
