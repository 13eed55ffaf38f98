"""Two dumps of a schema (`pg_dump --schema-only`), object by object: types, functions, sequences
and grants count as tables do.

The order of a table's columns does not count: PostgreSQL has no way to put a dropped column back
where it was."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

HEADER = re.compile(
    r"^-- (?:Data for )?Name: (?P<name>.*); Type: (?P<type>.*); Schema: (?P<schema>[^;]*);.*$",
    re.MULTILINE,
)
NOISE = re.compile(r"^(?:--.*|\\(?:un)?restrict .*|)$")


def objects(dump: str) -> Mapping[str, str]:
    """Each object's name ("TYPE public.mood") with its definition."""
    found: dict[str, str] = {}
    heads = list(HEADER.finditer(dump))
    ends = [head.start() for head in heads[1:]]
    for head, end in zip(heads, [*ends, len(dump)][: len(heads)], strict=True):
        body = dump[head.end() : end]
        lines = [line for line in body.splitlines() if not NOISE.match(line)]
        schema = "" if head["schema"] == "-" else f"{head['schema']}."
        key = f"{head['type']} {schema}{head['name']}"
        found[key] = "\n".join(filter(None, [found.get(key), *lines]))
    return found


def differences(wanted: str, found: str) -> tuple[str, ...]:
    """What `found` has too much, lacks, or has otherwise, a sentence each; empty where both are the
    same schema.
    """
    return tuple(compared(objects(wanted), objects(found)))


def compared(wanted: Mapping[str, str], found: Mapping[str, str]) -> Iterator[str]:
    for name in sorted(found.keys() - wanted.keys()):
        yield f"{name} is left"
    for name in sorted(wanted.keys() - found.keys()):
        yield f"{name} is missing"
    for name in sorted(wanted.keys() & found.keys()):
        if wanted[name] != found[name] and not (
            name.startswith("TABLE ") and lines(wanted[name]) == lines(found[name])
        ):
            yield f"{name} differs: {first_difference(wanted[name], found[name])}"


def lines(table: str) -> list[str]:
    """A table's columns, whichever comes last."""
    return sorted(line.strip().removesuffix(",") for line in table.splitlines())


def first_difference(wanted: str, found: str) -> str:
    before, after = wanted.splitlines(), found.splitlines()
    gone = [line.strip() for line in before if line not in after]
    new = [line.strip() for line in after if line not in before]
    return (
        f"{' '.join(gone) or '(nothing)'} became {' '.join(new) or '(nothing)'}"
        if gone or new
        else "its lines are in another order"
    )
