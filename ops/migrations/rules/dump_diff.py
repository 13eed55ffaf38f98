"""Compare two dumps of a schema (`pg_dump --schema-only`), object by object.

The order of a table's columns does not count: PostgreSQL can't put a dropped column back in its
place.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

_HEADER = re.compile(
    r"^-- (?:Data for )?Name: (?P<name>.*); Type: (?P<type>.*); Schema: (?P<schema>[^;]*);.*$",
    re.MULTILINE,
)
_NOISE = re.compile(r"^(?:--.*|\\(?:un)?restrict .*|)$")


def _objects(dump: str) -> Mapping[str, str]:
    """The definitions of all objects, by name ("TYPE public.mood")."""
    found: dict[str, str] = {}
    heads = list(_HEADER.finditer(dump))
    ends = [head.start() for head in heads[1:]]
    for head, end in zip(heads, [*ends, len(dump)][: len(heads)], strict=True):
        body = dump[head.end() : end]
        lines = [line for line in body.splitlines() if not _NOISE.match(line)]
        schema = "" if head["schema"] == "-" else f"{head['schema']}."
        key = f"{head['type']} {schema}{head['name']}"
        found[key] = "\n".join(filter(None, [found.get(key), *lines]))
    return found


def differences(wanted: str, found: str) -> tuple[str, ...]:
    """One sentence for each object that differs; empty if both dumps have the same schema."""
    return tuple(_compare(_objects(wanted), _objects(found)))


def _compare(wanted: Mapping[str, str], found: Mapping[str, str]) -> Iterator[str]:
    for name in sorted(found.keys() - wanted.keys()):
        yield f"{name} is left"
    for name in sorted(wanted.keys() - found.keys()):
        yield f"{name} is missing"
    for name in sorted(wanted.keys() & found.keys()):
        if wanted[name] != found[name] and not (
            name.startswith("TABLE ") and _sorted_lines(wanted[name]) == _sorted_lines(found[name])
        ):
            yield f"{name} differs: {_changed_lines(wanted[name], found[name])}"


def _sorted_lines(table: str) -> list[str]:
    """A table's columns, independent of their order."""
    return sorted(line.strip().removesuffix(",") for line in table.splitlines())


def _changed_lines(wanted: str, found: str) -> str:
    before, after = wanted.splitlines(), found.splitlines()
    gone = [line.strip() for line in before if line not in after]
    new = [line.strip() for line in after if line not in before]
    return (
        f"{' '.join(gone) or '(nothing)'} became {' '.join(new) or '(nothing)'}"
        if gone or new
        else "its lines are in another order"
    )
