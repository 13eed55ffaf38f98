"""Two schemas, object by object: what the one that was found has too much (`+`), lacks (`-`), has
otherwise (`~`) or calls otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from ops.postgres.model import DatabaseSchema, SchemaObject

SHOWN = 100  # characters of a definition
LAYOUT = re.compile(r"('(?:[^']|'')*')|\s+")
BODY = re.compile(r" ?(\$\w*\$) ?")
NAMED = ("CONSTRAINT", "INDEX")  # whose name says nothing of what they do
COLUMN = ("type", "NOT NULL", "default", "identity", "generated", "collation")


@dataclass(frozen=True)
class SchemaDifference:
    """`wanted` None: too much; `found` None: missing. `whole`: a part of an object that is missing
    or too much as a whole.
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
        """How it is otherwise, shortly."""
        if self.wanted is None or self.found is None:
            return ""
        if self.renamed:
            return f" is named {self.found.name}"
        if self.wanted.kind == "COLUMN":
            pairs = [
                (name, *pair)
                for name, *pair in zip(COLUMN, self.wanted.parts, self.found.parts, strict=True)
                if pair[0] != pair[1]
            ]
            return ": " + ", ".join(
                f"{name} is {found or 'none'}, not {wanted or 'none'}"
                for name, wanted, found in pairs
            )
        found, wanted = words(self.found), words(self.wanted)
        same = next(
            (at for at, pair in enumerate(zip(found, wanted, strict=False)) if pair[0] != pair[1]),
            min(len(found), len(wanted)),
        )
        return f": {shortened(found, same)}, not {shortened(wanted, same)}"


def words(piece: SchemaObject) -> list[str]:
    return " ".join(part for part in normal(piece) if part).split() or [piece.on or "nothing"]


def shortened(found: list[str], same: int) -> str:
    """A definition from shortly before the first word that differs."""
    text = " ".join(found[max(0, same - 3) :]) or "it ends there"
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def normal(piece: SchemaObject) -> tuple[str, ...]:
    """Its parts, with a function's text as one line: its layout means nothing, but what stands in
    quotes does.
    """
    if piece.kind != "FUNCTION":
        return piece.parts
    return tuple(
        BODY.sub(r"\1", LAYOUT.sub(lambda found: found[1] or " ", part)).strip()
        for part in piece.parts
    )


def defined(piece: SchemaObject) -> tuple[str, ...]:
    """What must be the same: a sequence's owning column too, which is not among its parts."""
    return (*normal(piece), piece.on)


def compare(wanted: DatabaseSchema, found: DatabaseSchema) -> tuple[SchemaDifference, ...]:
    """Every difference, by the object's kind and name; empty where both are the same."""
    missing = {key: piece for key, piece in wanted.items() if key not in found}
    extra = {key: piece for key, piece in found.items() if key not in wanted}
    renamed = list(renames(missing, extra))
    for pair in renamed:
        del missing[pair[0].key], extra[pair[1].key]
    changed = [
        (wanted[key], found[key])
        for key in wanted
        if key in found and defined(wanted[key]) != defined(found[key])
    ]
    every = [
        *(SchemaDifference(piece, None, piece.on in missing) for piece in missing.values()),
        *(SchemaDifference(None, piece, piece.on in extra) for piece in extra.values()),
        *(SchemaDifference(*pair) for pair in [*changed, *renamed]),
    ]
    return tuple(sorted(every, key=lambda each: str(each)[2:]))


def renames(
    missing: DatabaseSchema, extra: DatabaseSchema
) -> Iterator[tuple[SchemaObject, SchemaObject]]:
    """Constraints and indexes that are there under another name: one for one."""
    free = {
        (piece.kind, piece.on, piece.parts): piece
        for piece in extra.values()
        if piece.kind in NAMED
    }
    for piece in missing.values():
        if same := free.pop((piece.kind, piece.on, piece.parts), None):
            yield piece, same


def named(differences: tuple[SchemaDifference, ...]) -> tuple[str, ...]:
    """A line each; what belongs to a table that is missing or too much is not listed beside it."""
    return tuple(str(each) for each in differences if not each.whole)
